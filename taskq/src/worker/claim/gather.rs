//! The tasks of a type that run in batches, while they wait for more of their like or for a slot.
//!
//! A batch starts when it is full, or when its first task has waited for as long as its type says. It takes one slot. Only
//! tasks that may run beside as many others wait together: those whose batch failed have smaller ones, and a task whose
//! worker vanished runs alone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffered::{BufferedTask, STALE_AFTER};
use super::prefetch::Prefetch;
use crate::attempt::batch::MOST;
use crate::store::ClaimedTask;
use crate::task::batch::BatchBounds;

/// A type whose tasks run in batches.
#[derive(Debug, Clone)]
pub(crate) struct BatchKind {
    names: Arc<[&'static str]>,
    size: usize,
    wait: Duration,
    /// Whether the handler completes its tasks in its own transaction.
    has_transaction: bool,
}

impl BatchKind {
    pub(crate) fn new(
        names: Vec<&'static str>,
        bounds: BatchBounds,
        has_transaction: bool,
    ) -> Self {
        Self {
            names: names.into(),
            size: usize::from(bounds.size),
            wait: bounds.wait,
            has_transaction,
        }
    }
}

/// The waiting tasks of one type.
#[derive(Debug)]
pub(super) struct Gather {
    kind: BatchKind,
    /// By how many of them may run together.
    pools: BTreeMap<usize, VecDeque<BufferedTask>>,
    /// How many have been taken out to run, and have not ended.
    running: usize,
    prefetch: Prefetch,
}

/// A batch that may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gathered {
    most: usize,
    /// When its first task had arrived.
    pub(super) arrived: Instant,
}

impl Gather {
    pub(super) fn new(kind: BatchKind) -> Self {
        Self {
            kind,
            pools: BTreeMap::new(),
            running: 0,
            prefetch: Prefetch::new(),
        }
    }

    pub(super) fn is_of(&self, task_type: &str) -> bool {
        self.kind.names.contains(&task_type)
    }

    /// Returns how many tasks a batch has at the most.
    pub(super) fn size(&self) -> usize {
        self.kind.size
    }

    /// Returns how many tasks have a lease together, if those of each call have.
    pub(super) fn leased(&self) -> Option<usize> {
        let kind = &self.kind;
        kind.has_transaction.then_some(kind.size)
    }

    /// Returns how many tasks wait.
    pub(super) fn waiting(&self) -> usize {
        self.pools.values().map(VecDeque::len).sum()
    }

    /// Returns how many slots they will take.
    pub(super) fn slots(&self) -> usize {
        let pools = self.pools.iter();
        pools.map(|(most, pool)| pool.len().div_ceil(*most)).sum()
    }

    /// Returns how many slots those will take that wait for no more.
    pub(super) fn full(&self) -> usize {
        let pools = self.pools.iter();
        pools.map(|(most, pool)| pool.len() / most).sum()
    }

    /// Returns how many tasks to hold besides those for which there is a slot.
    pub(super) fn prefetch(&self) -> usize {
        self.prefetch.tasks()
    }

    /// Returns how many tasks a claim should bring where so many slots are free for them. `waits_anyway` says that a batch
    /// soon gets a slot although none is.
    pub(super) fn room(&self, slots: usize, waits_anyway: bool) -> usize {
        let (size, prefetch, waiting) = (self.kind.size, self.prefetch.tasks(), self.waiting());
        let wanted = slots * size + prefetch;
        let wanted = wanted.max(if waits_anyway { size } else { 0 });
        let room = wanted.saturating_sub(waiting);
        let is_worth_it = waiting < size || room >= size.max(prefetch / 2);
        if !is_worth_it {
            return 0;
        }
        // So that a batch has the tasks of one lease, as far as that is possible.
        let beyond = (waiting + room) % size;
        if beyond < room { room - beyond } else { room }
    }

    pub(super) fn put(&mut self, task: BufferedTask) {
        self.prefetch.record_busy(task.arrived);
        let most = most(&task.task, self.kind.size);
        self.pools.entry(most).or_default().push_back(task);
    }

    /// Returns which batch may start, if one may.
    pub(super) fn ready(&self, now: Instant) -> Option<Gathered> {
        let ready = self.pools.iter().filter_map(|(most, pool)| {
            let arrived = pool.front()?.arrived;
            let is_ready = pool.len() >= *most || arrived + self.kind.wait <= now;
            is_ready.then_some(Gathered {
                most: *most,
                arrived,
            })
        });
        ready.min_by_key(|it| it.arrived)
    }

    /// Returns when the next batch starts that is not full by then.
    pub(super) fn starts(&self) -> Option<Instant> {
        let first = self.pools.values().filter_map(|pool| pool.front());
        first.map(|it| it.arrived + self.kind.wait).min()
    }

    /// Takes a batch out.
    pub(super) fn take(&mut self, batch: &Gathered) -> Vec<ClaimedTask> {
        let most = batch.most;
        let Some(pool) = self.pools.get_mut(&most) else {
            return Vec::new();
        };
        let taken = pool.drain(..most.min(pool.len()));
        let taken: Vec<_> = taken.map(|it| it.task).collect();
        if pool.is_empty() {
            self.pools.remove(&most);
        }
        self.running += taken.len();
        taken
    }

    /// Takes a batch out, whether it may start yet or not.
    #[cfg(feature = "testing")]
    pub(super) fn take_any(&mut self) -> Option<Vec<ClaimedTask>> {
        let (most, pool) = self.pools.iter().next()?;
        let batch = Gathered {
            most: *most,
            arrived: pool.front()?.arrived,
        };
        Some(self.take(&batch))
    }

    /// Tells whether a batch has waited too long for a slot.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.pools.iter().any(|(most, pool)| {
            let first = pool.front().map(|it| it.arrived + self.kind.wait);
            let filled = pool.get(most - 1).map(|it| it.arrived);
            let since = first.into_iter().chain(filled).min();
            since.is_some_and(|since| since + STALE_AFTER <= now)
        })
    }

    pub(super) fn watch(&mut self) {
        self.prefetch.watch();
    }

    /// Tells, when it was watched, whether all that waits will soon have had its turn.
    pub(super) fn comes_along(&self) -> bool {
        self.prefetch.come_along(self.waiting())
    }

    pub(super) fn take_all(&mut self) -> Vec<ClaimedTask> {
        let pools = std::mem::take(&mut self.pools).into_values();
        pools.flatten().map(|it| it.task).collect()
    }

    /// Takes a task out, if it waits here.
    pub(super) fn take_one(&mut self, task_id: i64) -> Option<ClaimedTask> {
        let is_it = |it: &BufferedTask| it.task.task_id == task_id;
        let mut pools = self.pools.iter();
        let (most, at) =
            pools.find_map(|(most, pool)| Some((*most, pool.iter().position(is_it)?)))?;
        let pool = self.pools.get_mut(&most)?;
        let taken = pool.remove(at)?.task;
        if pool.is_empty() {
            self.pools.remove(&most);
        }
        Some(taken)
    }

    /// Takes all tasks out, if they are of a type that is wanted.
    pub(super) fn take_of(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<ClaimedTask> {
        let is_some_wanted = self.kind.names.iter().any(|name| is_wanted(name));
        if !is_some_wanted {
            return Vec::new();
        }
        let (taken, left) = self
            .take_all_buffered()
            .partition::<Vec<_>, _>(|it| is_wanted(&it.task.task_type));
        left.into_iter().for_each(|it| self.put(it));
        taken.into_iter().map(|it| it.task).collect()
    }

    fn take_all_buffered(&mut self) -> impl Iterator<Item = BufferedTask> + use<> {
        std::mem::take(&mut self.pools).into_values().flatten()
    }

    pub(super) fn adjust(&mut self, now: Instant) {
        self.prefetch.adjust(now);
    }

    /// Records that a batch of so many tasks has ended.
    pub(super) fn record_ended(&mut self, tasks: usize) {
        (0..tasks).for_each(|_| self.prefetch.record_ended());
        self.running = self.running.saturating_sub(tasks);
        if self.running == 0 && self.waiting() == 0 {
            self.prefetch.record_at_rest();
        }
    }

    /// Records that what was prefetched waits too long for its turn.
    pub(super) fn record_stale(&mut self) {
        self.prefetch.record_stale();
    }
}

/// Returns how many tasks may run together with one, itself included.
fn most(task: &ClaimedTask, size: usize) -> usize {
    if task.crashes > 0 {
        return 1;
    }
    let said = task.metadata.get(MOST).and_then(|it| it.as_u64());
    let said = said.and_then(|it| usize::try_from(it).ok());
    said.map_or(size, |most| most.clamp(1, size))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;
    use crate::attempt::metadata::Metadata;

    const WAIT: Duration = Duration::from_millis(50);

    fn gather(size: u16) -> Gather {
        let bounds = BatchBounds { size, wait: WAIT };
        Gather::new(BatchKind::new(vec!["push"], bounds, false))
    }

    fn buffered(task_id: i64, most: Option<u64>, crashes: i32, arrived: Instant) -> BufferedTask {
        let mut metadata = Metadata::default();
        if let Some(most) = most {
            metadata.set(MOST.to_owned(), most.into());
        }
        let task = ClaimedTask {
            lease_id: Uuid::nil(),
            task_id,
            task_type: "push".to_owned(),
            payload_version: 0,
            payload: RawValue::NULL.to_owned(),
            priority: 0,
            run_at: DateTime::UNIX_EPOCH,
            created_at: DateTime::UNIX_EPOCH,
            max_attempts: None,
            attempts: 0,
            crashes,
            errors: Vec::new(),
            metadata,
        };
        BufferedTask { task, arrived }
    }

    fn taken(gather: &mut Gather, now: Instant) -> Option<Vec<i64>> {
        let ready = gather.ready(now)?;
        let ids = gather.take(&ready).into_iter().map(|task| task.task_id);
        Some(ids.collect())
    }

    #[test]
    fn a_batch_starts_when_it_is_full_or_its_first_task_has_waited() {
        let (mut gather, now) = (gather(3), Instant::now());
        (1..=4).for_each(|id| gather.put(buffered(id, None, 0, now)));
        assert_eq!(taken(&mut gather, now), Some(vec![1, 2, 3]));
        assert_eq!(taken(&mut gather, now), None);
        assert_eq!(gather.starts(), Some(now + WAIT));
        assert_eq!(taken(&mut gather, now + WAIT), Some(vec![4]));
        assert_eq!((gather.waiting(), gather.starts()), (0, None));
    }

    #[test]
    fn tasks_whose_batch_failed_keep_to_themselves_and_suspects_are_alone() {
        let (mut gather, now) = (gather(4), Instant::now());
        gather.put(buffered(1, None, 0, now));
        gather.put(buffered(2, Some(2), 0, now));
        gather.put(buffered(3, None, 1, now));
        gather.put(buffered(4, Some(2), 0, now));
        gather.put(buffered(5, Some(1), 0, now));
        assert_eq!(gather.slots(), 4);
        let mut batches: Vec<_> = std::iter::from_fn(|| taken(&mut gather, now)).collect();
        batches.sort();
        assert_eq!(batches, [vec![2, 4], vec![3], vec![5]]);
        assert_eq!(taken(&mut gather, now + WAIT), Some(vec![1]));
    }

    #[test]
    fn a_claim_brings_what_makes_batches_full() {
        let (mut gather, now) = (gather(10), Instant::now());
        assert_eq!(gather.room(3, false), 30);
        assert_eq!(gather.room(0, false), 0, "there is no slot");
        assert_eq!(gather.room(0, true), 10, "there will be one");
        (1..=4).for_each(|id| gather.put(buffered(id, None, 0, now)));
        assert_eq!(gather.room(3, false), 26);
        (5..=35).for_each(|id| gather.put(buffered(id, None, 0, now)));
        assert_eq!(gather.room(3, true), 0);
    }

    #[test]
    fn what_waits_for_more_is_not_stale() {
        let (mut gather, now) = (gather(2), Instant::now());
        gather.put(buffered(1, None, 0, now));
        assert!(!gather.is_stale(now + STALE_AFTER));
        assert!(gather.is_stale(now + WAIT + STALE_AFTER));
        let filled = now + WAIT / 2;
        gather.put(buffered(2, None, 0, filled));
        assert!(!gather.is_stale(now + STALE_AFTER));
        assert!(gather.is_stale(filled + STALE_AFTER));
    }

    #[test]
    fn few_batches_prefetch_as_many_do_however_long_claims_take() {
        let mut gather = gather(4);
        for round in 0..25 {
            let now = Instant::now();
            (0..4).for_each(|n| gather.put(buffered(round * 4 + n, None, 0, now)));
            let ran = taken(&mut gather, now).expect("a full batch");
            gather.record_ended(ran.len());
            std::thread::sleep(Duration::from_millis(4));
            gather.adjust(Instant::now());
        }
        assert!(gather.prefetch() > 1_000, "{}", gather.prefetch());
    }
}
