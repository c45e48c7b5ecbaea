//! How attempts failed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

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

/// The error of an attempt that took longer than its timeout: a function that says how long a failed task waits, as
/// `#[task(retry = …)]` names it, knows a timeout by it.
///
/// ```
/// use std::error::Error;
///
/// fn is_slow(error: &(dyn Error + 'static)) -> bool {
///     error.is::<taskq::error::TimedOut>()
/// }
/// # assert!(!is_slow(&std::fmt::Error));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut {
    after: Duration,
}

impl TimedOut {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after }
    }

    /// Returns how long the attempt was allowed to take.
    pub fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timed out after {:?}", self.after)
    }
}

impl Error for TimedOut {}

/// The error of an attempt whose handler panicked. Its text has the message of the panic, and where it began if that is
/// known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    text: String,
}

impl Panicked {
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Panicked {}
