//! Why a drain did not end as it should, as a test that fails by it prints it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde_json::value::RawValue;

use super::outcome::OutcomeCounts;
use crate::attempt::ended::{AttemptOutcome, EndedAttempt};
use crate::error::WorkerError;
use crate::faults::drain_limit;
use crate::worker::DRAIN_LIMIT;

/// How many failed attempts are shown.
const SHOWN: usize = 10;

/// Why [`drain`](super::drain()) or [`run_one`](super::run_one) did not end as it should.
///
/// `Debug` writes the same text as `Display`, followed by its sources, since that is what a failed test prints.
#[non_exhaustive]
pub enum DrainError {
    /// The worker did not start, or could not go on.
    Worker(WorkerError),
    /// Attempts failed that the test does not expect to.
    Failed {
        /// They, in the order in which they ended.
        attempts: Vec<FailedAttempt>,
        /// How all attempts ended.
        counts: OutcomeCounts,
    },
    /// After so long there was still something to do.
    Endless {
        /// How long.
        limit: Duration,
        /// What had ended until then.
        counts: OutcomeCounts,
    },
    /// A handler has committed the test's transaction, or rolled it back.
    TransactionEnded {
        /// The handler's task type.
        task_type: String,
    },
    /// Postgres has refused a statement in the test's transaction, which is as it was before that statement.
    Database(sqlx::Error),
}

/// An attempt that failed. See [`DrainError::Failed`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The task.
    pub task_id: i64,
    /// Its type, by its present name.
    pub task_type: &'static str,
    /// Its payload, with `***` in the place of secret values.
    pub payload: Box<RawValue>,
    /// Which attempt of the task it was; the first is 1.
    pub number: u16,
    /// How many the task may have.
    pub max_attempts: u16,
    /// What became of the task, with the error and its sources.
    pub outcome: AttemptOutcome,
}

impl DrainError {
    pub(super) fn endless(counts: OutcomeCounts) -> Self {
        Self::Endless {
            limit: drain_limit(DRAIN_LIMIT),
            counts,
        }
    }

    /// Returns the counts, if no attempt failed.
    pub(super) fn unless_all_succeeded(
        ended: Vec<EndedAttempt>,
        counts: OutcomeCounts,
    ) -> Result<OutcomeCounts, Self> {
        let failed = ended.into_iter().filter(|it| it.outcome.is_failure());
        let failed = failed.map(|ended| FailedAttempt {
            payload: RawValue::from_string(ended.payload().to_owned()).unwrap_or_default(),
            task_id: ended.task_id,
            task_type: ended.task_type,
            number: ended.number,
            max_attempts: ended.max_attempts,
            outcome: ended.outcome,
        });
        let attempts: Vec<_> = failed.collect();
        match attempts.is_empty() {
            true => Ok(counts),
            false => Err(Self::Failed { attempts, counts }),
        }
    }
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(_) => {
                f.write_str("the worker of a test did not start, or could not go on")
            }
            Self::Failed { attempts, counts } => {
                let (failed, total) = (attempts.len(), counts.total());
                write!(f, "{failed} of {total} attempts failed")?;
                for attempt in attempts.iter().take(SHOWN) {
                    write!(f, "\n  {attempt}")?;
                }
                if failed > SHOWN {
                    write!(f, "\n  and {} more", failed - SHOWN)?;
                }
                f.write_str("\nif the test expects failures, write `drain(…).allow_failures()`")
            }
            Self::Endless { limit, counts } => write!(
                f,
                "there was still something to do after {limit:?}, when {} attempts had ended: a handler hangs, or each task makes another one due, or Postgres is away",
                counts.total()
            ),
            Self::TransactionEnded { task_type } => write!(
                f,
                "the handler of `{task_type}` ended the transaction in which the test runs it: commit and rollback are the worker's"
            ),
            Self::Database(_) => {
                f.write_str("Postgres refused a statement in the test's transaction")
            }
        }
    }
}

impl fmt::Display for FailedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            task_id,
            task_type,
            payload,
            number,
            max_attempts,
            outcome,
        } = self;
        write!(f, "task {task_id}, `{task_type}` {}", payload.get())?;
        write!(f, ", attempt {number} of {max_attempts}, ")?;
        match outcome {
            AttemptOutcome::Retried { error, .. } => write!(f, "to be retried: {error}"),
            // A handler that discards its task says so itself.
            AttemptOutcome::Discarded { error } => {
                write!(f, "discarded: {}", error.trim_start_matches("discarded: "))
            }
            AttemptOutcome::Invalid { error } => write!(f, "invalid: {error}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Debug for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl Error for DrainError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Worker(source) => Some(source),
            Self::Database(source) => Some(source),
            Self::Failed { .. } | Self::Endless { .. } | Self::TransactionEnded { .. } => None,
        }
    }
}
