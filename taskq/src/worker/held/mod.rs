//! What this worker holds: one table of its leases and of the tasks that run under them.
//!
//! The claimer adds leases, slots say which tasks they start and end, whatever writes outcomes says which
//! tasks have left a lease, and heartbeats extend what is left. Whoever wants to stop a running task, or
//! to tell what runs, asks here.

mod blocked;
pub(crate) mod heartbeat;
mod lease;
pub(crate) mod many;
pub(crate) mod pulse;
pub(crate) mod running;
pub(crate) mod strays;
mod task;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashSet};
use tokio::sync::Notify;
use uuid::Uuid;

use self::lease::{HeldLease, LimitedKey};
pub(crate) use self::task::RunningTask;
use crate::store::{ClaimedLease, Scarcity};

/// The leases of one worker, and its running tasks.
#[derive(Debug)]
pub(crate) struct Held {
    /// How long a lease lasts after its last extension.
    duration: Duration,
    table: Mutex<Table>,
    /// Whether limited tasks have left their leases.
    limited_have_left: AtomicBool,
    /// Whether limited tasks were claimed since that was last asked.
    limited_were_claimed: AtomicBool,
    /// Tells the claimer that they have.
    left: Notify,
    /// Tells it where others may have to be told.
    left_for_others: Notify,
}

#[derive(Debug, Default)]
struct Table {
    leases: HashMap<Uuid, HeldLease>,
    /// The keys of which limited tasks have left their leases.
    limited_left: HashSet<LimitedKey>,
    /// By lease and task. A task can run twice for a moment: under a lease that was lost, and under its
    /// successor.
    running: HashMap<(Uuid, i64), RunningTask>,
    /// The last that ended after they had run for long: a handler that blocks its thread has ended when
    /// somebody can notice.
    long_ended: VecDeque<(RunningTask, Instant)>,
}

impl Held {
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            duration: lease,
            table: Mutex::default(),
            limited_have_left: AtomicBool::new(false),
            limited_were_claimed: AtomicBool::new(false),
            left: Notify::new(),
            left_for_others: Notify::new(),
        }
    }

    /// Records a lease that was claimed by a call made at `claimed`.
    pub(crate) fn record_claimed(&self, lease: &ClaimedLease, claimed: Instant) {
        if lease.scarcity != Scarcity::Free {
            self.limited_were_claimed.store(true, Ordering::Relaxed);
        }
        let held = HeldLease::new(lease, claimed);
        self.lock().leases.insert(lease.lease_id, held);
    }

    /// Returns how many tasks of a lease have not left it.
    pub(crate) fn remaining(&self, lease_id: Uuid) -> Option<usize> {
        let table = self.lock();
        table.leases.get(&lease_id).map(|lease| lease.remaining)
    }

    /// Returns the leases that are held, and those in which handlers run although they are not held any more.
    pub(crate) fn held_or_running(&self) -> Vec<Uuid> {
        let table = self.lock();
        let running = table.running.keys().map(|(lease_id, _)| lease_id);
        table.leases.keys().chain(running).copied().collect()
    }

    /// Keeps heartbeats off leases while their rows are being written to.
    pub(crate) fn set_settling(&self, lease_ids: impl IntoIterator<Item = Uuid>, settling: bool) {
        let mut table = self.lock();
        for lease_id in lease_ids {
            if let Some(lease) = table.leases.get_mut(&lease_id) {
                lease.settling = settling;
            }
        }
    }

    /// Records that `count` tasks have left a lease, and lets go of it with the last of them.
    pub(crate) fn record_settled(&self, lease_id: Uuid, count: usize) {
        let Table {
            leases,
            limited_left,
            ..
        } = &mut *self.lock();
        let Some(lease) = leases.get_mut(&lease_id) else {
            return;
        };
        if lease.scarcity != Scarcity::Free {
            limited_left.extend(lease.limited.clone());
            self.limited_have_left.store(true, Ordering::Relaxed);
            self.left.notify_one();
            self.left_for_others.notify_one();
        }
        if !lease.record_settled(count) {
            leases.remove(&lease_id);
        }
    }

    /// Waits until limited tasks have left their leases.
    pub(crate) async fn limited_left(&self) {
        self.left.notified().await;
    }

    /// Waits until limited tasks have left their leases: for one waiter besides that of [`Self::limited_left`].
    pub(crate) async fn limited_left_for_others(&self) {
        self.left_for_others.notified().await;
    }

    /// Tells whether limited tasks were claimed since this was asked last.
    pub(crate) fn take_limited_claimed(&self) -> bool {
        self.limited_were_claimed.swap(false, Ordering::Relaxed)
    }

    /// Returns of which keys limited tasks have left their leases since this was asked last, if any limited task has.
    pub(crate) fn take_limited_left(&self) -> Option<HashSet<LimitedKey>> {
        let has_left = self.limited_have_left.load(Ordering::Relaxed)
            && self.limited_have_left.swap(false, Ordering::Relaxed);
        has_left.then(|| std::mem::take(&mut self.lock().limited_left))
    }

    /// Tells whether limits bind the tasks of a lease.
    pub(crate) fn is_limited(&self, lease_id: Uuid) -> bool {
        let table = self.lock();
        let lease = table.leases.get(&lease_id);
        lease.is_some_and(|lease| lease.scarcity != Scarcity::Free)
    }

    /// Tells whether others may wait for the tasks of a lease to end.
    pub(crate) fn is_waited_for(&self, lease_id: Uuid) -> bool {
        let table = self.lock();
        table
            .leases
            .get(&lease_id)
            .is_some_and(|lease| lease.scarcity == Scarcity::Scarce)
    }

    /// Returns the leases that a heartbeat must extend.
    pub(crate) fn to_extend(&self) -> Vec<Uuid> {
        let table = self.lock();
        let idle = table.leases.iter().filter(|(_, lease)| !lease.settling);
        let mut lease_ids: Vec<Uuid> = idle.map(|(lease_id, _)| *lease_id).collect();
        lease_ids.sort_unstable();
        lease_ids
    }

    /// Records a heartbeat that was sent at `sent` for the leases `asked`, of which `extended`
    /// still existed. The others are lost, and their tasks stopped. Returns how many those are.
    pub(crate) fn record_extended(
        &self,
        sent: Instant,
        asked: &[Uuid],
        extended: &[Uuid],
    ) -> usize {
        let mut table = self.lock();
        for lease_id in extended {
            if let Some(lease) = table.leases.get_mut(lease_id) {
                lease.extended = sent;
            }
        }
        // Of a lease that is settling, the last task may have left while the heartbeat was under way.
        let lost = table.leases.extract_if(|lease_id, lease| {
            !lease.settling && asked.contains(lease_id) && !extended.contains(lease_id)
        });
        let lost: Vec<Uuid> = lost.map(|(lease_id, _)| lease_id).collect();
        table.stop_tasks_of(&lost);
        lost.len()
    }

    /// Gives up leases that may end soon, because no heartbeat has come through: their handlers
    /// must have stopped when another worker starts them. Returns how many those are.
    pub(crate) fn give_up_overdue(&self) -> usize {
        let mut table = self.lock();
        let now = Instant::now();
        let overdue = table
            .leases
            .extract_if(|_, lease| lease.is_overdue(now, self.duration));
        let overdue: Vec<Uuid> = overdue.map(|(lease_id, _)| lease_id).collect();
        table.stop_tasks_of(&overdue);
        overdue.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn stop_tasks_of(&self, lease_ids: &[Uuid]) {
        if lease_ids.is_empty() {
            return;
        }
        for ((lease_id, _), task) in &self.running {
            if lease_ids.contains(lease_id) {
                task.token.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn ago(duration: Duration) -> Instant {
        Instant::now()
            .checked_sub(duration)
            .expect("the clock runs long enough")
    }

    /// Holds a lease of `remaining` tasks, starts one of them, and has it be extended last at that time.
    fn started(held: &Held, remaining: usize, extended: Instant) -> (Uuid, CancellationToken) {
        let (lease_id, token) = (Uuid::new_v4(), CancellationToken::new());
        let lease = HeldLease::free(remaining, Instant::now());
        held.lock().leases.insert(lease_id, lease);
        let place = held.record_started(lease_id, 1, "task", &token, &Arc::default());
        // For as long as the test needs it.
        std::mem::forget(place.expect("the lease is held"));
        let mut table = held.lock();
        table.leases.get_mut(&lease_id).expect("held").extended = extended;
        drop(table);
        (lease_id, token)
    }

    #[test]
    fn a_lease_is_let_go_of_with_its_last_task() {
        let held = Held::new(LEASE);
        let (lease_id, _) = started(&held, 3, Instant::now());
        held.record_settled(lease_id, 2);
        assert_eq!(held.to_extend(), [lease_id]);
        held.record_settled(lease_id, 1);
        assert!(held.to_extend().is_empty());
    }

    #[test]
    fn a_lease_that_a_heartbeat_did_not_find_is_lost() {
        let held = Held::new(LEASE);
        let (kept, keeps) = started(&held, 1, Instant::now());
        let (gone, loses) = started(&held, 1, Instant::now());
        let lost = held.record_extended(Instant::now(), &[kept, gone], &[kept]);
        assert_eq!(lost, 1);
        assert!(loses.is_cancelled() && !keeps.is_cancelled());
    }

    #[test]
    fn a_task_of_a_lost_lease_does_not_start() {
        let held = Held::new(LEASE);
        let (lease_id, token) = started(&held, 2, Instant::now());
        held.record_extended(Instant::now(), &[lease_id], &[]);
        let second = held.record_started(lease_id, 2, "task", &token, &Arc::default());
        assert!(second.is_none());
    }

    #[test]
    fn no_task_of_a_lease_starts_that_may_end_soon() {
        let held = Held::new(LEASE);
        // As where the answer of a claim took long.
        let (lease_id, runs) = started(&held, 3, ago(LEASE - LEASE / 8));
        let token = CancellationToken::new();
        assert!(
            held.record_started(lease_id, 2, "task", &token, &Arc::default())
                .is_none()
        );
        assert!(runs.is_cancelled(), "another worker may start it");
        assert!(held.to_extend().is_empty(), "or nobody would run the rest");
    }

    #[test]
    fn a_task_runs_until_its_place_is_free() {
        let held = Held::new(LEASE);
        let (lease_id, token) = (Uuid::new_v4(), CancellationToken::new());
        let lease = HeldLease::free(2, Instant::now());
        held.lock().leases.insert(lease_id, lease);
        let first = held.record_started(lease_id, 1, "first", &token, &Arc::default());
        let second = held.record_started(lease_id, 2, "second", &token, &Arc::default());
        let types = || {
            held.running()
                .iter()
                .map(|task| task.task_type)
                .collect::<Vec<_>>()
        };
        assert_eq!(types(), ["first", "second"]);
        drop(first);
        assert_eq!(types(), ["second"]);
        drop(second);
        assert!(types().is_empty());
    }

    #[test]
    fn a_lease_without_heartbeats_is_given_up_before_it_ends() {
        let held = Held::new(LEASE);
        let (_, fresh) = started(&held, 1, ago(LEASE / 2));
        let (_, stale) = started(&held, 1, ago(LEASE - LEASE / 8));
        assert_eq!(held.give_up_overdue(), 1);
        assert!(stale.is_cancelled() && !fresh.is_cancelled());
    }

    #[test]
    fn a_lease_is_given_up_in_time_though_an_outcome_is_being_written() {
        let held = Held::new(LEASE);
        let (lease_id, lost) = started(&held, 2, ago(LEASE));
        held.set_settling([lease_id], true);
        assert_eq!(held.give_up_overdue(), 1);
        assert!(lost.is_cancelled());
    }
}
