//! How much a queue's claims take at once, and how often the queue is scanned while they bring tasks.

use std::time::{Duration, Instant};

/// The most tasks that one claim takes. Larger ones are no faster.
const MOST_AT_ONCE: usize = 2_000;

/// The most bytes of payloads that a claim is meant to take, by the mean of those before. A row of
/// leases cannot hold more than a gigabyte, and a worker has to hold them all.
const MOST_BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

/// How many tasks a queue's first claim takes, before their size is known.
const FIRST_CLAIM: usize = 100;

/// Scans take no more than a hundredth of the time… Under load a scan walks over the rows that were deleted
/// lately, and so does the claim after it, which begins without cursors. The more workers there are, the longer
/// each scan takes, and the more of them scan.
const SCAN_SHARE: u32 = 100;

/// … but a worker believes a scan for at least so long…
const SHORTEST_SCAN_PAUSE: Duration = Duration::from_millis(100);

/// … and at most for so long.
const LONGEST_SCAN_PAUSE: Duration = Duration::from_secs(2);

/// The pace at which a queue is claimed from.
#[derive(Debug)]
pub(super) struct Pace {
    /// The most tasks to claim at once, by the size of those claimed last.
    most_at_once: usize,
    scanned: Instant,
    scan_pause: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            most_at_once: FIRST_CLAIM,
            scanned: now,
            scan_pause: Duration::ZERO,
        }
    }

    /// Returns how many tasks to claim at most.
    pub(super) fn most_at_once(&self) -> usize {
        self.most_at_once
    }

    /// Tells whether the last scan is too old to be believed.
    pub(super) fn is_scan_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.scanned) >= self.scan_pause
    }

    /// Records a scan that ended now and took so long.
    pub(super) fn record_scan(&mut self, now: Instant, took: Duration) {
        self.scanned = now;
        self.scan_pause = (took * SCAN_SHARE).clamp(SHORTEST_SCAN_PAUSE, LONGEST_SCAN_PAUSE);
    }

    /// Records how large so many claimed payloads are together.
    pub(super) fn record_claimed(&mut self, tasks: usize, bytes: usize) {
        if tasks > 0 {
            let fitting = MOST_BYTES_AT_ONCE * tasks / bytes.max(1);
            self.most_at_once = fitting.clamp(1, MOST_AT_ONCE);
        }
    }

    /// Records that a claim of so many tasks failed: perhaps they are too large together.
    pub(super) fn record_failed(&mut self, limit: usize) {
        self.most_at_once = (limit / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_take_as_many_tasks_as_their_size_allows() {
        let mut pace = Pace::new(Instant::now());
        assert_eq!(pace.most_at_once(), FIRST_CLAIM);
        pace.record_claimed(100, 10 * 1024 * 1024);
        assert_eq!(pace.most_at_once(), 160);
        pace.record_claimed(0, 0);
        assert_eq!(pace.most_at_once(), 160);
        pace.record_claimed(100, 200);
        assert_eq!(pace.most_at_once(), MOST_AT_ONCE);
        pace.record_failed(160);
        assert_eq!(pace.most_at_once(), 80);
        pace.record_failed(1);
        assert_eq!(pace.most_at_once(), 1);
    }

    #[test]
    fn scans_take_a_hundredth_of_the_time() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(pace.is_scan_due(now), "there was none yet");
        let mut pause_after = |took| {
            pace.record_scan(now, took);
            let pause = (0..=3_000).map(Duration::from_millis);
            let mut due = pause.filter(|pause| pace.is_scan_due(now + *pause));
            due.next().expect("a scan is due some time")
        };
        assert_eq!(pause_after(Duration::from_micros(10)), SHORTEST_SCAN_PAUSE);
        let pause = Duration::from_millis(500);
        assert_eq!(pause_after(pause / SCAN_SHARE), pause);
        assert_eq!(pause_after(Duration::from_secs(1)), LONGEST_SCAN_PAUSE);
    }
}
