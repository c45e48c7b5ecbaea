//! The tasks of one queue that this worker has claimed: those that run, and those that wait for a slot.
//!
//! The claimer puts tasks in, slots take them out. A slot is one place to run a handler: it is opened when there
//! is first a task for it, and takes task after task until the worker stops. [`prefetch`](super::prefetch) decides
//! how many tasks wait here beyond those that can run at once. The claimer hands them back if they get no slot
//! within [`STALE_AFTER`], because other workers may be idle.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::prefetch::Prefetch;
use crate::lane::suspects::must_run_alone;
use crate::store::ClaimedTask;

/// How long a task may wait here for a slot.
const STALE_AFTER: Duration = Duration::from_secs(1);

/// The tasks of one queue that this worker has claimed.
#[derive(Debug)]
pub(crate) struct Buffer {
    concurrency: usize,
    state: Mutex<State>,
    /// Wakes slots that have nothing to do.
    arrived: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<BufferedTask>,
    /// Slots once opened stay open until the buffer is closed.
    slots: usize,
    running: usize,
    /// How many of the tasks that wait or run must run alone.
    alone: usize,
    prefetch: Prefetch,
    /// Whether the worker stops: no other task starts.
    is_closed: bool,
}

#[derive(Debug)]
struct BufferedTask {
    task: ClaimedTask,
    /// When the claim had brought it.
    arrived: Instant,
}

impl Buffer {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                slots: 0,
                running: 0,
                alone: 0,
                prefetch: Prefetch::new(Instant::now()),
                is_closed: false,
            }),
            arrived: Notify::new(),
        }
    }

    /// Returns how many tasks a claim should bring now; zero if it is not worth one.
    pub(crate) fn room(&self) -> usize {
        let state = self.lock();
        let (held, prefetch) = (state.held(), state.prefetch.tasks());
        let room = (self.concurrency + prefetch).saturating_sub(held);
        // While handlers have something to do, a claim waits until it is half as large as it may be.
        let is_worth_it = held < self.concurrency || room >= prefetch.div_ceil(2);
        if is_worth_it { room } else { 0 }
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
        !self.lock().waiting.is_empty()
    }

    /// Tells whether tasks have waited too long for a slot.
    pub(crate) fn has_stale(&self) -> bool {
        let state = self.lock();
        let oldest = state.waiting.front();
        oldest.is_some_and(|oldest| oldest.arrived.elapsed() >= STALE_AFTER)
    }

    /// Tells whether a task waits or runs that must run alone.
    pub(crate) fn has_one_alone(&self) -> bool {
        self.lock().alone > 0
    }

    /// Adjusts how much to prefetch to how fast handlers ended lately.
    pub(crate) fn adjust_prefetch(&self) {
        self.lock().prefetch.adjust(Instant::now());
    }

    /// Puts claimed tasks in, wakes slots for them, and returns how many more slots to open.
    pub(crate) fn put(&self, tasks: Vec<ClaimedTask>) -> usize {
        let arrived = Instant::now();
        let alone = count_alone(&tasks);
        let tasks = tasks.into_iter().map(|task| BufferedTask { task, arrived });
        let mut state = self.lock();
        state.alone += alone;
        if state.held() == 0 {
            state.prefetch.record_first_task(arrived);
        }
        state.waiting.extend(tasks);
        let (waiting, open) = (state.waiting.len(), state.slots);
        state.slots = open.max(state.held().min(self.concurrency));
        let opened = state.slots - open;
        drop(state);
        for _ in 0..waiting.min(open) {
            self.arrived.notify_one();
        }
        opened
    }

    /// Takes the next task out, to run it.
    pub(crate) fn take(&self) -> Option<ClaimedTask> {
        let mut state = self.lock();
        let next = state.waiting.pop_front()?;
        state.running += 1;
        Some(next.task)
    }

    /// Waits for the next task to run; `None` once the worker stops.
    ///
    /// # Cancel safety
    ///
    /// No task is lost.
    pub(crate) async fn next(&self) -> Option<ClaimedTask> {
        loop {
            let mut arrived = pin!(self.arrived.notified());
            // Whatever arrives from here on wakes this slot.
            arrived.as_mut().enable();
            if let Some(task) = self.take() {
                return Some(task);
            }
            if self.lock().is_closed {
                return None;
            }
            arrived.await;
        }
    }

    /// Records that a task has ended, and wakes the claimer if there is room for a claim.
    pub(crate) fn record_ended(&self, task: &ClaimedTask, claimer: &Notify) {
        let mut state = self.lock();
        state.running -= 1;
        state.alone -= usize::from(must_run_alone(task.crashes));
        state.prefetch.record_ended();
        let (held, prefetch) = (state.held(), state.prefetch.tasks());
        drop(state);
        if held < self.concurrency || held <= self.concurrency + prefetch / 2 {
            claimer.notify_one();
        }
    }

    /// Takes all waiting tasks out, to hand them back, and prefetches none until handlers end again.
    pub(crate) fn take_stale(&self) -> Vec<ClaimedTask> {
        let mut state = self.lock();
        state.prefetch.record_stale();
        state.take_waiting()
    }

    /// Takes a task out that waits, if it does.
    pub(crate) fn take_one(&self, task_id: i64) -> Option<ClaimedTask> {
        let mut state = self.lock();
        let at = state
            .waiting
            .iter()
            .position(|it| it.task.task_id == task_id)?;
        let taken = state.waiting.remove(at)?.task;
        state.alone -= usize::from(must_run_alone(taken.crashes));
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
        let taken: Vec<_> = taken.into_iter().map(|it| it.task).collect();
        state.alone -= count_alone(&taken);
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn held(&self) -> usize {
        self.running + self.waiting.len()
    }

    fn take_waiting(&mut self) -> Vec<ClaimedTask> {
        let waiting: Vec<_> = self.waiting.drain(..).map(|it| it.task).collect();
        self.alone -= count_alone(&waiting);
        waiting
    }
}

fn count_alone(tasks: &[ClaimedTask]) -> usize {
    let alone = tasks.iter().filter(|task| must_run_alone(task.crashes));
    alone.count()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::value::RawValue;
    use uuid::Uuid;

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

    fn run_one(buffer: &Buffer) {
        let task = buffer.take().expect("a task");
        buffer.record_ended(&task, &Notify::new());
    }

    #[test]
    fn slots_are_opened_beside_those_that_are_busy() {
        let buffer = Buffer::new(3);
        assert_eq!(buffer.put(claimed(1)), 1);
        let first = buffer.take().expect("a task");
        assert_eq!(buffer.put(claimed(1)), 1, "the first slot is busy");
        assert_eq!(buffer.put(claimed(5)), 1, "no more than may run at once");
        run_one(&buffer);
        buffer.record_ended(&first, &Notify::new());
        assert_eq!(buffer.put(claimed(5)), 0, "a slot stays open");
    }

    #[test]
    fn more_is_prefetched_as_soon_as_many_have_ended() {
        let buffer = Buffer::new(200);
        buffer.put(claimed(100));
        buffer.adjust_prefetch();
        assert_eq!(buffer.room(), 100, "nothing has ended yet");
        (0..100).for_each(|_| run_one(&buffer));
        buffer.adjust_prefetch();
        assert!(buffer.room() > 200, "{}", buffer.room());
    }

    #[tokio::test]
    async fn a_slot_that_waits_is_woken_by_a_task_and_by_the_end() {
        let buffer = Buffer::new(1);
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
