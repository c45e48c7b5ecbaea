//! What the tables know of a group.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// A group, as the tables have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GroupStatus {
    /// Its id.
    pub group_id: i64,
    /// The type of the task that is enqueued when it ends.
    pub task_type: String,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When somebody said that all its members are there, if somebody did.
    pub sealed_at: Option<DateTime<Utc>>,
    /// When it ended, if it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// The id of its task, if it has ended.
    pub task_id: Option<i64>,
    /// Why its task could not be enqueued, if Postgres has refused it. Workers try again each minute.
    pub problem: Option<String>,
    /// How many members it has.
    pub members: i64,
    /// How many of them have not ended.
    pub remaining: i64,
    /// How many completed.
    pub completed: i64,
    /// How many were discarded.
    pub discarded: i64,
    /// How many were cancelled.
    pub cancelled: i64,
    /// How many had a payload that did not decode.
    pub invalid: i64,
    /// How many were quarantined.
    pub quarantined: i64,
    /// How many were not started in time.
    pub expired: i64,
    /// How many were nowhere any more.
    pub deleted: i64,
}

impl GroupStatus {
    /// Returns its state in one word: `adding` until it is sealed, `open`, `refused` where Postgres refuses its task, `ended`.
    pub fn state(&self) -> &'static str {
        match self {
            Self {
                ended_at: Some(_), ..
            } => "ended",
            Self {
                problem: Some(_), ..
            } => "refused",
            Self {
                sealed_at: None, ..
            } => "adding",
            _ => "open",
        }
    }

    /// Returns how its members ended, those ways that occurred.
    pub fn outcomes(&self) -> Vec<(&'static str, i64)> {
        let all = [
            ("completed", self.completed),
            ("discarded", self.discarded),
            ("cancelled", self.cancelled),
            ("invalid", self.invalid),
            ("quarantined", self.quarantined),
            ("expired", self.expired),
            ("deleted", self.deleted),
        ];
        all.into_iter().filter(|(_, number)| *number > 0).collect()
    }
}

impl fmt::Display for GroupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "group {} for {}: {}, {} of {} members left",
            self.group_id,
            self.task_type,
            self.state(),
            self.remaining,
            self.members
        )?;
        for (outcome, number) in self.outcomes() {
            write!(f, ", {number} {outcome}")?;
        }
        Ok(())
    }
}
