//! One lease as its worker knows it: how much of it is left, and when it ends.

use std::time::{Duration, Instant};

use crate::store::{ClaimedLease, Scarcity};

#[derive(Debug)]
pub(super) struct HeldLease {
    /// Tasks that have not left the lease yet.
    pub(super) remaining: usize,
    /// When the call was made that last extended it.
    pub(super) extended: Instant,
    /// Its row is being written to: a heartbeat would wait for that.
    pub(super) settling: bool,
    /// Whether others may wait for its tasks to end.
    pub(super) scarcity: Scarcity,
    /// What its tasks are limited by; absent where they are not.
    pub(super) limited: Option<LimitedKey>,
}

/// What tasks of a type are limited by: one key, or whatever keys they have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LimitedKey {
    pub(crate) task_type: String,
    pub(crate) key: Option<String>,
}

impl HeldLease {
    /// A lease that was claimed by a call made at `claimed`.
    pub(super) fn new(lease: &ClaimedLease, claimed: Instant) -> Self {
        let is_limited = lease.scarcity != Scarcity::Free;
        let first = lease.tasks.first().filter(|_| is_limited);
        Self {
            remaining: lease.tasks.len(),
            extended: claimed,
            settling: false,
            scarcity: lease.scarcity,
            limited: first.map(|task| LimitedKey {
                task_type: task.task_type.clone(),
                key: lease.limited_key.clone(),
            }),
        }
    }

    #[cfg(test)]
    pub(super) fn free(remaining: usize, claimed: Instant) -> Self {
        Self {
            remaining,
            extended: claimed,
            settling: false,
            scarcity: Scarcity::Free,
            limited: None,
        }
    }

    /// Tells whether the lease may end soon, so that its handlers must stop: another worker may start
    /// them. It ends in Postgres no earlier than `duration` after it was extended, and handlers have the
    /// last sixth of that to stop in.
    ///
    /// That an outcome is being written changes nothing: nobody knows for how long, and the handlers of
    /// the rest of the lease must not wait for that.
    pub(super) fn is_overdue(&self, now: Instant, duration: Duration) -> bool {
        now.saturating_duration_since(self.extended) >= duration - duration / 6
    }

    /// Records that `count` tasks have left, and tells whether any is left.
    pub(super) fn record_settled(&mut self, count: usize) -> bool {
        self.remaining = self.remaining.saturating_sub(count);
        self.remaining > 0
    }
}
