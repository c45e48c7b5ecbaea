//! How an attempt ended, and what became of its task, in the words of hooks, events and tests.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::attempt::metadata::Metadata;
use crate::error::AttemptReport;

/// The names under which the trace of an enqueue travels: of one task, and of many at once.
const TRACE_PARENTS: [&str; 2] = ["traceparent", "tracelink"];

/// An attempt that has ended: what [hooks](crate::Hook) and [events](crate::events::Event) are told of it, and what
/// [`run_one`](crate::testing::run_one) returns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedAttempt {
    /// The task.
    pub task_id: i64,
    /// Its type, by its present name. The row may say an alias.
    pub task_type: &'static str,
    /// The queue from which it was claimed.
    pub queue: Arc<str>,
    /// Which attempt of the task it was; the first is 1.
    pub number: u16,
    /// How many attempts the task has at most.
    pub max_attempts: u16,
    /// What became of the task.
    pub outcome: AttemptOutcome,
    /// The worker that made the attempt.
    pub worker_id: Uuid,
    /// When the task was enqueued, by the clock of the database.
    pub created_at: DateTime<Utc>,
    /// How long the task had been due when its handler started. `None` where the handler did not come to its end.
    pub waited: Option<Duration>,
    /// How long the handler ran. `None` where it did not come to its end.
    pub ran: Option<Duration>,
    /// What is known of a failure beside its text: each level of the error, the place of a panic, and frames.
    pub report: Option<Box<AttemptReport>>,
    pub(crate) payload: Arc<str>,
    pub(crate) metadata: Metadata,
}

impl EndedAttempt {
    /// Returns the payload as JSON, with `"***"` in the place of the values of secret fields.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// Returns a value that the enqueue gave beside the payload, under this name: see
    /// [`Enqueue::metadata`](crate::Enqueue::metadata).
    pub fn metadata(&self, name: &str) -> Option<&Value> {
        self.metadata.get(name)
    }

    /// Returns the `traceparent` of the enqueue, as W3C writes it, if the enqueue was traced.
    pub fn trace_parent(&self) -> Option<&str> {
        let mut found = TRACE_PARENTS.iter().filter_map(|it| self.metadata.get(it));
        found.next()?.as_str()
    }

    /// Returns what failed, in one line and without the values of secret fields: see [`AttemptOutcome::error`].
    pub fn error(&self) -> Option<&str> {
        self.outcome.error()
    }
}

/// What became of a task after an attempt, as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The handler succeeded.
    Completed,
    /// The handler failed, and another attempt follows.
    Retried {
        /// How long the task waits for it.
        delay: Duration,
        /// What the handler said, or that it panicked, or ran too long.
        error: String,
    },
    /// The handler asked to run later, or the task is given up later, since a hook or its `on_discard` has failed.
    Snoozed {
        /// How much later.
        delay: Duration,
    },
    /// The task is dead: the handler said so, or failed in the last attempt.
    Discarded {
        /// What the handler said.
        error: String,
    },
    /// The task is no longer wanted: the handler found that, or an operator said so while it ran.
    Cancelled {
        /// What the handler said.
        error: String,
    },
    /// The payload does not decode.
    Invalid {
        /// Where it does not, and why.
        error: String,
    },
    /// The task was to start by a time, and did not.
    Expired,
    /// The task waits as before, and no attempt was used: it was paused meanwhile, its worker stops, or the connection of
    /// its transaction failed.
    HandedBack,
    /// Postgres refused what the outcome was to be written into, and the task is set aside in `taskq.refused`.
    Refused {
        /// What Postgres said.
        error: String,
    },
    /// The attempt does not count, whatever its handler returned: the lease was lost, so another worker has the task or had
    /// it; or somebody cancelled or deleted the task before its outcome was written; or the answer to a commit was lost, so
    /// that the worker cannot know.
    Lost,
}

impl AttemptOutcome {
    /// Returns the outcome in one word, as metrics and tables say it: `completed`, `retry`, `snooze`, `discarded`,
    /// `cancelled`, `invalid`, `expired`, `hand_back`; and besides `refused` and `lost`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Retried { .. } => "retry",
            Self::Snoozed { .. } => "snooze",
            Self::HandedBack => "hand_back",
            Self::Discarded { .. } => "discarded",
            Self::Cancelled { .. } => "cancelled",
            Self::Invalid { .. } => "invalid",
            Self::Expired => "expired",
            Self::Refused { .. } => "refused",
            Self::Lost => "lost",
        }
    }

    /// Returns why the task has not completed, where somebody said why.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Retried { error, .. }
            | Self::Discarded { error }
            | Self::Cancelled { error }
            | Self::Invalid { error }
            | Self::Refused { error } => Some(error),
            Self::Completed
            | Self::Snoozed { .. }
            | Self::Expired
            | Self::HandedBack
            | Self::Lost => None,
        }
    }

    /// Tells whether the attempt failed: it is retried, discarded or invalid.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Retried { .. } | Self::Discarded { .. } | Self::Invalid { .. }
        )
    }
}
