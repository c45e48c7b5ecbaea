//! What mends an ailment that the doctor names, where one deed does.
//!
//! The doctor says it as a command for a shell. It is read here as what it means, and not run as text: whoever looks may
//! have more rights than whoever made the tables.

use uuid::Uuid;

use super::doctor::Ailment;
use super::limit::{EachKey, LimitScope};
use super::pause::{Queue, Schedule, Scope, TaskType};

/// What mends an ailment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Remedy {
    Resume(Scope),
    ResetLimits(LimitScope),
    /// Of all that match.
    RetryAll(String),
    /// Of those that match, the newest, before the others.
    #[cfg(feature = "top")]
    RetryOne(String),
    CancelAll(String),
    /// Of one task.
    Cancel(i64),
    /// A sequence goes on without this task, which frees so many.
    SkipDead {
        task_id: i64,
        frees: i64,
    },
    TakeBackAll,
    EndSession(i32),
    ForgetWorker(Uuid),
    RunSchedule(String),
    /// What was said of it by hand.
    RemoveSchedule(String),
    /// It stays as it is.
    #[cfg(feature = "top")]
    Acknowledge(Box<Ailment>),
    /// It counts again.
    #[cfg(feature = "top")]
    Unacknowledge(Box<Ailment>),
}

impl Remedy {
    /// Says what it does, as one says to somebody: `Resume queue mail`.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Resume(scope) => format!("Resume {scope}"),
            Self::ResetLimits(scope) => format!("Reset the limit of {scope}"),
            Self::RetryAll(_) => "Retry all".to_owned(),
            #[cfg(feature = "top")]
            Self::RetryOne(_) => "Retry one first".to_owned(),
            Self::CancelAll(_) => "Cancel all".to_owned(),
            Self::Cancel(task_id) => format!("Cancel task {task_id}"),
            Self::SkipDead { task_id, .. } => format!("Go on without task {task_id}"),
            Self::TakeBackAll => "Have Postgres take them back".to_owned(),
            Self::EndSession(process_id) => format!("End session {process_id}"),
            Self::ForgetWorker(_) => "Forget the worker".to_owned(),
            Self::RunSchedule(name) => format!("Run {name} now"),
            Self::RemoveSchedule(name) => format!("Undo the change to {name}"),
            #[cfg(feature = "top")]
            Self::Acknowledge(_) => "Acknowledge it".to_owned(),
            #[cfg(feature = "top")]
            Self::Unacknowledge(_) => "Have it count again".to_owned(),
        }
    }

    /// Says what comes of it.
    pub(crate) fn consequence(&self) -> String {
        match self {
            Self::Resume(Scope::Schedule(_)) => "It ticks again. What came meanwhile is not owed.",
            Self::Resume(_) => "Its tasks start again at once.",
            Self::ResetLimits(_) => {
                "What programs declare holds again; where they declare nothing, there is no limit."
            }
            Self::RetryAll(_) | Self::CancelAll(_) => "They are counted first.",
            #[cfg(feature = "top")]
            Self::RetryOne(_) => "It is the newest of them. The others stay as they are.",
            Self::Cancel(_) => {
                "What it has written in its transaction is rolled back, and it does not run again."
            }
            Self::SkipDead { frees, .. } => {
                let tasks = if *frees == 1 { "task" } else { "tasks" };
                return format!("{frees} {tasks} behind it may run then. It stays among the dead.");
            }
            Self::TakeBackAll => "They wait again. What Postgres still refuses stays where it is.",
            Self::EndSession(_) => {
                "What it has not committed is rolled back, and its program gets an error."
            }
            Self::ForgetWorker(_) => "Only this line goes. The audit keeps who forgot it.",
            #[cfg(feature = "top")]
            Self::Acknowledge(_) => {
                "It stays as it is, and is told last, until somebody takes that back or it becomes of another severity."
            }
            #[cfg(feature = "top")]
            Self::Unacknowledge(_) => "It is trouble like any other again.",
            Self::RunSchedule(_) => "A task is enqueued now. The schedule goes on as before.",
            Self::RemoveSchedule(_) => {
                "What was said by hand goes. What a program declares holds again; if none does, the schedule is gone."
            }
        }
        .to_owned()
    }

    /// Returns what has somebody say that it is known, or take that back.
    #[cfg(feature = "top")]
    pub(crate) fn known(ailment: &Ailment) -> Self {
        let ailment_of = Box::new(ailment.clone());
        match ailment.acknowledged {
            None => Self::Acknowledge(ailment_of),
            Some(_) => Self::Unacknowledge(ailment_of),
        }
    }

    /// Returns what mends it; `None` where no single deed does.
    pub(crate) fn of(ailment: &Ailment) -> Option<Self> {
        let words = words(ailment.command.as_deref()?);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match words[..] {
            ["resume", of, name] => Self::Resume(scope(of, name)?),
            ["reset-limits", of, name] => Self::ResetLimits(limit_scope(of, name)?),
            ["retry", "--all", filter] => Self::RetryAll(filter.to_owned()),
            ["cancel", "--all", filter] => Self::CancelAll(filter.to_owned()),
            ["cancel", task_id] => Self::Cancel(task_id.parse().ok()?),
            ["skip-dead", task_id, "--frees", frees] => Self::SkipDead {
                task_id: task_id.parse().ok()?,
                frees: frees.parse().ok()?,
            },
            ["take-back", "--all"] => Self::TakeBackAll,
            ["end-session", process_id] => Self::EndSession(process_id.parse().ok()?),
            ["forget-worker", worker_id] => Self::ForgetWorker(worker_id.parse().ok()?),
            ["schedules", "run", name] => Self::RunSchedule(name.to_owned()),
            ["schedules", "remove", name] => Self::RemoveSchedule(name.to_owned()),
            _ => return None,
        })
    }
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
