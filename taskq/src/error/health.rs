//! Why a worker is not ready.

use std::error::Error;
use std::fmt;

/// Why a worker is not ready: see [`Health::ready`](crate::Health::ready).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReady {
    /// It does not run yet, or has ended.
    NotRunning,
    /// It is stopping, and claims nothing more.
    Stopping,
    /// Postgres does not answer, or refuses.
    Database {
        /// What it said.
        error: String,
    },
    /// The tables are missing or of another version, or the server takes no writes.
    Tables {
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.write_str("the worker does not run"),
            Self::Stopping => f.write_str("the worker is stopping"),
            Self::Database { error } => write!(f, "cannot reach the database: {error}"),
            Self::Tables { problem } => f.write_str(problem),
        }
    }
}

impl Error for NotReady {}
