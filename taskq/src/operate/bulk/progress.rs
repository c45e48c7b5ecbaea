//! How far an operation on all that match has come.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::operate::number::number;
use crate::store::{BulkRow, RetriedRow};

/// What is done to all tasks that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BulkVerb {
    /// Dead ones run again; those that wait, if the filter says so, are due at once.
    Retry,
    /// Dead ones are deleted.
    Discard,
    /// Those that wait or run are set aside as cancelled.
    Cancel,
    /// Those that wait are due at another time.
    Reschedule,
}

/// An operation on all that matched a filter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Bulk {
    /// Its id.
    pub bulk_id: i64,
    /// What is done.
    pub verb: BulkVerb,
    /// To which tasks: a [`Filter`](crate::operate::Filter), as it was typed, or else as the functions in the database
    /// take it.
    pub filter: String,
    /// What they had died of, if the filter says of which cause: the type and the error of the newest task of each cause, and
    /// of three causes at most.
    pub died_of: Option<String>,
    /// In which states they are.
    pub states: Vec<String>,
    /// When retried or rescheduled tasks are due; `None`: at once.
    pub run_at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
    /// Who said so.
    pub by: String,
    /// When its members were frozen.
    pub frozen_at: DateTime<Utc>,
    /// When it began.
    pub began_at: Option<DateTime<Utc>>,
    /// Since when it rests, because somebody has stopped it.
    pub stopped_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How many members it has.
    pub frozen: u64,
    /// To how many of them it was done.
    pub done: u64,
    /// How many were no longer where they were.
    pub skipped: u64,
    /// How many have failed: Postgres refused them, or others had them locked all the time.
    pub failed: u64,
}

/// A task to which it could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BulkFailure {
    /// Its id.
    pub task_id: i64,
    /// Why.
    pub error: String,
}

/// What has become of the tasks that an operation retried: see [`Operator::follow_bulk`](crate::operate::Operator::follow_bulk).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Retried {
    /// Of so many it tells: about the first ten thousand, for a week.
    pub followed: u64,
    /// How many have not been tried yet.
    pub waiting: u64,
    /// How many have failed again, and wait for another attempt.
    pub failing: u64,
    /// How many run.
    pub running: u64,
    /// How many have completed. A row that somebody has deleted in SQL counts here, too: it is nowhere either.
    pub completed: u64,
    /// How many an operator has deleted since.
    pub discarded: u64,
    /// How many are dead again.
    pub dead: u64,
    /// How many Postgres has refused to take back.
    pub refused: u64,
}

impl BulkVerb {
    /// Returns its name: `retry`, `discard`, `cancel` or `reschedule`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
            Self::Cancel => "cancel",
            Self::Reschedule => "reschedule",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "retry" => Self::Retry,
            "discard" => Self::Discard,
            "cancel" => Self::Cancel,
            _ => Self::Reschedule,
        }
    }
}

impl Bulk {
    /// Returns how many members are left.
    pub fn left(&self) -> u64 {
        let gone = self.done + self.skipped + self.failed;
        self.frozen.saturating_sub(gone)
    }

    /// Tells whether it has ended or somebody has stopped it.
    pub(super) fn rests(&self) -> bool {
        self.ended_at.is_some() || self.stopped_at.is_some()
    }

    pub(super) fn of(row: BulkRow) -> Self {
        let states = row.filter["state"].as_array().into_iter().flatten();
        let states = states.filter_map(|state| state.as_str().map(str::to_owned));
        Self {
            bulk_id: row.bulk_id,
            verb: BulkVerb::of(&row.verb),
            states: states.collect(),
            filter: row.said.unwrap_or_else(|| row.filter.to_string()),
            died_of: row.died_of,
            run_at: row.run_at,
            reason: row.reason,
            by: row.by,
            frozen_at: row.frozen_at,
            began_at: row.began_at,
            stopped_at: row.stopped_at,
            ended_at: row.ended_at,
            frozen: row.frozen.unsigned_abs(),
            done: row.done.unsigned_abs(),
            skipped: row.skipped.unsigned_abs(),
            failed: row.failed.unsigned_abs(),
        }
    }
}

impl Retried {
    /// Returns how many still wait or run.
    #[cfg(feature = "dashboard")]
    pub(crate) fn left(&self) -> u64 {
        self.waiting + self.failing + self.running
    }

    pub(super) fn of(row: &RetriedRow) -> Self {
        Self {
            followed: row.followed.unsigned_abs(),
            waiting: row.waiting.unsigned_abs(),
            failing: row.failing.unsigned_abs(),
            running: row.running.unsigned_abs(),
            completed: row.completed.unsigned_abs(),
            discarded: row.discarded.unsigned_abs(),
            dead: row.dead.unsigned_abs(),
            refused: row.refused.unsigned_abs(),
        }
    }
}

/// `1,600 completed, 0 deleted since, 2 run, 60 wait, 5 wait after they failed again, 0 dead again, 0 refused, of 1,667 that are followed`
impl fmt::Display for Retried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} completed, {} deleted since, {} run, {} wait, {} wait after they failed again, {} dead again, {} refused, of {} that are followed",
            number(self.completed),
            number(self.discarded),
            number(self.running),
            number(self.waiting),
            number(self.failing),
            number(self.dead),
            number(self.refused),
            number(self.followed),
        )
    }
}

impl fmt::Display for BulkVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far it has come: `retry 7: 4999 done, 1 skipped, 0 failed of 5000`.
impl fmt::Display for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bulk_id,
            verb,
            frozen,
            done,
            skipped,
            failed,
            ..
        } = self;
        write!(
            f,
            "{verb} {bulk_id}: {done} done, {skipped} skipped, {failed} failed of {frozen}"
        )?;
        match (self.began_at, self.ended_at, self.stopped_at) {
            (None, ..) => f.write_str("; has not begun"),
            (_, None, Some(_)) => f.write_str("; stopped"),
            _ => Ok(()),
        }
    }
}
