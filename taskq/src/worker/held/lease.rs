//! One lease as its worker knows it: how much of it is left, and when it ends.

use std::time::{Duration, Instant};

use crate::store::Scarcity;

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
}

impl HeldLease {
    /// A lease on `remaining` tasks, claimed by a call made at `claimed`.
    pub(super) fn new(remaining: usize, scarcity: Scarcity, claimed: Instant) -> Self {
        Self {
            remaining,
            extended: claimed,
            settling: false,
            scarcity,
        }
    }

    /// Tells whether the lease may end soon, so that its handlers must stop: another worker may start
    /// them. It ends in Postgres no earlier than `duration` after it was extended, and handlers have the
    /// last sixth of that to stop in.
    ///
    /// That an outcome is being written changes nothing: nobody knows for how long, and the handlers of
    /// the rest of the lease must not wait for that.
    pub(super) fn is_overdue(&self, duration: Duration) -> bool {
        self.extended.elapsed() >= duration - duration / 6
    }

    /// Records that `count` tasks have left, and tells whether any is left.
    pub(super) fn record_settled(&mut self, count: usize) -> bool {
        self.remaining = self.remaining.saturating_sub(count);
        self.remaining > 0
    }
}
