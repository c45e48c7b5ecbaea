//! How often tasks were returned uncharged because the connection of their transaction failed.
//!
//! A failover interrupts a task once or twice. A handler that ends its own connection, or crashes its server,
//! looks the same each time; it must not run for ever. So each worker counts, in memory: a task is returned at
//! most [`MOST`] times in a row, with pauses that make some ten seconds together, and then it is charged.
//!
//! A task that Postgres refuses to keep is returned once. It is remembered here too, and completes the next time
//! without being kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often in a row a worker returns a task uncharged.
pub(crate) const MOST: u32 = 10;

/// How long the worker waits before it returns a task for the first time; doubled with each further time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How many tasks are remembered. Most of those that are not heard of again were run by another worker.
const REMEMBERED: usize = 10_000;

/// Tasks that were returned.
#[derive(Debug, Default)]
pub(crate) struct Returns {
    by_task: Mutex<HashMap<i64, Returned>>,
    /// Whether there are any: as good as never.
    has_some: AtomicBool,
}

#[derive(Debug, Default)]
struct Returned {
    /// How often in a row.
    count: u32,
    /// Whether Postgres refuses to keep it when it has completed.
    is_not_kept: bool,
}

impl Returns {
    /// Records that a task was interrupted, and returns how long to wait before it is returned: half of the
    /// time and, by `chance`, up to all of it. Returns nothing if it was returned too often already.
    pub(crate) fn record(&self, task_id: i64, chance: f64) -> Option<Duration> {
        let mut by_task = self.lock();
        let returned = Self::entry(&mut by_task, task_id);
        if returned.count >= MOST {
            by_task.remove(&task_id);
            return None;
        }
        let longest = FIRST_PAUSE
            .saturating_mul(1 << returned.count)
            .min(LONGEST_PAUSE);
        returned.count += 1;
        self.has_some.store(true, Ordering::Relaxed);
        Some(longest.mul_f64(0.5 + 0.5 * chance))
    }

    /// Records that Postgres refuses to keep a task.
    pub(crate) fn record_not_kept(&self, task_id: i64) {
        Self::entry(&mut self.lock(), task_id).is_not_kept = true;
        self.has_some.store(true, Ordering::Relaxed);
    }

    /// Tells whether a task is to complete without being kept.
    pub(crate) fn is_not_kept(&self, task_id: i64) -> bool {
        self.has_some.load(Ordering::Relaxed)
            && self
                .lock()
                .get(&task_id)
                .is_some_and(|returned| returned.is_not_kept)
    }

    /// Records that an attempt at a task ended by itself.
    pub(crate) fn forget(&self, task_id: i64) {
        if !self.has_some.load(Ordering::Relaxed) {
            return;
        }
        let mut by_task = self.lock();
        by_task.remove(&task_id);
        self.has_some.store(!by_task.is_empty(), Ordering::Relaxed);
    }

    fn entry(by_task: &mut HashMap<i64, Returned>, task_id: i64) -> &mut Returned {
        if by_task.len() >= REMEMBERED {
            by_task.clear();
        }
        by_task.entry(task_id).or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Returned>> {
        self.by_task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_returned_ten_times_in_ten_seconds_and_then_charged() {
        let returns = Returns::default();
        let pauses: Vec<_> = (0..MOST).map_while(|_| returns.record(1, 1.0)).collect();
        assert_eq!(pauses.len(), 10);
        let together: Duration = pauses.iter().sum();
        assert!((10..20).contains(&together.as_secs()), "{together:?}");
        assert_eq!(returns.record(1, 1.0), None);
        assert!(returns.record(2, 1.0).is_some(), "each task for itself");
    }

    #[test]
    fn an_attempt_that_ends_by_itself_begins_the_count_anew() {
        let returns = Returns::default();
        (0..MOST).for_each(|_| assert!(returns.record(1, 0.0).is_some()));
        returns.forget(1);
        assert!(returns.record(1, 0.0).is_some());
    }

    #[test]
    fn a_task_that_is_not_kept_is_remembered_until_it_ends() {
        let returns = Returns::default();
        returns.record_not_kept(1);
        assert!(returns.record(1, 0.0).is_some());
        assert!(returns.is_not_kept(1) && !returns.is_not_kept(2));
        returns.forget(1);
        assert!(!returns.is_not_kept(1));
    }
}
