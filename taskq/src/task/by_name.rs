//! What a task type says of its tasks, for an enqueue that knows it by its name alone.

use serde_json::{Map, Value, json};

use super::options::TaskOptions;
use super::secret::SECRET;
#[cfg(feature = "encryption")]
use crate::cipher::ENCRYPTED;

/// Returns what a task type says of its tasks, as the function `taskq.enqueue` takes it.
pub(crate) fn enqueue_options(declared: &TaskOptions) -> Map<String, Value> {
    let mut options = Map::new();
    let mut add = |name: &str, value: Value| drop(options.insert(name.to_owned(), value));
    add("queue", declared.queue.into());
    add("priority", declared.priority.into());
    add("max_attempts", declared.max_attempts.into());
    add("payload_version", declared.version.into());
    if let Some(expires) = declared.expires {
        add("expires", expires.as_secs_f64().into());
    }
    let mut metadata = Map::new();
    if !declared.secret.is_empty() {
        metadata.insert(SECRET.to_owned(), json!(declared.secret));
    }
    #[cfg(feature = "encryption")]
    if !declared.encrypted.is_empty() {
        metadata.insert(ENCRYPTED.to_owned(), true.into());
    }
    if !metadata.is_empty() {
        add("metadata", metadata.into());
    }
    if let Some(unique) = declared.unique {
        match unique.fields {
            Some(fields) => add("unique_fields", json!(fields)),
            None => add("unique", true.into()),
        }
        match unique.until.word_and_seconds() {
            (_, Some(seconds)) => add("within", seconds.into()),
            (word, None) => add("until", word.into()),
        }
        let (word, seconds) = unique.on_conflict.word_and_seconds();
        add("on_conflict", word.into());
        if let Some(seconds) = seconds {
            add("at_latest", seconds.into());
        }
    }
    options
}
