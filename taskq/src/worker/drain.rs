//! A worker that runs what is due until nothing is, and then stops: for tests.
//!
//! It is a worker like any other. It polls so often that nothing need wake it, may have a bound on how many tasks it
//! starts, and notes how each attempt ended. It is done when it had no task, had looked for expired leases and for
//! ticks, and a scan from the heads of each queue's lanes then brought nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::attempt::ended::EndedAttempt;

/// How often such a worker looks.
pub(crate) const PERIOD: Duration = Duration::from_millis(10);

/// How long it may take to end. A task that enqueues another one like itself would keep it for ever.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What a worker knows that drains.
#[derive(Debug)]
pub(crate) struct Drain {
    /// Ends the worker.
    pub(crate) done: CancellationToken,
    /// How many tasks it may still claim.
    left: AtomicUsize,
    /// How many of the duties that are done at the start have not been.
    duties: AtomicUsize,
    /// One for each queue.
    looks: Mutex<Vec<Look>>,
    ended: Mutex<Vec<EndedAttempt>>,
}

/// The last scan of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It proves nothing: it was before something that may have changed what is due.
    Stale,
    /// It saw all lanes, and the worker had no task.
    AtRest,
    /// … and nothing was there to claim.
    Empty,
}

impl Drain {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            done: CancellationToken::new(),
            left: AtomicUsize::new(most),
            duties: AtomicUsize::new(usize::MAX),
            looks: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    /// Returns how many tasks may still be claimed.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Says how many queues the worker has, and how many duties it does at the start.
    pub(crate) fn begin(&self, queues: usize, duties: usize) {
        *lock(&self.looks) = vec![Look::Stale; queues];
        self.duties.store(duties, Ordering::Relaxed);
    }

    /// Waits until it is done, or until `limit`.
    pub(crate) async fn is_done(&self, limit: Duration) {
        // `end` tells which.
        let _ = timeout(limit, self.done.cancelled()).await;
    }

    /// Returns what the worker has done.
    pub(crate) fn end(&self) -> Drained {
        Drained {
            ended: std::mem::take(&mut lock(&self.ended)),
            is_complete: self.done.is_cancelled(),
        }
    }

    pub(crate) fn record_duty(&self) {
        self.duties.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tells whether what is done at the start has been done. It may have made tasks due.
    pub(crate) fn has_begun(&self) -> bool {
        self.duties.load(Ordering::Relaxed) == 0
    }

    /// Records a scan of a queue. `is_proof` says that what it does not find is not there.
    pub(crate) fn record_scan(&self, queue: usize, is_proof: bool) {
        let look = if is_proof { Look::AtRest } else { Look::Stale };
        lock(&self.looks)[queue] = look;
    }

    /// Records that a claim has brought tasks: whatever they do, others may be due afterwards.
    pub(crate) fn record_claimed(&self, count: usize) {
        let left = self.left().saturating_sub(count);
        self.left.store(left, Ordering::Relaxed);
        lock(&self.looks).fill(Look::Stale);
    }

    /// Records that a queue has nothing to claim.
    pub(crate) fn record_idle(&self, queue: usize) {
        let mut looks = lock(&self.looks);
        if looks[queue] == Look::AtRest {
            looks[queue] = Look::Empty;
        }
        if looks.iter().all(|look| *look == Look::Empty) {
            self.done.cancel();
        }
    }

    pub(crate) fn record_ended(&self, attempt: EndedAttempt) {
        lock(&self.ended).push(attempt);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a worker has done that drained.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) ended: Vec<EndedAttempt>,
    /// Whether nothing is left that is due: it was not stopped by the limit.
    pub(crate) is_complete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two queues, and one duty.
    fn drain() -> Drain {
        let drain = Drain::new(3);
        drain.begin(2, 1);
        drain
    }

    fn look(drain: &Drain, queue: usize, is_proof: bool) {
        drain.record_scan(queue, is_proof);
        drain.record_idle(queue);
    }

    #[test]
    fn it_is_done_once_all_queues_were_found_empty_at_rest() {
        let drain = drain();
        look(&drain, 0, true);
        look(&drain, 1, false);
        assert!(!drain.end().is_complete, "a task ran beside the last scan");
        look(&drain, 1, true);
        assert!(drain.end().is_complete);
    }

    #[test]
    fn a_claim_makes_earlier_scans_worthless() {
        let drain = drain();
        look(&drain, 0, true);
        drain.record_scan(1, true);
        drain.record_claimed(1);
        drain.record_idle(1);
        look(&drain, 1, true);
        assert!(
            !drain.end().is_complete,
            "the task may have enqueued into the other queue"
        );
        look(&drain, 0, true);
        assert!(drain.end().is_complete);
    }

    #[test]
    fn no_more_is_claimed_than_it_may() {
        let drain = drain();
        drain.record_claimed(2);
        assert_eq!(drain.left(), 1);
        drain.record_claimed(1);
        assert_eq!(drain.left(), 0);
    }

    #[test]
    fn it_has_not_begun_before_its_duties_are_done() {
        let drain = Drain::new(1);
        assert!(!drain.has_begun());
        drain.begin(2, 1);
        assert!(!drain.has_begun());
        drain.record_duty();
        assert!(drain.has_begun());
    }

    #[tokio::test]
    async fn it_waits_no_longer_than_the_limit() {
        let drain = drain();
        drain.is_done(Duration::from_millis(1)).await;
        assert!(!drain.end().is_complete);
    }
}
