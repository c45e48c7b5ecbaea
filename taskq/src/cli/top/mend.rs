//! What mends a trouble that the doctor names, where one key can do it.
//!
//! The doctor says it as a command for a shell. It is read here as what it means, and not run as text: whoever looks may
//! have more rights than whoever made the tables.

use super::ask::Effect;
use crate::operate::bulk::BulkVerb;
use crate::operate::doctor::Ailment;
use crate::operate::limit::{EachKey, LimitScope};
use crate::operate::pause::{Queue, Schedule, Scope, TaskType};

/// Returns what mends it; `None` where that takes more than a key.
pub(super) fn effect_of(ailment: &Ailment) -> Option<Effect> {
    if let Some(process_id) = ailment.statement.as_deref().and_then(session) {
        return Some(Effect::EndSession(process_id));
    }
    let words = words(ailment.command.as_deref()?);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["resume", of, name] => Some(Effect::Resume(scope(of, name)?)),
        ["reset-limits", of, name] => Some(Effect::ResetLimits(limit_scope(of, name)?)),
        ["retry", "--all", filter] => Some(Effect::Freeze(BulkVerb::Retry, filter.to_owned())),
        ["cancel", "--all", filter] => Some(Effect::Freeze(BulkVerb::Cancel, filter.to_owned())),
        _ => None,
    }
}

fn session(statement: &str) -> Option<i32> {
    let rest = statement.strip_prefix("select pg_terminate_backend(")?;
    rest.strip_suffix(')')?.parse().ok()
}

fn scope(of: &str, name: &str) -> Option<Scope> {
    match of {
        "queue" => Some(Queue(name).into()),
        "type" => Some(TaskType(name).into()),
        "schedule" => Some(Schedule(name).into()),
        _ => None,
    }
}

fn limit_scope(of: &str, name: &str) -> Option<LimitScope> {
    match of {
        "queue" => Some(Queue(name).into()),
        "type" => Some(TaskType(name).into()),
        "key" => Some(EachKey(name).into()),
        _ => None,
    }
}

/// Divides a command as a shell does, which knows single quotes and a backslash between them.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        let next = match c {
            '\'' => {
                is_quoted = !is_quoted;
                None
            }
            ' ' if !is_quoted => {
                words.push(String::new());
                None
            }
            '\\' if !is_quoted => characters.next(),
            c => Some(c),
        };
        if let (Some(c), Some(word)) = (next, words.last_mut()) {
            word.push(c);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(words("resume queue mail"), ["resume", "queue", "mail"]);
        let quoted = r"resume type 'it'\''s a \ name'";
        assert_eq!(words(quoted), ["resume", "type", r"it's a \ name"]);
    }
}
