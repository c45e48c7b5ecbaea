//! What can come of waiting for a task, beside its result.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::text::Said;
use super::{BoxError, DecodeError};

/// What a caller that waited for a task has got in place of its result.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WaitError {
    /// The time was over before the task had ended. It waits or runs on: wait again, or leave it.
    TimedOut,
    /// The task will not run again, and its handler did not succeed.
    Dead {
        /// `discarded`, `invalid`, `quarantined` or `refused`.
        state: String,
        /// What went wrong in its last attempt.
        error: Option<String>,
    },
    /// Somebody has cancelled the task, or its handler has.
    Cancelled {
        /// Why, where that was said.
        error: Option<String>,
    },
    /// The task did not start in the time in which it was worth starting.
    Expired,
    /// There is no such task: the transaction that enqueued it has not committed or was rolled back; or the task has
    /// ended, and its time in the history is over, or somebody has deleted it.
    Gone,
    /// The task has completed, and what its handler returned could not be kept.
    NotKept {
        /// Why it could not be kept.
        reason: Option<String>,
    },
    /// The task has completed, and what is kept does not fit the type of the result.
    Decode {
        /// The task type.
        task_type: &'static str,
        /// Where in the result, such as `items[0].price`; `.` is the whole.
        path: String,
        /// The result as it is kept.
        raw: Box<RawValue>,
        /// What does not fit.
        source: Arc<BoxError>,
    },
    /// Postgres refused, or could not be reached until the time was over. All who waited share the error.
    Database(Arc<sqlx::Error>),
}

impl WaitError {
    pub(crate) fn decode(task_type: &'static str, raw: Box<RawValue>, error: DecodeError) -> Self {
        let path = error.path().to_owned();
        Self::Decode {
            task_type,
            path,
            raw,
            source: Arc::new(error.into_cause()),
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = |f: &mut fmt::Formatter<'_>, reason: &Option<String>| match reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        };
        match self {
            Self::TimedOut => write!(f, "the task has not ended in time"),
            Self::Dead { state, error } => {
                write!(f, "the task is {state}")?;
                why(f, error)
            }
            Self::Cancelled { error } => {
                write!(f, "the task was cancelled")?;
                why(f, error)
            }
            Self::Expired => write!(f, "the task has expired: it did not start in time"),
            Self::Gone => write!(
                f,
                "there is no such task: its enqueue has not committed, or its time in the history is over"
            ),
            Self::NotKept { reason } => {
                write!(f, "the task has completed, and its result was not kept")?;
                why(f, reason)
            }
            Self::Decode {
                task_type, path, ..
            } => write!(f, "the result of `{task_type}` does not decode at `{path}`"),
            Self::Database(error) => write!(f, "cannot wait for the task: {}", Said(error)),
        }
    }
}

impl Error for WaitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Decode { source, .. } => Some(&***source),
            // What others have is in their text.
            _ => None,
        }
    }
}
