//! What time it is by Postgres's clock, which alone decides when a task expires.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use chrono::{DateTime, Utc};

/// Postgres's clock, as the last scan told it.
#[derive(Debug)]
pub(crate) struct DatabaseClock {
    /// From when the monotonic clock is read…
    started: Instant,
    /// … and what Postgres's showed then, in microseconds.
    start: AtomicI64,
}

/// Before the first scan.
const UNKNOWN: i64 = i64::MIN;

impl Default for DatabaseClock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            start: AtomicI64::new(UNKNOWN),
        }
    }
}

impl DatabaseClock {
    /// Records a time that Postgres gave before `heard`.
    pub(crate) fn record(&self, time: DateTime<Utc>, heard: Instant) {
        let start = time.timestamp_micros() - self.since_start(heard);
        self.start.store(start, Ordering::Relaxed);
    }

    /// Returns the time, never later than it is; `None` before the first scan.
    pub(crate) fn now(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.micros_at(Instant::now())?)
    }

    /// Returns what the clock shows at `moment`, in microseconds; `None` before the first scan.
    pub(crate) fn micros_at(&self, moment: Instant) -> Option<i64> {
        let start = self.start.load(Ordering::Relaxed);
        (start != UNKNOWN).then(|| start.saturating_add(self.since_start(moment)))
    }

    fn since_start(&self, moment: Instant) -> i64 {
        let since = moment.saturating_duration_since(self.started);
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_goes_on_from_what_the_last_scan_told() {
        let clock = DatabaseClock::default();
        assert_eq!(clock.now(), None);
        let told = DateTime::from_timestamp(1_000_000, 0).expect("a time");
        let heard = Instant::now();
        clock.record(told, heard);
        let later = clock.micros_at(heard + Duration::from_millis(1500));
        assert_eq!(later, Some(told.timestamp_micros() + 1_500_000));
        assert!(clock.now().expect("known") >= told);
    }
}
