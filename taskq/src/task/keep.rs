//! For how long finished tasks of a type are kept, by outcome.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// The outcome of a completed task, as the tables call it.
const COMPLETED: &str = "completed";

/// For how long finished tasks of a type are kept, by outcome.
///
/// What it leaves out is as for types that say nothing: dead tasks are kept for ever, whatever they died of. Completed ones
/// are kept where the worker has [`keep_completed`](crate::WorkerBuilder::keep_completed) or their result is kept, and for as
/// long as its [`history_retention`](crate::WorkerBuilder::history_retention) says.
///
/// ```
/// use std::time::Duration;
/// use taskq::handler::{Declaration, Keep, KeepFor};
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// // As `#[task(keep(completed = "7d", discarded = "30d", cancelled = "none"))]`.
/// const DECLARATION: Declaration = Declaration::new().keep(
///     Keep::new()
///         .completed(KeepFor::Time(DAY.saturating_mul(7)))
///         .discarded(KeepFor::Time(DAY.saturating_mul(30)))
///         .cancelled(KeepFor::NotAtAll),
/// );
/// ```
///
/// Where several versions of a program run, the longest time of a type and outcome holds that a living worker declares, or has
/// declared within the last day. Where no worker of the type lives, what was declared last goes on to hold. An operator may say another
/// (`taskq.keep`).
///
/// A worker prunes about once a minute, and nothing in the first minute after its end. Completed tasks that are kept
/// longest go with their whole day, so up to a day and an hour later.
/// A dead task stays as long as its sequence waits at it, and while a bulk operation has it in its list. A member of a group
/// stays until that has ended, and its time counts from then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    pub(crate) completed: Option<KeepFor>,
    discarded: Option<KeepFor>,
    cancelled: Option<KeepFor>,
    expired: Option<KeepFor>,
    invalid: Option<KeepFor>,
    quarantined: Option<KeepFor>,
}

/// For how long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepFor {
    /// Not at all: `"none"`. A completed task leaves nothing behind; a dead one goes when a worker next prunes.
    NotAtAll,
    /// So long after the end, by the clock of Postgres: at least a minute, at most a hundred years.
    Time(Duration),
    /// For ever: `"forever"`.
    Forever,
}

impl KeepFor {
    /// Returns it in words that the function `taskq.keep` takes.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::NotAtAll => "none".into(),
            Self::Time(time) => format!("{} seconds", time.min(LONGEST).as_secs_f64()),
            Self::Forever => "forever".into(),
        }
    }
}

impl Keep {
    /// Says nothing yet.
    pub const fn new() -> Self {
        Self {
            completed: None,
            discarded: None,
            cancelled: None,
            expired: None,
            invalid: None,
            quarantined: None,
        }
    }

    /// Says it of completed tasks.
    pub const fn completed(mut self, keep_for: KeepFor) -> Self {
        self.completed = Some(keep_for);
        self
    }

    /// Says it of tasks whose attempts were used up, or whose handler discarded them.
    pub const fn discarded(mut self, keep_for: KeepFor) -> Self {
        self.discarded = Some(keep_for);
        self
    }

    /// Says it of tasks that somebody cancelled.
    pub const fn cancelled(mut self, keep_for: KeepFor) -> Self {
        self.cancelled = Some(keep_for);
        self
    }

    /// Says it of tasks that did not start by their time.
    pub const fn expired(mut self, keep_for: KeepFor) -> Self {
        self.expired = Some(keep_for);
        self
    }

    /// Says it of tasks whose payload does not decode.
    pub const fn invalid(mut self, keep_for: KeepFor) -> Self {
        self.invalid = Some(keep_for);
        self
    }

    /// Says it of tasks that kept killing their workers.
    pub const fn quarantined(mut self, keep_for: KeepFor) -> Self {
        self.quarantined = Some(keep_for);
        self
    }

    /// Returns what is said, by the names that outcomes have in the tables, in seconds.
    pub(crate) fn said(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [
            (COMPLETED, self.completed),
            ("discarded", self.discarded),
            ("cancelled", self.cancelled),
            ("expired", self.expired),
            ("invalid", self.invalid),
            ("quarantined", self.quarantined),
        ];
        all.into_iter()
            .filter_map(|(outcome, keep_for)| Some((outcome, keep_for?.seconds())))
    }
}

impl KeepFor {
    fn seconds(self) -> f64 {
        match self {
            Self::NotAtAll => 0.0,
            Self::Time(time) => time.min(LONGEST).as_secs_f64(),
            Self::Forever => f64::INFINITY,
        }
    }
}

/// A hundred years: what the attribute takes at the most, and what Postgres can subtract from now.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// What a worker declares, in columns.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct DeclaredKeeps {
    /// Empty: the types that say nothing of their completed tasks.
    pub(crate) task_types: Vec<&'static str>,
    pub(crate) outcomes: Vec<&'static str>,
    pub(crate) seconds: Vec<f64>,
}

impl DeclaredKeeps {
    pub(crate) fn is_empty(&self) -> bool {
        self.task_types.is_empty()
    }

    /// Adds what a type says, under one of its names.
    pub(crate) fn add(&mut self, task_type: &'static str, keep: &Keep) {
        for (outcome, seconds) in keep.said() {
            self.push(task_type, outcome, seconds);
        }
    }

    /// Adds for how long completed tasks are kept of which nobody says it.
    pub(crate) fn add_unsaid(&mut self, time: Duration) {
        self.push("", COMPLETED, KeepFor::Time(time).seconds());
    }

    fn push(&mut self, task_type: &'static str, outcome: &'static str, seconds: f64) {
        self.task_types.push(task_type);
        self.outcomes.push(outcome);
        self.seconds.push(seconds);
    }
}

/// For how long the finished tasks of a type and outcome are kept: see [`Operator::keeps`](crate::operate::Operator::keeps).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KeepRule {
    /// Their task type. Empty: the completed tasks of all types that say nothing of them.
    pub task_type: String,
    /// How they ended: `completed`, or the state in which they are dead.
    pub outcome: String,
    /// For how many seconds they are kept: `Some(0.0)` is not at all, `None` is for ever.
    pub seconds: Option<f64>,
    /// Whether an operator has said it, in the place of what programs declare.
    pub is_overridden: bool,
    /// Who that was.
    pub by: Option<String>,
    /// Why, if he said so.
    pub reason: Option<String>,
    /// When he said it.
    pub said_at: Option<DateTime<Utc>>,
    /// How many were ever pruned.
    pub pruned: u64,
    /// When some were pruned last.
    pub last_pruned_at: Option<DateTime<Utc>>,
}

/// Finished tasks of a type and outcome that are kept no longer: see [`Operator::prunable`](crate::operate::Operator::prunable).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Prunable {
    /// Their task type.
    pub task_type: String,
    /// How they ended: `completed`, or the state in which they are dead.
    pub outcome: String,
    /// For how many seconds they are kept.
    pub seconds: f64,
    /// How many there are.
    pub tasks: u64,
    /// When the oldest of them ended.
    pub oldest_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_not_said() {
        let keep = Keep::new()
            .completed(KeepFor::NotAtAll)
            .expired(KeepFor::Forever)
            .cancelled(KeepFor::Time(Duration::from_secs(90)));
        let said: Vec<_> = keep.said().collect();
        assert_eq!(
            said,
            [
                ("completed", 0.0),
                ("cancelled", 90.0),
                ("expired", f64::INFINITY)
            ]
        );
        assert_eq!(Keep::new().said().count(), 0);
    }

    #[test]
    fn more_than_a_hundred_years_are_a_hundred() {
        assert!(KeepFor::Time(Duration::MAX).seconds() < 4e9);
        assert_eq!(
            KeepFor::Time(Duration::MAX).in_words(),
            "3162240000 seconds"
        );
    }
}
