//! What a buffer holds, and how much more a claim should bring.

use std::collections::VecDeque;
use std::time::Instant;

use super::buffered::{BufferedTask, STALE_AFTER, Work};
use super::gather::{BatchKind, Gather, Gathered};
use super::prefetch::Prefetch;
use crate::lane::suspects::must_run_alone;
use crate::store::ClaimedTask;

/// The claimed tasks of a queue, and the slots that run them.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) waiting: VecDeque<BufferedTask>,
    /// Those that run in batches, one for each such type.
    pub(super) gathers: Vec<Gather>,
    /// Slots once opened stay open until the buffer is closed.
    pub(super) slots: usize,
    pub(super) running: usize,
    /// How many of the tasks that wait or run must run alone.
    pub(super) alone: usize,
    pub(super) prefetch: Prefetch,
    /// Whether the worker stops: no other task starts.
    pub(super) is_closed: bool,
}

impl Contents {
    pub(super) fn new(batches: &[BatchKind]) -> Self {
        Self {
            waiting: VecDeque::new(),
            gathers: batches.iter().cloned().map(Gather::new).collect(),
            slots: 0,
            running: 0,
            alone: 0,
            prefetch: Prefetch::new(),
            is_closed: false,
        }
    }

    /// Returns how many slots are used, or would be by what waits.
    pub(super) fn held(&self) -> usize {
        let batches = self.gathers.iter().map(Gather::slots);
        self.running + self.waiting.len() + batches.sum::<usize>()
    }

    /// Stops the clock by which handlers are measured, if nothing runs and nothing waits.
    pub(super) fn rest_if_empty(&mut self) {
        if self.held() == 0 {
            self.prefetch.record_at_rest();
        }
    }

    pub(super) fn own_room(&self, concurrency: usize) -> usize {
        // A batch that waits for more holds no slot until it starts.
        let batches = self.gathers.iter().map(Gather::full).sum::<usize>();
        let held = self.running + self.waiting.len() + batches;
        let prefetch = self.prefetch.tasks();
        let room = (concurrency + prefetch).saturating_sub(held);
        // While handlers have something to do, a claim waits until it is half as large as it may be.
        let is_worth_it = held < concurrency || room >= prefetch.div_ceil(2);
        let room = if is_worth_it { room } else { 0 };
        // Batches that end fast would have all slots otherwise.
        let is_next_missing =
            self.waiting.is_empty() && self.gathers.iter().any(|it| it.prefetch() > 0);
        room.max(usize::from(is_next_missing))
    }

    /// Returns how many tasks of a type that run in batches a claim should bring now.
    pub(super) fn room_of_batch(&self, at: usize, concurrency: usize) -> usize {
        let gather = &self.gathers[at];
        let others = self.gathers.iter().enumerate().filter(|it| it.0 != at);
        let (mut taken, mut is_fast) = (self.running, self.prefetch.tasks() > 0);
        for (_, other) in others {
            taken += other.full();
            is_fast |= other.prefetch() > 0;
        }
        // Whatever waits for a slot that is soon free, one batch may wait beside it.
        gather.room(concurrency.saturating_sub(taken), is_fast)
    }

    pub(super) fn has_stale(&self) -> bool {
        let oldest = self.waiting.front();
        oldest.is_some_and(|oldest| oldest.arrived.elapsed() >= STALE_AFTER)
    }

    /// Puts a task where the others of its kind wait.
    pub(super) fn gather(&mut self, task: BufferedTask) {
        let mut gathers = self.gathers.iter_mut();
        match gathers.find(|it| it.is_of(&task.task.task_type)) {
            Some(gather) => gather.put(task),
            None => self.waiting.push_back(task),
        }
    }

    /// Takes out what has waited longest: a task, or a batch that waits for no more.
    pub(super) fn next_of_all(&mut self, now: Instant) -> Option<Work> {
        let ready = self.gathers.iter_mut();
        let ready = ready.filter_map(|it| Some((it.ready(now)?, it)));
        let ready: Option<(Gathered, &mut Gather)> = ready.min_by_key(|(it, _)| it.arrived);
        match (self.waiting.front(), ready) {
            (Some(one), Some((batch, gather))) if batch.arrived < one.arrived => {
                Some(Work::Many(gather.take(&batch)))
            }
            (None, Some((batch, gather))) => Some(Work::Many(gather.take(&batch))),
            _ => self.waiting.pop_front().map(|next| Work::One(next.task)),
        }
    }

    pub(super) fn take_waiting(&mut self) -> Vec<ClaimedTask> {
        let waiting = self.waiting.drain(..).map(|it| it.task);
        let mut waiting: Vec<_> = waiting.collect();
        waiting.extend(self.gathers.iter_mut().flat_map(Gather::take_all));
        self.alone -= count_alone(&waiting);
        waiting
    }
}

pub(super) fn count_alone(tasks: &[ClaimedTask]) -> usize {
    let alone = tasks.iter().filter(|task| must_run_alone(task.crashes));
    alone.count()
}
