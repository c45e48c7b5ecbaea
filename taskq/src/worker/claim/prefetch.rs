//! How many tasks a queue prefetches: as many as its handlers end in [`PREFETCH_TIME`].
//!
//! A worker whose handlers take microseconds would spend its time waiting for claims if it claimed only what can
//! run at once. Slow handlers prefetch nothing.

use std::time::{Duration, Instant};

use super::buffered::STALE_AFTER;

/// A claim takes some milliseconds; a commit beside it may take some ten.
const PREFETCH_TIME: Duration = Duration::from_millis(100);

/// The most tasks that a queue prefetches, however fast its handlers are.
const MOST_PREFETCHED: usize = 8_000;

/// The rate at which handlers end is measured over no less than this…
const MEASURED_OVER: Duration = Duration::from_millis(5);

/// … or for the first time, when many tasks are there all at once, over so many of them…
const FIRST_MEASURED: usize = 100;

/// … which are taken to need as long as this at least.
const FIRST_MEASURED_OVER: Duration = Duration::from_millis(1);

/// How long a worker watches tasks that have waited too long, before it hands them back,
/// unless by what it sees all of them have had their turn when they have waited as long again. Then handlers are no slower, but the
/// process has little of a busy machine's processors, and to hand tasks back would take more of them than to run them.
pub(super) const WATCHED: Duration = Duration::from_millis(250);

/// How many tasks one queue prefetches, by how fast its handlers ended lately.
///
/// Only the time counts in which there was something to run. Few slots have run a claim before the next one comes, and if the
/// wait for it counted, handlers would seem as slow as claims, and claims would stay small.
#[derive(Debug)]
pub(super) struct Prefetch {
    tasks: usize,
    /// How many handlers have ended since the last measurement…
    ended: usize,
    /// How many have ended since somebody watches.
    ended_watched: usize,
    /// … in this time, and since there has been something to run.
    busy: Duration,
    busy_since: Option<Instant>,
}

impl Prefetch {
    pub(super) fn new() -> Self {
        Self {
            tasks: 0,
            ended: 0,
            ended_watched: 0,
            busy: Duration::ZERO,
            busy_since: None,
        }
    }

    /// Returns how many tasks to hold besides those that can run at once.
    pub(super) fn tasks(&self) -> usize {
        self.tasks
    }

    /// Records that there is something to run.
    pub(super) fn record_busy(&mut self, now: Instant) {
        self.busy_since.get_or_insert(now);
    }

    /// Records that nothing is left to run.
    pub(super) fn record_at_rest(&mut self) {
        if let Some(since) = self.busy_since.take() {
            self.busy += since.elapsed();
        }
    }

    /// Records that a handler has ended.
    pub(super) fn record_ended(&mut self) {
        self.ended += 1;
        self.ended_watched += 1;
    }

    /// Counts from now on for [`come_along`](Self::come_along).
    pub(super) fn watch(&mut self) {
        self.ended_watched = 0;
    }

    /// Tells, when it was watched for [`WATCHED`], whether so many that wait will soon have had their turn.
    pub(super) fn come_along(&self, waiting: usize) -> bool {
        let will_end = self.ended_watched as f64 * STALE_AFTER.div_duration_f64(WATCHED);
        will_end >= waiting as f64
    }

    /// Records that prefetched tasks wait too long for their turn.
    pub(super) fn record_stale(&mut self) {
        self.tasks = 0;
    }

    /// Adjusts to the rate at which handlers ended: upwards at once, downwards by a quarter, since handlers that
    /// wait for a claim are none the slower.
    pub(super) fn adjust(&mut self, now: Instant) {
        let running = self.busy_since.map(|it| now.saturating_duration_since(it));
        let took = self.busy + running.unwrap_or_default();
        let is_first = self.tasks == 0 && self.ended >= FIRST_MEASURED;
        if took >= MEASURED_OVER || is_first {
            let seconds = took.max(FIRST_MEASURED_OVER).as_secs_f64();
            let fitting = self.ended as f64 * PREFETCH_TIME.as_secs_f64() / seconds;
            self.tasks = (fitting as usize)
                .min(MOST_PREFETCHED)
                .max(self.tasks * 3 / 4);
            self.ended = 0;
            self.busy = Duration::ZERO;
            self.busy_since = self.busy_since.map(|_| now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many tasks are prefetched once so many handlers have ended in so much time.
    fn after(prefetch: &mut Prefetch, ended: usize, milliseconds: u64) -> usize {
        (0..ended).for_each(|_| prefetch.record_ended());
        prefetch.busy += Duration::from_millis(milliseconds);
        prefetch.adjust(Instant::now());
        prefetch.tasks()
    }

    #[test]
    fn as_many_are_prefetched_as_handlers_end_in_a_tenth_of_a_second() {
        let mut prefetch = Prefetch::new();
        assert_eq!(after(&mut prefetch, 50, 10), 500);
        assert_eq!(after(&mut prefetch, 80, 10), 800, "upwards at once");
        assert_eq!(after(&mut prefetch, 10, 10), 600, "downwards by a quarter");
        assert_eq!(after(&mut prefetch, 100_000, 10), MOST_PREFETCHED);
    }

    #[test]
    fn slow_handlers_prefetch_nothing() {
        let mut prefetch = Prefetch::new();
        assert_eq!(after(&mut prefetch, 1, 1_000), 0);
    }

    #[test]
    fn the_first_rate_is_known_as_soon_as_many_have_ended() {
        let mut prefetch = Prefetch::new();
        assert_eq!(after(&mut prefetch, 99, 0), 0);
        assert_eq!(after(&mut prefetch, 1, 0), MOST_PREFETCHED);
    }

    #[test]
    fn those_that_wait_come_along_where_as_many_end_in_a_second() {
        let mut prefetch = Prefetch::new();
        assert!(!prefetch.come_along(1));
        (0..125).for_each(|_| prefetch.record_ended());
        assert!(prefetch.come_along(500));
        assert!(!prefetch.come_along(501));
        prefetch.watch();
        assert!(!prefetch.come_along(1), "none has ended since");
    }

    #[test]
    fn time_counts_only_while_there_is_something_to_run() {
        let mut prefetch = Prefetch::new();
        let began = Instant::now();
        prefetch.record_busy(began);
        assert_eq!(after(&mut prefetch, 3, 0), 0);
        prefetch.record_at_rest();
        prefetch.adjust(began + Duration::from_secs(60));
        assert!(prefetch.busy < Duration::from_secs(60), "{prefetch:?}");
        let later = Instant::now();
        prefetch.record_busy(later);
        prefetch.record_busy(later + Duration::from_secs(1));
        prefetch.ended = 1_000;
        prefetch.adjust(later + Duration::from_secs(2));
        let counted = prefetch.tasks();
        assert!(
            (45..=50).contains(&counted),
            "since it was busy first: {counted}"
        );
        assert_eq!(prefetch.busy_since, Some(later + Duration::from_secs(2)));
    }
}
