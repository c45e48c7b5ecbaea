//! What can go wrong when a handler begins its transaction.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use super::text::Said;

/// The transaction of an attempt could not be begun: see [`LazyTx::begin`](crate::LazyTx::begin).
#[derive(Debug)]
#[non_exhaustive]
pub enum BeginError {
    /// An operator has cancelled the task. Whatever the handler does now does not count.
    Cancelled,
    /// The task is not this worker's any more: another worker may be running it. Whatever the handler does now does not
    /// count.
    LeaseLost,
    /// Other handlers have used all connections for so long.
    NoConnection {
        /// How long the handler has waited.
        waited: Duration,
    },
    /// Postgres refused, or could not be reached.
    Database(sqlx::Error),
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot begin the task's transaction: ")?;
        match self {
            Self::Cancelled => f.write_str("an operator has cancelled the task"),
            Self::LeaseLost => {
                f.write_str("the lease of this task is lost, and another worker may be running it")
            }
            Self::NoConnection { waited } => write!(
                f,
                "other handlers used all connections of the pool for {waited:?}: raise `PgPoolOptions::max_connections` or `acquire_timeout`, or lower the queue's concurrency"
            ),
            Self::Database(error) => write!(f, "{}", Said(error)),
        }
    }
}

// The text says all of it.
impl Error for BeginError {}

/// For handlers that return `sqlx::Result`.
impl From<BeginError> for sqlx::Error {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Database(error) => error,
            BeginError::NoConnection { .. } => Self::PoolTimedOut,
            other => Self::Io(io::Error::other(other)),
        }
    }
}
