//! What time it is by Postgres's clock, which alone decides when a task expires.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// Postgres's clock, as the last scan told it.
#[derive(Debug, Default)]
pub(crate) struct DatabaseClock(Mutex<Option<(DateTime<Utc>, Instant)>>);

impl DatabaseClock {
    /// Records a time that Postgres gave before `heard`.
    pub(crate) fn record(&self, time: DateTime<Utc>, heard: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, heard));
    }

    /// Returns the time, never later than it is; `None` before the first scan.
    pub(crate) fn now(&self) -> Option<DateTime<Utc>> {
        let (time, heard) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        time.checked_add_signed(TimeDelta::from_std(heard.elapsed()).ok()?)
    }
}
