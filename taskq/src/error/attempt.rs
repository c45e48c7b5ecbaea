//! How attempts failed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How an earlier attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptError {
    /// The number of the attempt, from 1.
    pub attempt: u16,
    /// When its failure was recorded, by the clock of the database.
    pub at: DateTime<Utc>,
    /// The error and its sources, in one line.
    pub error: String,
}
