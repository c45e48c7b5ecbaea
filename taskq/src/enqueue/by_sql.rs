//! What an enqueue says, as the function `taskq.enqueue` in the database takes it.

use serde_json::{Map, Value, json};

use crate::task::options::EnqueueOptions;
use crate::task::payload::TaskType;

/// Writes the options of a task. `expires` is left out where its metadata says it.
pub(super) fn options(task_type: &TaskType, options: &EnqueueOptions) -> Map<String, Value> {
    let declared = task_type.options;
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| _ = said.insert(name.to_owned(), value);
    let queue = options.queue.as_deref().unwrap_or(declared.queue);
    say("queue", queue.into());
    say(
        "priority",
        options.priority.unwrap_or(declared.priority).into(),
    );
    let max_attempts = options.max_attempts.unwrap_or(declared.max_attempts);
    say("max_attempts", max_attempts.into());
    let version = i16::try_from(declared.version).unwrap_or(i16::MAX);
    say("payload_version", version.into());
    match options.start.run_at_and_delay() {
        (Some(run_at), _) => say("run_at", run_at.to_rfc3339().into()),
        (None, delay) if delay > 0.0 => say("delay", delay.into()),
        _ => {}
    }
    if let Some(metadata) = options.metadata.to_value() {
        say("metadata", metadata);
    }
    if let Some(group_id) = options.group {
        say("group", group_id.into());
    }
    let Some(unique) = options.unique(declared) else {
        return said;
    };
    match (options.unique_key(), unique.fields) {
        (Some(key), _) => say("unique_key", key.into()),
        (None, Some(fields)) => say("unique_fields", json!(fields)),
        (None, None) => say("unique", true.into()),
    }
    match unique.until.word_and_seconds() {
        (_, Some(seconds)) => say("within", seconds.into()),
        (word, None) => say("until", word.into()),
    }
    let (on_conflict, at_latest) = unique.on_conflict.word_and_seconds();
    say("on_conflict", on_conflict.into());
    if let Some(seconds) = at_latest {
        say("at_latest", seconds.into());
    }
    if let Some(wait) = options.busy_after() {
        say("busy_after", wait.as_secs_f64().into());
    }
    said
}
