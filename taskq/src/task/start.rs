//! When a task may start.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// When a task may start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Start {
    #[default]
    Now,
    After(Duration),
    At(DateTime<Utc>),
}

impl Start {
    /// Returns the time asked for, if one was, and the seconds to wait if none was.
    pub(crate) fn run_at_and_delay(self) -> (Option<DateTime<Utc>>, f64) {
        match self {
            Self::Now => (None, 0.0),
            Self::After(delay) => (None, delay.as_secs_f64()),
            Self::At(run_at) => (Some(run_at), 0.0),
        }
    }
}
