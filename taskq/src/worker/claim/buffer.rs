//! The tasks of one queue that this worker holds: those that run, and those claimed ahead of them.
//!
//! The claimer puts tasks in, slots take them out: a slot is one place to run a handler, opened when
//! there is first a task for it, and takes task after task until the worker stops. A worker whose
//! handlers take microseconds would spend its time waiting for claims if it claimed only what can run
//! at once, so it claims ahead: as much as its handlers end in [`AHEAD`], and nothing if they are slow.
//! What was claimed ahead and does not get its turn within [`STALE`] is handed back, because others
//! may be idle.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::lane::suspects::must_run_alone;
use crate::store::ClaimedTask;

/// Tasks are claimed ahead for as long as handlers need for them, at the rate at which they ended
/// lately. A claim takes some milliseconds; a commit beside it may take some ten.
const AHEAD: Duration = Duration::from_millis(100);

/// The most tasks that are claimed ahead, however fast handlers are.
const MOST_AHEAD: usize = 8_000;

/// How long a task may lie here without its turn coming.
const STALE: Duration = Duration::from_secs(1);

/// The rate is measured over no less than this…
const MEASURED_OVER: Duration = Duration::from_millis(5);

/// … or for the first time, when many tasks are there all at once, over so many of them…
const FIRST_MEASURED: usize = 100;

/// … which are taken to need as long as this at least.
const FIRST_MEASURED_OVER: Duration = Duration::from_millis(1);

/// A task that this worker has a lease on.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) row: ClaimedTask,
    /// When the claim had brought it.
    pub(crate) arrived: Instant,
}

/// The tasks of one queue that this worker holds.
#[derive(Debug)]
pub(crate) struct Buffer {
    concurrency: usize,
    state: Mutex<State>,
    /// Wakes slots that have nothing to do.
    arrived: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Claimed>,
    /// Opened, and not closed before the buffer is.
    slots: usize,
    running: usize,
    /// Suspects held that must be the only one.
    alone: usize,
    ahead: usize,
    ended: usize,
    measured: Instant,
    /// Nothing is run any more that has not begun.
    is_closed: bool,
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
                ahead: 0,
                ended: 0,
                measured: Instant::now(),
                is_closed: false,
            }),
            arrived: Notify::new(),
        }
    }

    /// Returns how many tasks a claim should bring now; zero if it is not worth one.
    pub(crate) fn room(&self) -> usize {
        let mut state = self.lock();
        state.measure();
        let held = state.running + state.waiting.len();
        let room = (self.concurrency + state.ahead).saturating_sub(held);
        // While handlers have something to do, a claim waits until it is half as large as it may be.
        match held < self.concurrency || room >= state.ahead.div_ceil(2) {
            true => room,
            false => 0,
        }
    }

    /// Returns how many tasks can run at once that are claimed now, none of them ahead.
    pub(crate) fn room_to_run(&self) -> usize {
        let state = self.lock();
        self.concurrency
            .saturating_sub(state.running + state.waiting.len())
    }

    /// Tells whether tasks wait here for their turn.
    pub(crate) fn is_ahead(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Tells whether a suspect is held that must be the only one.
    pub(crate) fn has_one_alone(&self) -> bool {
        self.lock().alone > 0
    }

    /// Takes in what was claimed, wakes slots for it, and returns how many more to open.
    pub(crate) fn put(&self, claimed: Vec<Claimed>) -> usize {
        let mut state = self.lock();
        state.alone += claimed.iter().filter(|it| it.is_alone()).count();
        if state.running + state.waiting.len() == 0 && state.ahead == 0 {
            // There was nothing to do before.
            state.ended = 0;
            state.measured = Instant::now();
        }
        state.waiting.extend(claimed);
        let (waiting, open) = (state.waiting.len(), state.slots);
        let wanted = (state.running + waiting).min(self.concurrency);
        state.slots = open.max(wanted);
        let opened = state.slots - open;
        drop(state);
        for _ in 0..waiting.min(open) {
            self.arrived.notify_one();
        }
        opened
    }

    /// Returns the next task to run, if one waits.
    pub(crate) fn take(&self) -> Option<Claimed> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        state.running += usize::from(next.is_some());
        next
    }

    /// Waits for the next task to run; `None` once nothing is run any more that has not begun.
    ///
    /// # Cancel safety
    ///
    /// No task is lost.
    pub(crate) async fn next(&self) -> Option<Claimed> {
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

    /// Takes in that a task has ended, and wakes the claimer if it is worth a claim.
    pub(crate) fn ended(&self, was_alone: bool, claimer: &Notify) {
        let mut state = self.lock();
        state.running -= 1;
        state.ended += 1;
        state.alone -= usize::from(was_alone);
        let held = state.running + state.waiting.len();
        let is_worth_it = held < self.concurrency || held <= self.concurrency + state.ahead / 2;
        drop(state);
        if is_worth_it {
            claimer.notify_one();
        }
    }

    /// Returns the tasks claimed ahead that do not get their turn, for handing back.
    pub(crate) fn stale(&self) -> Vec<Claimed> {
        let mut state = self.lock();
        let oldest = state.waiting.front().map(|task| task.arrived.elapsed());
        if oldest.is_none_or(|waited| waited < STALE) {
            return Vec::new();
        }
        state.ahead = 0;
        state.drain()
    }

    /// Returns all that has not begun, for handing back; nothing else begins.
    pub(crate) fn close(&self) -> Vec<Claimed> {
        let mut state = self.lock();
        state.is_closed = true;
        let drained = state.drain();
        drop(state);
        self.arrived.notify_waiters();
        drained
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Decides how much to claim ahead, from how fast handlers end: more at once, less by and by, since
    /// handlers that wait for a claim are none the slower.
    fn measure(&mut self) {
        let took = self.measured.elapsed();
        let is_first = self.ahead == 0 && self.ended >= FIRST_MEASURED;
        if took >= MEASURED_OVER || is_first {
            let ended = std::mem::take(&mut self.ended) as f64;
            let ahead = ended * AHEAD.as_secs_f64() / took.max(FIRST_MEASURED_OVER).as_secs_f64();
            self.ahead = (ahead as usize).min(MOST_AHEAD).max(self.ahead * 3 / 4);
            self.measured = Instant::now();
        }
    }

    fn drain(&mut self) -> Vec<Claimed> {
        let drained: Vec<Claimed> = self.waiting.drain(..).collect();
        self.alone -= drained.iter().filter(|it| it.is_alone()).count();
        drained
    }
}

impl Claimed {
    /// Tells whether the task must be the only suspect of its kind in this worker.
    pub(crate) fn is_alone(&self) -> bool {
        must_run_alone(self.row.crashes)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;

    fn claimed(count: i64) -> Vec<Claimed> {
        let task = |task_id| Claimed {
            row: ClaimedTask {
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
            },
            arrived: Instant::now(),
        };
        (0..count).map(task).collect()
    }

    #[test]
    fn slots_are_opened_beside_those_that_are_busy() {
        let buffer = Buffer::new(3);
        assert_eq!(buffer.put(claimed(1)), 1);
        buffer.take().expect("a task");
        assert_eq!(buffer.put(claimed(1)), 1, "the first slot is busy");
        assert_eq!(buffer.put(claimed(5)), 1, "no more than may run at once");
        buffer.take().expect("a task");
        buffer.ended(false, &Notify::new());
        buffer.ended(false, &Notify::new());
        assert_eq!(buffer.put(claimed(5)), 0, "a slot stays open");
    }

    #[test]
    fn more_is_claimed_ahead_as_soon_as_many_have_ended() {
        let buffer = Buffer::new(200);
        buffer.put(claimed(100));
        assert_eq!(buffer.room(), 100, "nothing has ended yet");
        for _ in 0..100 {
            buffer.take().expect("a task");
            buffer.ended(false, &Notify::new());
        }
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
