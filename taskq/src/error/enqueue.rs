//! What can go wrong when a task is enqueued.

use std::error::Error;
use std::fmt;

use super::{EncodeError, InvalidPayload, missing_table};

/// A task could not be enqueued. The caller's transaction decides what becomes of the rest.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The payload cannot be written as JSON, such as a map whose keys are no strings.
    Encode {
        /// The task type.
        task_type: &'static str,
        /// What serde_json says.
        source: EncodeError,
    },
    /// The payload has values that its task type refuses.
    Invalid {
        /// The task type.
        task_type: &'static str,
        /// Which values, and why.
        source: InvalidPayload,
    },
    /// An option of the enqueue is out of its range.
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// Postgres refused the insert, or could not be reached.
    Database(sqlx::Error),
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode { task_type, .. } => {
                write!(f, "the payload of `{task_type}` cannot be written as JSON")
            }
            Self::Invalid { task_type, .. } => write!(
                f,
                "the payload of `{task_type}` has values that its task type refuses"
            ),
            Self::Option { option, problem } => write!(f, "`{option}` {problem}"),
            Self::Database(error) if missing_table(error) => {
                f.write_str("this database has no task tables: run `taskq::migrate(&pool)` first")
            }
            Self::Database(_) => f.write_str("cannot insert the task"),
        }
    }
}

impl Error for EnqueueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode { source, .. } => Some(source),
            Self::Invalid { source, .. } => Some(source),
            Self::Option { .. } => None,
            Self::Database(source) => Some(source),
        }
    }
}

impl From<sqlx::Error> for EnqueueError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
