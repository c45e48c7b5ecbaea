//! Whether the loops of a worker turn, by this process's monotonic clock.
//!
//! Each loop beats whenever it comes round, and every [`PERIOD`] while it waits. What it does in between has a bound, so one
//! that is silent for long is stuck: on a lock, or on a handler that blocks all threads of the runtime.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often a loop beats that has nothing to do.
const PERIOD: Duration = Duration::from_secs(1);

/// Returns what comes every [`PERIOD`], and not twice for one that was missed.
pub(crate) fn pace() -> Interval {
    let mut pace = interval(PERIOD);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// A loop without which a worker does not work.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loop {
    Claims,
    Heartbeats,
    Outcomes,
}

const LOOPS: [Loop; 3] = [Loop::Claims, Loop::Heartbeats, Loop::Outcomes];

/// A loop that has not begun, or is over.
const AT_REST: u64 = u64::MAX;

/// When each loop has beaten last.
#[derive(Debug)]
pub(crate) struct Beats {
    made: Instant,
    /// In milliseconds since then.
    last: [AtomicU64; LOOPS.len()],
}

/// Ends the beats when the worker ends, in whatever way.
#[derive(Debug)]
pub(crate) struct Turning<'a>(&'a Beats);

impl Default for Beats {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            last: LOOPS.map(|_| AtomicU64::new(AT_REST)),
        }
    }
}

impl Beats {
    /// Records that all loops are about to begin.
    pub(crate) fn begin(&self) -> Turning<'_> {
        for of in LOOPS {
            self.beat(of);
        }
        Turning(self)
    }

    /// Records that a loop has come round.
    pub(crate) fn beat(&self, of: Loop) {
        let now = self.millis(Instant::now());
        self.last[of as usize].store(now, Ordering::Relaxed);
    }

    /// Records that a loop is over.
    pub(crate) fn end(&self, of: Loop) {
        self.last[of as usize].store(AT_REST, Ordering::Relaxed);
    }

    /// Tells whether any loop goes on.
    pub(crate) fn any(&self) -> bool {
        let mut last = self.last.iter();
        last.any(|last| last.load(Ordering::Relaxed) != AT_REST)
    }

    /// Returns for how long the loop has been silent that has been so for longest.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        let now = self.millis(now);
        let last = self.last.iter().map(|last| last.load(Ordering::Relaxed));
        let longest = last.map(|last| now.saturating_sub(last)).max();
        Duration::from_millis(longest.unwrap_or(0))
    }

    fn millis(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.made);
        u64::try_from(since.as_millis()).unwrap_or(AT_REST - 1)
    }
}

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        for of in LOOPS {
            self.0.end(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_counts_that_has_been_silent_for_longest_and_is_not_over() {
        let beats = Beats::default();
        let later = |seconds| beats.made + Duration::from_secs(seconds);
        assert!(!beats.any());
        assert_eq!(beats.silence(later(100)), Duration::ZERO);
        let turning = beats.begin();
        assert!(beats.any());
        assert!(beats.silence(later(100)) >= Duration::from_secs(99));
        let set = |of: Loop, seconds: u64| {
            beats.last[of as usize].store(seconds * 1000, Ordering::Relaxed);
        };
        set(Loop::Claims, 20);
        set(Loop::Heartbeats, 95);
        set(Loop::Outcomes, 99);
        assert_eq!(beats.silence(later(100)), Duration::from_secs(80));
        beats.end(Loop::Claims);
        assert_eq!(beats.silence(later(100)), Duration::from_secs(5));
        drop(turning);
        assert!(!beats.any());
        assert_eq!(beats.silence(later(1000)), Duration::ZERO);
    }
}
