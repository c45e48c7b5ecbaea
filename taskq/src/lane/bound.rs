//! What bounds the tasks of a queue, a task type or a key, and who says so.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// What a limit is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "scope", content = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitScope {
    /// All tasks of a queue.
    Queue(String),
    /// All tasks of a type, in all queues.
    TaskType(String),
    /// The tasks of each key of a type.
    Key(String),
}

/// How much a limit lets through, over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bound {
    /// So many tasks run at once.
    Concurrency(u32),
    /// So many tasks start in a time.
    Rate {
        /// How many.
        most: u32,
        /// In this time.
        per: Duration,
        /// How many may start at once after a time of quiet.
        burst: u32,
    },
    /// One task runs at a time, the oldest first.
    Sequence {
        /// Whether a dead task holds up those behind it.
        is_blocked_by_dead: bool,
    },
    /// It bounds nothing: the keys take turns.
    Fair,
}

/// A limit of a queue, a task type, or each key of one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Limit {
    /// What it is of.
    #[serde(flatten)]
    pub scope: LimitScope,
    /// `concurrency`, `rate`, `sequence` or `fair`.
    pub kind: String,
    /// What holds; absent where an operator has lifted the limit.
    pub in_force: Option<Bound>,
    /// What the program of the task type says, if it says something.
    pub declared: Option<Bound>,
    /// The fields of the payload that make the key.
    pub fields: Option<Vec<String>>,
    /// An operator's word, where one stands in the place of what is declared.
    pub overridden: Option<Overridden>,
    /// Since when there is a limit, without a gap.
    pub since: DateTime<Utc>,
}

#[cfg(feature = "dashboard")]
impl Limit {
    /// Tells whether it lets nothing start.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self.in_force, Some(Bound::Concurrency(0)))
    }
}

/// Who has put a limit in the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Overridden {
    /// When.
    pub at: DateTime<Utc>,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When what is declared holds again by itself.
    pub until: Option<DateTime<Utc>>,
}

impl LimitScope {
    /// Returns the word for what the name is of, as the table has it, and the name.
    pub(crate) fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Queue(name) => ("queue", name),
            Self::TaskType(name) => ("task_type", name),
            Self::Key(name) => ("key", name),
        }
    }

    /// Reads the word for what the name is of, as the table has it.
    pub(crate) fn of(word: &str, name: String) -> Self {
        match word {
            "queue" => Self::Queue(name),
            "key" => Self::Key(name),
            _ => Self::TaskType(name),
        }
    }
}

impl fmt::Display for LimitScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue {name}"),
            Self::TaskType(name) => write!(f, "task type {name}"),
            Self::Key(name) => write!(f, "each key of {name}"),
        }
    }
}

/// `5 at once`, `100 in 60s, 20 of them at once`, `in sequence, which a dead task blocks`
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Concurrency(most) => write!(f, "{most} at once"),
            Self::Rate { most, per, burst } => {
                write!(f, "{most} in {per:?}, {burst} of them at once")
            }
            Self::Sequence { is_blocked_by_dead } => f.write_str(match is_blocked_by_dead {
                true => "in sequence, which a dead task blocks",
                false => "in sequence, which skips a dead task",
            }),
            Self::Fair => f.write_str("fair turns"),
        }
    }
}

/// `queue mail: 5 at once, by ada since 2026-03-01T07:30:00Z: SMTP is slow`
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        match self.in_force {
            Some(bound) => write!(f, "{}: {bound}", self.scope)?,
            None => write!(f, "{}: no limit of {}", self.scope, self.kind)?,
        }
        if let Some(said) = &self.overridden {
            write!(f, ", by {} since {}", said.by, seconds(said.at))?;
            if let Some(until) = said.until {
                write!(f, " until {}", seconds(until))?;
            }
            if let Some(declared) = self.declared {
                write!(f, ", declared {declared}")?;
            }
            if let Some(reason) = &said.reason {
                write!(f, ": {reason}")?;
            }
        }
        Ok(())
    }
}
