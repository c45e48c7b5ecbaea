//! What the runs of a worker have logged and is not written yet: which runs, and how many bytes.

use std::mem::take;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many bytes of lines may wait to be written, of all runs of a worker. Then each has its oldest make room.
pub(super) const MOST_BYTES: usize = 64_000_000;

/// How many runs that have ended may wait. More are only those of a worker that cannot write for long.
pub(super) const MOST_ENDED: usize = 10_000;

/// The runs of a worker that have something to be written.
#[derive(Debug)]
pub(crate) struct Waiting<R> {
    table: Mutex<Table<R>>,
    bytes: AtomicUsize,
    some: Notify,
}

#[derive(Debug)]
struct Table<R> {
    waiting: Vec<Arc<R>>,
    /// Tasks that are done and not kept: what was written goes.
    done: Vec<i64>,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Self {
            table: Mutex::new(Table {
                waiting: Vec::new(),
                done: Vec::new(),
            }),
            bytes: AtomicUsize::new(0),
            some: Notify::new(),
        }
    }
}

impl<R> Waiting<R> {
    /// Waits until there is something to write.
    pub(crate) async fn wait(&self) {
        self.some.notified().await;
    }

    pub(super) fn record_waiting(&self, run: Arc<R>) {
        self.lock().waiting.push(run);
        self.some.notify_one();
    }

    pub(super) fn record_done(&self, task_ids: impl Iterator<Item = i64>) {
        let table = &mut *self.lock();
        let before = table.done.len();
        let room = MOST_ENDED.saturating_sub(before);
        table.done.extend(task_ids.take(room));
        if table.done.len() > before {
            self.some.notify_one();
        }
    }

    /// Takes all runs that wait, and the tasks that are done.
    pub(super) fn take_all(&self) -> (Vec<Arc<R>>, Vec<i64>) {
        let table = &mut *self.lock();
        (take(&mut table.waiting), take(&mut table.done))
    }

    /// Takes back runs for which it is too early.
    pub(super) fn put_off(&self, runs: Vec<Arc<R>>) {
        if !runs.is_empty() {
            self.lock().waiting.extend(runs);
            self.some.notify_one();
        }
    }

    /// Tells whether no more runs that have ended can wait.
    pub(super) fn is_full(&self) -> bool {
        self.lock().waiting.len() >= MOST_ENDED
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.bytes() > MOST_BYTES
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Table<R>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
