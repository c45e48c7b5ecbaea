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
    /// What else is known of the attempt.
    #[serde(flatten)]
    pub report: AttemptReport,
}

/// What is known of an attempt that failed, beside its error. Where the worker vanished, that is
/// [`worker_id`](Self::worker_id) and [`claimed_at`](Self::claimed_at), and of attempts that were made before workers wrote
/// it down nothing.
///
/// The long texts are bounded, and stay with the last three attempts of a task: [`chain`](Self::chain) has up to 4,000 bytes,
/// [`backtrace`](Self::backtrace) up to 8,000. The values of secret fields are `***` in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptReport {
    /// When the handler began, by the clock of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, by the clock of the database. Its end was written a little later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// The id of the worker that made the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
    /// When the worker claimed the task, where it vanished: it left nobody who could say when the handler began, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<DateTime<Utc>>,
    /// The text of the error and of each of its [sources](std::error::Error::source), where it has sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// File, line and column of the panic, where the handler panicked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panicked_at: Option<String>,
    /// The name of the thread that panicked, or its id if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The frames of the panic, or of the error where it captured them as those of `anyhow` do, without those of the worker.
    /// The process captures them if its environment says `RUST_BACKTRACE=1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
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

/// Where a panic began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PanicPlace {
    /// File, line and column.
    pub(crate) at: String,
    /// The name of the thread, or its id if it has none.
    pub(crate) thread: String,
    /// All frames, if the process captures backtraces.
    pub(crate) backtrace: Option<String>,
}

/// The error of an attempt whose handler panicked. Its text has the message of the panic, and where it began if that is
/// known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    text: String,
    place: Option<Box<PanicPlace>>,
}

impl Panicked {
    pub(crate) fn new(text: String) -> Self {
        Self::at(text, None)
    }

    pub(crate) fn at(text: String, place: Option<PanicPlace>) -> Self {
        let place = place.map(Box::new);
        Self { text, place }
    }

    /// Returns where the panic began, if that is known.
    pub(crate) fn place(&self) -> Option<&PanicPlace> {
        self.place.as_deref()
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Panicked {}
