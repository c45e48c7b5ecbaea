//! What is there instead of the task that a test expects, as a message says it.

use std::fmt::{self, Write as _};

use serde_json::value::RawValue;

use super::compared::Differences;
use crate::store::{Elsewhere, TaskOfType};
use crate::task::secret::masked;

/// How many tasks are shown, or types, or schemas.
const SHOWN: usize = 5;

/// The longest payload that is shown whole, in characters.
const LONGEST_PAYLOAD: usize = 300;

/// A task that is not the one that is meant.
#[derive(Debug)]
pub(super) struct NearTask {
    task_id: i64,
    state: String,
    payload: String,
    differences: Differences,
    /// Why its payload does not decode, if it does not.
    undecoded: Option<String>,
}

impl NearTask {
    pub(super) fn decoded(task: &TaskOfType, secret: &[&str], differences: Differences) -> Self {
        Self {
            task_id: task.task_id,
            state: task.state.clone(),
            payload: shown_payload(task, secret),
            differences,
            undecoded: None,
        }
    }

    /// One whose payload does not decode. `why` is left out where it may quote a secret value.
    pub(super) fn undecoded(
        task: &TaskOfType,
        secret: &[&str],
        differences: Differences,
        why: Option<String>,
    ) -> Self {
        let undecoded = why.map_or_else(
            || "its payload does not decode".into(),
            |why| format!("its payload does not decode: {why}"),
        );
        Self {
            undecoded: Some(undecoded),
            ..Self::decoded(task, secret, differences)
        }
    }

    /// Tells whether nobody knows whether it is the one that is meant.
    pub(super) fn may_be_meant(&self) -> bool {
        self.undecoded.is_some() && self.waits() && self.differences.0.is_empty()
    }

    fn waits(&self) -> bool {
        self.state == "waiting"
    }

    /// Returns how far it is from the one that is meant.
    fn distance(&self) -> usize {
        // A payload that does not decode may differ in everything.
        let undecoded = if self.undecoded.is_some() { 100 } else { 0 };
        undecoded + 2 * self.differences.0.len() + usize::from(!self.waits())
    }
}

impl fmt::Display for NearTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            task_id,
            state,
            payload,
            differences,
            undecoded,
        } = self;
        write!(f, "\n  task {task_id}, {state}: ")?;
        let differences = differences.0.iter().map(|it| it.to_string());
        let what: Vec<_> = undecoded.iter().cloned().chain(differences).collect();
        match what.is_empty() {
            true => f.write_str("otherwise as expected")?,
            false => f.write_str(&what.join("; "))?,
        }
        write!(f, "; {payload}")
    }
}

/// Says which tasks come nearest.
pub(super) fn nearest(mut near: Vec<NearTask>) -> String {
    near.sort_by_key(|task| (task.distance(), std::cmp::Reverse(task.task_id)));
    let mut text = String::from("\nthe nearest of this type:");
    for task in near.iter().take(SHOWN) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{task}");
    }
    if near.len() > SHOWN {
        let _ = write!(text, "\n  and {} more", near.len() - SHOWN);
    }
    text
}

/// Says what there is where there is none of the type.
pub(super) fn none_of_type(task_type: &str, elsewhere: &Elsewhere) -> String {
    let mut text = String::from(
        "\nthis connection sees no task of this type, neither waiting nor running nor finished",
    );
    for (schema, tasks) in elsewhere.schemas.iter().take(SHOWN) {
        let _ = write!(
            text,
            "\n  in schema `{schema}` there are {tasks} of it: `schema = …` asks there"
        );
    }
    let mut types: Vec<_> = elsewhere.types.iter().collect();
    let likeness = |name: &str| strsim::jaro_winkler(name, task_type);
    types.sort_by(|(one, _), (other, _)| likeness(other).total_cmp(&likeness(one)));
    for (name, tasks) in types.iter().take(SHOWN) {
        let _ = write!(text, "\n  of type `{name}` there are {tasks}");
    }
    if types.len() > SHOWN {
        let _ = write!(text, "\n  and of {} more types", types.len() - SHOWN);
    }
    text
}

/// Lists tasks with their payloads.
pub(super) fn listed<'a>(
    tasks: impl ExactSizeIterator<Item = &'a TaskOfType>,
    secret: &[&str],
) -> String {
    let (mut text, count) = (String::new(), tasks.len());
    for task in tasks.take(SHOWN) {
        let payload = shown_payload(task, secret);
        let _ = write!(text, "\n  task {}; {payload}", task.task_id);
    }
    if count > SHOWN {
        let _ = write!(text, "\n  and {} more", count - SHOWN);
    }
    text
}

fn shown_payload(task: &TaskOfType, secret: &[&str]) -> String {
    let masked = masked(secret, &task.payload);
    let payload = RawValue::get(masked.as_ref().unwrap_or(&task.payload));
    match payload.char_indices().nth(LONGEST_PAYLOAD) {
        Some((end, _)) => format!("{}…", &payload[..end]),
        None => payload.to_owned(),
    }
}

/// Writes a payload as people do: the compiler puts blanks around each token, and breaks lines.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace(" :", ":")
}
