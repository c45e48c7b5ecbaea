//! The tasks of one queue that this worker has claimed: those that run, and those that wait for a slot.
//!
//! The claimer puts tasks in, slots take them out. A slot is one place to run a handler: it is opened when there
//! is first a task for it, and takes task after task until the worker stops. [`prefetch`](super::prefetch) decides
//! how many tasks wait here beyond those that can run at once. The claimer hands them back if they get no slot
//! within [`STALE_AFTER`](super::buffered::STALE_AFTER), because other workers may be idle.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::buffered::{BufferedTask, Work};
use super::contents::{Contents, count_alone};
use super::gather::{BatchKind, Gather};
use crate::lane::Share;
use crate::lane::suspects::must_run_alone;
use crate::store::ClaimedTask;

/// The tasks of one queue that this worker has claimed.
#[derive(Debug)]
pub(crate) struct Buffer {
    concurrency: usize,
    has_batches: bool,
    contents: Mutex<Contents>,
    /// Wakes slots that have nothing to do.
    arrived: Notify,
}

impl Buffer {
    /// Tasks of `batches` run many in one slot.
    pub(crate) fn new(concurrency: usize, batches: &[BatchKind]) -> Self {
        Self {
            concurrency,
            has_batches: !batches.is_empty(),
            contents: Mutex::new(Contents::new(batches)),
            arrived: Notify::new(),
        }
    }

    /// Returns how many tasks a claim should bring now; zero if it is not worth one.
    pub(crate) fn room(&self) -> usize {
        let state = self.lock();
        let own = state.own_room(self.concurrency);
        let of_batches = 0..state.gathers.len();
        let of_batches = of_batches.map(|at| state.room_of_batch(at, self.concurrency));
        of_batches.max().unwrap_or(0).max(own)
    }

    /// Returns how many tasks that do not run in batches a claim should bring now.
    pub(crate) fn own_room(&self) -> usize {
        self.lock().own_room(self.concurrency)
    }

    /// Tells whether tasks of some type run in batches.
    pub(crate) fn has_batches(&self) -> bool {
        self.has_batches
    }

    /// Returns how many tasks of a type a claim should bring now, if they run in batches.
    pub(crate) fn room_of_batch(&self, task_type: &str) -> Option<usize> {
        let state = self.lock();
        let at = state.gathers.iter().position(|it| it.is_of(task_type))?;
        Some(state.room_of_batch(at, self.concurrency))
    }

    /// Returns how many tasks of a claim share a lease, where they run in batches that complete in their handlers' transactions.
    pub(super) fn leased_batches(&self, shares: &[Share]) -> Option<usize> {
        let [share] = shares else {
            return None;
        };
        if !self.has_batches || share.lane.crashes > 0 {
            return None;
        }
        let state = self.lock();
        let mut gathers = state.gathers.iter();
        gathers.find(|it| it.is_of(&share.lane.task_type))?.leased()
    }

    /// Returns how many tasks of a type, claimed now, would start at once.
    pub(crate) fn room_to_run_of(&self, task_type: &str) -> usize {
        let slots = self.room_to_run();
        let state = self.lock();
        let gather = state.gathers.iter().find(|it| it.is_of(task_type));
        slots * gather.map_or(1, Gather::size)
    }

    /// Returns how many tasks, claimed now, would start at once.
    pub(crate) fn room_to_run(&self) -> usize {
        self.concurrency.saturating_sub(self.lock().held())
    }

    /// Returns how many tasks run.
    #[cfg(feature = "metrics")]
    pub(crate) fn running(&self) -> usize {
        self.lock().running
    }

    /// Tells whether tasks wait here for a slot.
    pub(crate) fn has_waiting(&self) -> bool {
        let state = self.lock();
        !state.waiting.is_empty() || state.gathers.iter().any(|it| it.waiting() > 0)
    }

    /// Tells whether tasks have waited too long for a slot.
    pub(crate) fn has_stale(&self) -> bool {
        let state = self.lock();
        let now = Instant::now();
        state.has_stale() || state.gathers.iter().any(|it| it.is_stale(now))
    }

    /// Tells whether a task waits or runs that must run alone.
    pub(crate) fn has_one_alone(&self) -> bool {
        self.lock().alone > 0
    }

    /// Adjusts how much to prefetch to how fast handlers ended lately.
    pub(crate) fn adjust_prefetch(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        state.prefetch.adjust(now);
        state.gathers.iter_mut().for_each(|it| it.adjust(now));
    }

    /// Puts claimed tasks in, wakes slots for them, and returns how many more slots to open.
    pub(crate) fn put(&self, tasks: Vec<ClaimedTask>) -> usize {
        let arrived = Instant::now();
        let alone = count_alone(&tasks);
        let tasks = tasks.into_iter().map(|task| BufferedTask { task, arrived });
        let mut state = self.lock();
        state.alone += alone;
        state.prefetch.record_busy(arrived);
        if state.gathers.is_empty() {
            state.waiting.extend(tasks);
        } else {
            tasks.for_each(|task| state.gather(task));
        }
        let (waiting, open) = (state.held() - state.running, state.slots);
        state.slots = open.max(state.held().min(self.concurrency));
        let opened = state.slots - open;
        drop(state);
        for _ in 0..waiting.min(open) {
            self.arrived.notify_one();
        }
        opened
    }

    /// Takes the next task out, to run it, or the next batch.
    pub(crate) fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        let next = match state.gathers.is_empty() {
            true => state.waiting.pop_front().map(|next| Work::One(next.task)),
            false => state.next_of_all(Instant::now()),
        }?;
        state.running += 1;
        if state.gathers.iter().any(|it| it.waiting() > 0) {
            // Some slot must look when that is to start.
            self.arrived.notify_one();
        }
        Some(next)
    }

    /// Takes out all that waits, without waiting for more.
    #[cfg(feature = "testing")]
    pub(crate) fn take_at_once(&self) -> Option<Work> {
        let mut state = self.lock();
        let one = state.waiting.pop_front().map(|next| Work::One(next.task));
        let next = one.or_else(|| {
            let mut gathers = state.gathers.iter_mut();
            gathers.find_map(Gather::take_any).map(Work::Many)
        })?;
        state.running += 1;
        Some(next)
    }

    /// Waits for the next task to run; `None` once the worker stops.
    ///
    /// # Cancel safety
    ///
    /// No task is lost.
    pub(crate) async fn next(&self) -> Option<Work> {
        loop {
            let mut arrived = pin!(self.arrived.notified());
            // Whatever arrives from here on wakes this slot.
            arrived.as_mut().enable();
            if let Some(work) = self.take() {
                return Some(work);
            }
            let (is_closed, starts) = {
                let state = self.lock();
                let starts = state.gathers.iter().filter_map(Gather::starts);
                (state.is_closed, starts.min())
            };
            if is_closed {
                return None;
            }
            match starts {
                None => arrived.await,
                Some(starts) => {
                    // The time of the batch that waits for more.
                    let _ = timeout_at(starts.into(), arrived).await;
                }
            }
        }
    }

    /// Records that a task has ended, and wakes the claimer if there is room for a claim.
    pub(crate) fn record_ended(&self, task: &ClaimedTask, claimer: &Notify) {
        let mut state = self.lock();
        state.running -= 1;
        state.alone -= usize::from(must_run_alone(task.crashes));
        state.prefetch.record_ended();
        state.rest_if_empty();
        let (held, prefetch) = (state.held(), state.prefetch.tasks());
        drop(state);
        if held < self.concurrency || held <= self.concurrency + prefetch / 2 {
            claimer.notify_one();
        }
    }

    /// Records that a batch has ended, and wakes the claimer.
    pub(crate) fn record_batch_ended(&self, tasks: &[ClaimedTask], claimer: &Notify) {
        let mut state = self.lock();
        state.running -= 1;
        state.alone -= count_alone(tasks);
        let task_type = tasks.first().map_or("", |task| &task.task_type);
        let mut gathers = state.gathers.iter_mut();
        if let Some(gather) = gathers.find(|it| it.is_of(task_type)) {
            gather.record_ended(tasks.len());
        }
        state.rest_if_empty();
        drop(state);
        claimer.notify_one();
    }

    /// Watches for [`WATCHED`](super::prefetch::WATCHED) from now on whether what has waited too long comes along.
    pub(crate) fn watch(&self) {
        let mut state = self.lock();
        state.prefetch.watch();
        state.gathers.iter_mut().for_each(Gather::watch);
    }

    /// Takes the tasks out that have waited too long and do not come along, with all that wait behind them, to hand them back,
    /// and prefetches none of their like until handlers end again.
    pub(crate) fn take_stale(&self) -> Vec<ClaimedTask> {
        let mut state = self.lock();
        let now = Instant::now();
        let mut stale = Vec::new();
        if state.has_stale() && !state.prefetch.come_along(state.waiting.len()) {
            state.prefetch.record_stale();
            stale.extend(state.waiting.drain(..).map(|it| it.task));
        }
        let stale_gathers = state.gathers.iter_mut();
        for gather in stale_gathers.filter(|it| it.is_stale(now) && !it.comes_along()) {
            gather.record_stale();
            stale.extend(gather.take_all());
        }
        state.alone -= count_alone(&stale);
        state.rest_if_empty();
        stale
    }

    /// Takes a task out that waits, if it does.
    pub(crate) fn take_one(&self, task_id: i64) -> Option<ClaimedTask> {
        let mut state = self.lock();
        let at = state
            .waiting
            .iter()
            .position(|it| it.task.task_id == task_id);
        let taken = match at {
            Some(at) => state.waiting.remove(at)?.task,
            None => {
                let mut gathers = state.gathers.iter_mut();
                gathers.find_map(|it| it.take_one(task_id))?
            }
        };
        state.alone -= usize::from(must_run_alone(taken.crashes));
        state.rest_if_empty();
        Some(taken)
    }

    /// Takes the waiting tasks of some types out, to hand them back.
    pub(crate) fn take_of(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<ClaimedTask> {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        let (taken, left) = waiting
            .into_iter()
            .partition(|it: &BufferedTask| is_wanted(&it.task.task_type));
        state.waiting = left;
        let taken: VecDeque<BufferedTask> = taken;
        let mut taken: Vec<_> = taken.into_iter().map(|it| it.task).collect();
        let gathers = state.gathers.iter_mut();
        taken.extend(gathers.flat_map(|it| it.take_of(&is_wanted)));
        state.alone -= count_alone(&taken);
        state.rest_if_empty();
        taken
    }

    /// Takes all waiting tasks out, to hand them back, and starts no other.
    pub(crate) fn close(&self) -> Vec<ClaimedTask> {
        let mut state = self.lock();
        state.is_closed = true;
        let waiting = state.take_waiting();
        drop(state);
        self.arrived.notify_waiters();
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::super::buffered::STALE_AFTER;
    use super::*;
    use crate::attempt::metadata::Metadata;

    fn claimed(count: i64) -> Vec<ClaimedTask> {
        let task = |task_id| ClaimedTask {
            lease_id: Uuid::nil(),
            task_id,
            task_type: "task".to_owned(),
            payload_version: 0,
            payload: RawValue::NULL.to_owned(),
            priority: 0,
            run_at: DateTime::UNIX_EPOCH,
            created_at: DateTime::UNIX_EPOCH,
            max_attempts: None,
            attempts: 0,
            crashes: 0,
            errors: Vec::new(),
            metadata: Metadata::default(),
        };
        (0..count).map(task).collect()
    }

    fn take_one(buffer: &Buffer) -> ClaimedTask {
        match buffer.take().expect("a task") {
            Work::One(task) => task,
            Work::Many(tasks) => panic!("{} in a batch", tasks.len()),
        }
    }

    fn run_one(buffer: &Buffer) {
        buffer.record_ended(&take_one(buffer), &Notify::new());
    }

    #[test]
    fn slots_are_opened_beside_those_that_are_busy() {
        let buffer = Buffer::new(3, &[]);
        assert_eq!(buffer.put(claimed(1)), 1);
        let first = take_one(&buffer);
        assert_eq!(buffer.put(claimed(1)), 1, "the first slot is busy");
        assert_eq!(buffer.put(claimed(5)), 1, "no more than may run at once");
        run_one(&buffer);
        buffer.record_ended(&first, &Notify::new());
        assert_eq!(buffer.put(claimed(5)), 0, "a slot stays open");
    }

    #[test]
    fn more_is_prefetched_as_soon_as_many_have_ended() {
        let buffer = Buffer::new(200, &[]);
        buffer.put(claimed(100));
        buffer.adjust_prefetch();
        assert_eq!(buffer.room(), 100, "nothing has ended yet");
        (0..100).for_each(|_| run_one(&buffer));
        buffer.adjust_prefetch();
        assert!(buffer.room() > 200, "{}", buffer.room());
    }

    #[test]
    fn few_slots_prefetch_as_many_do_however_long_claims_take() {
        let buffer = Buffer::new(4, &[]);
        for _ in 0..25 {
            buffer.put(claimed(4));
            (0..4).for_each(|_| run_one(&buffer));
            std::thread::sleep(Duration::from_millis(4));
            buffer.adjust_prefetch();
        }
        assert!(buffer.room() > 1_000, "{}", buffer.room());
    }

    /// Has what waits have waited for too long.
    fn age(buffer: &Buffer) {
        for waiting in &mut buffer.lock().waiting {
            waiting.arrived -= STALE_AFTER;
        }
    }

    #[test]
    fn what_has_waited_too_long_is_handed_back_unless_it_comes_along() {
        let buffer = Buffer::new(1, &[]);
        buffer.put(claimed(30));
        assert!(!buffer.has_stale());
        age(&buffer);
        assert!(buffer.has_stale());
        buffer.watch();
        run_one(&buffer);
        run_one(&buffer);
        assert_eq!(buffer.take_stale().len(), 28, "8 would end in a second");
        buffer.put(claimed(30));
        age(&buffer);
        buffer.watch();
        (0..6).for_each(|_| run_one(&buffer));
        assert_eq!(buffer.take_stale().len(), 0, "24 would");
        buffer.watch();
        assert_eq!(buffer.take_stale().len(), 24, "nothing ends any more");
    }

    #[tokio::test]
    async fn a_slot_that_waits_is_woken_by_a_task_and_by_the_end() {
        let buffer = Buffer::new(1, &[]);
        buffer.put(claimed(1));
        assert!(buffer.next().await.is_some());
        let (next, ()) = tokio::join!(buffer.next(), async {
            tokio::task::yield_now().await;
            buffer.put(claimed(1));
        });
        assert!(next.is_some());
        let (next, ()) = tokio::join!(buffer.next(), async {
            tokio::task::yield_now().await;
            buffer.close();
        });
        assert!(next.is_none());
    }
}
