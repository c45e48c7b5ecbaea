//! The leases that this worker holds, in memory: which are still needed, and until when they are
//! certain.

pub(crate) mod heartbeat;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The leases held by one worker.
#[derive(Debug)]
pub(crate) struct Leases {
    duration: Duration,
    held: Mutex<HashMap<Uuid, Held>>,
}

#[derive(Debug)]
struct Held {
    /// Tasks that have not left the lease yet.
    remaining: usize,
    /// When the call was made that last extended it: its true end is no earlier than `duration`
    /// after this.
    extended: Instant,
    /// Its row is being written to: a heartbeat would wait for that.
    settling: bool,
    /// Cancelled when the lease is lost: its handlers stop.
    lost: CancellationToken,
}

impl Leases {
    pub(crate) fn new(duration: Duration) -> Self {
        Self {
            duration,
            held: Mutex::default(),
        }
    }

    /// Holds a lease on `remaining` tasks, claimed by a call made at `claimed`, and returns what
    /// is cancelled if it is lost.
    pub(crate) fn insert(
        &self,
        lease_id: Uuid,
        remaining: usize,
        claimed: Instant,
    ) -> CancellationToken {
        let lost = CancellationToken::new();
        let held = Held {
            remaining,
            extended: claimed,
            settling: false,
            lost: lost.clone(),
        };
        self.lock().insert(lease_id, held);
        lost
    }

    /// Returns how many tasks of a lease have not left it.
    pub(crate) fn remaining(&self, lease_id: Uuid) -> Option<usize> {
        self.lock().get(&lease_id).map(|held| held.remaining)
    }

    /// Keeps heartbeats off a lease while its row is being written to.
    pub(crate) fn set_settling(&self, lease_id: Uuid, settling: bool) {
        if let Some(held) = self.lock().get_mut(&lease_id) {
            held.settling = settling;
        }
    }

    /// Takes in that `count` tasks have left a lease, and lets go of it with the last of them.
    pub(crate) fn settled(&self, lease_id: Uuid, count: usize) {
        let mut leases = self.lock();
        if let Some(held) = leases.get_mut(&lease_id) {
            held.remaining = held.remaining.saturating_sub(count);
            if held.remaining == 0 {
                leases.remove(&lease_id);
            }
        }
    }

    /// Returns the leases that a heartbeat must extend.
    pub(crate) fn to_extend(&self) -> Vec<Uuid> {
        let mut lease_ids: Vec<Uuid> = self
            .lock()
            .iter()
            .filter(|(_, held)| !held.settling)
            .map(|(lease_id, _)| *lease_id)
            .collect();
        lease_ids.sort_unstable();
        lease_ids
    }

    /// Takes in a heartbeat that was sent at `sent` for the leases `asked`, of which `extended`
    /// still existed. Returns how many were lost.
    pub(crate) fn extended(&self, sent: Instant, asked: &[Uuid], extended: &[Uuid]) -> usize {
        let mut leases = self.lock();
        for lease_id in extended {
            if let Some(held) = leases.get_mut(lease_id) {
                held.extended = sent;
            }
        }
        let lost: Vec<Uuid> = asked
            .iter()
            .filter(|lease_id| !extended.contains(lease_id))
            // Its last task may have left it while the heartbeat was under way.
            .filter(|lease_id| leases.get(*lease_id).is_some_and(|held| !held.settling))
            .copied()
            .collect();
        for lease_id in &lost {
            if let Some(held) = leases.remove(lease_id) {
                held.lost.cancel();
            }
        }
        lost.len()
    }

    /// Gives up leases that may end soon, because no heartbeat has come through: their handlers
    /// must have stopped when another worker starts them. Returns how many that were.
    pub(crate) fn give_up_overdue(&self) -> usize {
        // A sixth of the lease is left for handlers to stop in.
        let certain = self.duration - self.duration / 6;
        let mut leases = self.lock();
        let before = leases.len();
        leases.retain(|_, held| {
            // Though an outcome is being written: nobody knows for how long, and the handlers of
            // the rest of the lease must not wait for that.
            let certain = held.extended.elapsed() < certain;
            if !certain {
                held.lost.cancel();
            }
            certain
        });
        before - leases.len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    #[test]
    fn a_lease_is_let_go_of_with_its_last_task() {
        let leases = Leases::new(LEASE);
        let id = Uuid::new_v4();
        leases.insert(id, 3, Instant::now());
        leases.settled(id, 2);
        assert_eq!(leases.to_extend(), [id]);
        leases.settled(id, 1);
        assert!(leases.to_extend().is_empty());
    }

    #[test]
    fn a_lease_that_a_heartbeat_did_not_find_is_lost() {
        let leases = Leases::new(LEASE);
        let (kept, gone) = (Uuid::new_v4(), Uuid::new_v4());
        let keeps = leases.insert(kept, 1, Instant::now());
        let loses = leases.insert(gone, 1, Instant::now());
        assert_eq!(leases.extended(Instant::now(), &[kept, gone], &[kept]), 1);
        assert!(loses.is_cancelled() && !keeps.is_cancelled());
    }

    #[test]
    fn a_lease_without_heartbeats_is_given_up_before_it_ends() {
        let leases = Leases::new(LEASE);
        let claimed = |ago| {
            Instant::now()
                .checked_sub(ago)
                .expect("the clock runs long enough")
        };
        let fresh = leases.insert(Uuid::new_v4(), 1, claimed(LEASE / 2));
        let stale = leases.insert(Uuid::new_v4(), 1, claimed(LEASE - LEASE / 8));
        assert_eq!(leases.give_up_overdue(), 1);
        assert!(stale.is_cancelled() && !fresh.is_cancelled());
    }

    #[test]
    fn a_lease_is_given_up_in_time_though_an_outcome_is_being_written() {
        let leases = Leases::new(LEASE);
        let id = Uuid::new_v4();
        let long_ago = Instant::now().checked_sub(LEASE);
        let lost = leases.insert(id, 2, long_ago.expect("the clock runs long enough"));
        leases.set_settling(id, true);
        assert_eq!(leases.give_up_overdue(), 1);
        assert!(lost.is_cancelled());
    }
}
