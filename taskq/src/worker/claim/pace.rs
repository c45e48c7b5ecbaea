//! How much a queue's claims take at once, and how often the queue is scanned while they bring tasks.

use std::time::{Duration, Instant};

use crate::lane::Reach;

/// The most tasks that one claim takes, where Postgres is near. Larger ones are no faster.
const MOST_AT_ONCE: usize = 2_000;

/// For each millisecond of the way to Postgres and back a claim takes as many again, up to so many, or most of the time would
/// be spent on the way…
const MOST_FROM_AFAR: usize = 8_000;

/// … but what takes less than this is near. It may be as slow where the machine is busy, and the leases of larger claims than
/// need be are in part complete only when their outcomes are due.
const NEAR: Duration = Duration::from_micros(500);

/// The most bytes of payloads, errors and metadata that a claim is meant to take, by the mean of the last one. A row
/// of leases cannot hold more than a gigabyte, and a worker has to hold them all.
const MOST_BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

/// How many tasks a queue's first claim takes, before their size is known.
const FIRST_CLAIM: usize = 100;

/// A claim takes at most so many times as many tasks as the size of the last one allowed. Fifty errors of four
/// kilobytes each are a task of 200 kB, and such tasks come among small ones.
const GROWTH: usize = 4;

/// Scans of all workers together take no more than a hundredth of the time… Under load a scan walks over the rows that were
/// deleted lately. The more workers there are, the longer each scan takes, and the more of them find the same.
const SCAN_SHARE: u32 = 100;

/// … but a worker believes a scan for at least so long…
const SHORTEST_SCAN_PAUSE: Duration = Duration::from_millis(100);

/// … and at most for so long.
const LONGEST_SCAN_PAUSE: Duration = Duration::from_secs(2);

/// A thorough scan that takes less than this walks over nothing that is worth a thought, and is made whenever lanes
/// are empty. One that takes longer keeps to [`SCAN_SHARE`] of the time…
const QUICK_SCAN: Duration = Duration::from_millis(2);

/// … but is made after so long at the latest.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Of workers that start beside others, one begins to look in each such time for what those have left behind.
const FIRST_LOOK: Duration = Duration::from_millis(250);

/// A scan is taken to need as long as the least that so many of its like took lately, where so many workers made as many of them. A
/// worker may have waited for its own processor, and one such scan would keep all from looking for a hundred times as long.
const COMPARED: usize = 3;

/// The pace at which a queue is claimed from.
#[derive(Debug)]
pub(super) struct Pace {
    /// The most tasks to claim at once, by the size of those claimed last.
    most_at_once: usize,
    /// The most, whatever their size.
    most_by_way: usize,
    scanned: Instant,
    scan_pause: Duration,
    /// Whether the last scan looked from the heads.
    was_from_heads: bool,
    /// Whether claims began where others had come to, and have brought nothing yet.
    begins_beside: bool,
    /// When scans from the heads are allowed again, and scans of all lanes.
    heads_allowed: Instant,
    lanes_allowed: Instant,
    /// How long scans took lately, by their reach.
    took: [[Duration; COMPARED]; Reach::COUNT],
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            most_at_once: FIRST_CLAIM,
            most_by_way: MOST_AT_ONCE,
            scanned: now,
            scan_pause: Duration::ZERO,
            was_from_heads: false,
            begins_beside: false,
            heads_allowed: now,
            lanes_allowed: now,
            took: [[Duration::MAX; COMPARED]; Reach::COUNT],
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

    /// Returns how thorough a scan may be now.
    pub(super) fn reach(&self, now: Instant) -> Reach {
        if now >= self.heads_allowed {
            Reach::Heads
        } else if now >= self.lanes_allowed {
            Reach::Lanes
        } else {
            Reach::Marks
        }
    }

    /// Returns how thorough a scan may be now that nothing is known to be due.
    pub(super) fn reach_of_empty(&self, now: Instant) -> Reach {
        match self.begins_beside {
            true => Reach::Heads,
            false => self.reach(now),
        }
    }

    /// Has the first scan from the heads wait while so many workers are at it, half of the time and, by `chance`, up to all of it.
    pub(super) fn begin_beside(&mut self, now: Instant, workers: u32, chance: f64) {
        self.begins_beside = true;
        let wait = FIRST_LOOK.saturating_mul(workers).min(LONGEST_WAIT);
        self.heads_allowed = now + wait.mul_f64(0.5 + 0.5 * chance);
    }

    /// Returns how long until a scan from the heads is allowed, if the last scan was none.
    pub(super) fn scan_from_heads_missing(&self, now: Instant) -> Option<Duration> {
        let wait = self.heads_allowed.saturating_duration_since(now);
        (!self.was_from_heads).then_some(wait)
    }

    /// Has the next scan look from the heads.
    pub(super) fn allow_scan_from_heads(&mut self) {
        self.heads_allowed = self.scanned;
    }

    /// Records a scan that ended now and took so long, without the way to Postgres, where so many workers scan. Tells whether it
    /// looked from the heads and took no time.
    pub(super) fn record_scan(
        &mut self,
        now: Instant,
        reach: Reach,
        took: Duration,
        workers: u32,
    ) -> bool {
        let lately = &mut self.took[reach as usize];
        lately.rotate_right(1);
        lately[0] = took;
        let compared = COMPARED.div_ceil(workers as usize);
        let took = lately.iter().take(compared).copied().min().unwrap_or(took);
        let pause = took.saturating_mul(SCAN_SHARE.saturating_mul(workers));
        self.scanned = now;
        self.scan_pause = pause.clamp(SHORTEST_SCAN_PAUSE, LONGEST_SCAN_PAUSE);
        self.was_from_heads = reach == Reach::Heads;
        self.begins_beside &= !self.was_from_heads;
        let is_quick = took < QUICK_SCAN;
        let next = match is_quick {
            true => now,
            false => now + pause.min(LONGEST_WAIT),
        };
        match reach {
            Reach::Heads => self.heads_allowed = next,
            Reach::Lanes => self.lanes_allowed = next,
            Reach::Marks => {}
        }
        is_quick && self.was_from_heads
    }

    /// Records how long the way to Postgres and back takes.
    pub(super) fn record_round_trip(&mut self, round_trip: Duration) {
        let further = match round_trip < NEAR {
            true => 0.0,
            false => MOST_AT_ONCE as f64 * round_trip.as_secs_f64() * 1e3,
        };
        self.most_by_way = (MOST_AT_ONCE + further as usize).min(MOST_FROM_AFAR);
    }

    /// Records how large so many claimed tasks are together, with all that travels with them.
    pub(super) fn record_claimed(&mut self, tasks: usize, bytes: usize) {
        if tasks > 0 {
            self.begins_beside = false;
            let fitting = MOST_BYTES_AT_ONCE * tasks / bytes.max(1);
            let most = self.most_by_way.min(self.most_at_once * GROWTH);
            self.most_at_once = fitting.clamp(1, most);
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
        assert_eq!(pace.most_at_once(), 640, "larger step by step");
        pace.record_claimed(100, 200);
        assert_eq!(pace.most_at_once(), MOST_AT_ONCE);
        pace.record_failed(160);
        assert_eq!(pace.most_at_once(), 80);
        pace.record_failed(1);
        assert_eq!(pace.most_at_once(), 1);
    }

    #[test]
    fn claims_from_afar_take_more() {
        let mut pace = Pace::new(Instant::now());
        let mut most_after = |microseconds| {
            pace.record_round_trip(Duration::from_micros(microseconds));
            (0..3).for_each(|_| pace.record_claimed(100, 200));
            pace.most_at_once()
        };
        assert_eq!(most_after(300), MOST_AT_ONCE);
        assert_eq!(most_after(700), 3_400);
        assert_eq!(most_after(2_000), 6_000);
        assert_eq!(most_after(50_000), MOST_FROM_AFAR);
        assert_eq!(most_after(0), MOST_AT_ONCE);
    }

    #[test]
    fn scans_take_a_hundredth_of_the_time() {
        let now = Instant::now();
        assert!(Pace::new(now).is_scan_due(now), "there was none yet");
        let pause_after = |took| {
            let mut pace = Pace::new(now);
            pace.record_scan(now, Reach::Heads, took, 1);
            let pause = (0..=3_000).map(Duration::from_millis);
            let mut due = pause.filter(|pause| pace.is_scan_due(now + *pause));
            due.next().expect("a scan is due some time")
        };
        assert_eq!(pause_after(Duration::from_micros(10)), SHORTEST_SCAN_PAUSE);
        let pause = Duration::from_millis(500);
        assert_eq!(pause_after(pause / SCAN_SHARE), pause);
        assert_eq!(pause_after(Duration::from_secs(1)), LONGEST_SCAN_PAUSE);
    }

    #[test]
    fn a_single_scan_that_takes_long_says_nothing() {
        let (now, slow) = (Instant::now(), Duration::from_millis(6));
        let mut pace = Pace::new(now);
        pace.record_scan(now, Reach::Heads, Duration::from_millis(1), 1);
        for _ in 1..COMPARED {
            pace.record_scan(now, Reach::Heads, slow, 1);
            pace.record_scan(now, Reach::Marks, slow, 1);
            assert_eq!(pace.reach(now), Reach::Heads);
        }
        pace.record_scan(now, Reach::Heads, slow, 1);
        assert_eq!(pace.reach(now), Reach::Lanes, "several do");
    }

    #[test]
    fn thorough_scans_that_take_long_are_rare() {
        let now = Instant::now();
        let after = |milliseconds| now + Duration::from_millis(milliseconds);
        let mut pace = Pace::new(now);
        assert_eq!(pace.reach(now), Reach::Heads);
        assert!(pace.record_scan(now, Reach::Heads, Duration::from_millis(1), 1));
        assert_eq!(pace.reach(now), Reach::Heads, "it took no time");
        for _ in 1..COMPARED {
            assert!(pace.record_scan(now, Reach::Heads, Duration::from_secs(1), 1));
        }
        assert!(!pace.record_scan(now, Reach::Heads, Duration::from_millis(50), 1));
        assert_eq!(pace.scan_from_heads_missing(now), None);
        assert_eq!(pace.reach(now), Reach::Lanes);
        pace.record_scan(now, Reach::Lanes, Duration::from_millis(3), 1);
        let wait = pace.scan_from_heads_missing(now);
        assert_eq!(wait, Some(Duration::from_secs(5)));
        assert_eq!(pace.reach(after(299)), Reach::Marks);
        assert_eq!(pace.reach(after(300)), Reach::Lanes);
        assert_eq!(pace.reach(after(5_000)), Reach::Heads);
        for _ in 0..COMPARED {
            pace.record_scan(now, Reach::Heads, Duration::from_secs(3), 1);
        }
        assert_eq!(pace.reach(after(59_999)), Reach::Lanes);
        assert_eq!(pace.reach(now + LONGEST_WAIT), Reach::Heads);
        pace.allow_scan_from_heads();
        assert_eq!(pace.reach(now), Reach::Heads);
    }

    #[test]
    fn the_more_workers_there_are_the_more_seldom_each_scans() {
        let now = Instant::now();
        let after = |milliseconds| now + Duration::from_millis(milliseconds);
        let mut pace = Pace::new(now);
        pace.record_scan(now, Reach::Heads, Duration::from_millis(2), 5);
        assert!(!pace.is_scan_due(after(999)) && pace.is_scan_due(after(1_000)));
        assert_eq!(pace.reach(after(999)), Reach::Lanes);
        assert_eq!(pace.reach(after(1_000)), Reach::Heads);
        let mut pace = Pace::new(now);
        for milliseconds in [1, 3] {
            pace.record_scan(now, Reach::Heads, Duration::from_millis(milliseconds), 3);
        }
        assert_eq!(pace.reach(after(899)), Reach::Lanes, "the last one counts");
        assert_eq!(pace.reach(after(900)), Reach::Heads);
        pace.record_scan(now, Reach::Heads, Duration::from_millis(2), u32::MAX);
        assert!(pace.is_scan_due(now + LONGEST_SCAN_PAUSE));
        assert_eq!(pace.reach(now + LONGEST_WAIT), Reach::Heads);
    }

    #[test]
    fn a_worker_that_begins_beside_others_looks_from_the_heads_once_nothing_comes_or_it_is_its_turn()
     {
        let now = Instant::now();
        let begun = || {
            let mut pace = Pace::new(now);
            pace.begin_beside(now, 8, 1.0);
            pace
        };
        let turn = now + FIRST_LOOK * 8;
        let mut pace = begun();
        assert!(pace.is_scan_due(now), "other lanes may hold something");
        assert_eq!(pace.reach(now), Reach::Lanes);
        assert_eq!(pace.reach(turn), Reach::Heads);
        assert_eq!(pace.reach_of_empty(now), Reach::Heads);
        pace.record_claimed(1, 100);
        assert_eq!(pace.reach_of_empty(now), Reach::Lanes);
        let mut pace = begun();
        pace.record_scan(turn, Reach::Heads, QUICK_SCAN, 8);
        assert_eq!(pace.reach_of_empty(turn), Reach::Lanes);
    }
}
