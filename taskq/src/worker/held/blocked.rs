//! Which of the running tasks block their threads, and what others are to know of them.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::pulse::OnePoll;
use super::{Held, RunningTask};
use crate::store::WatchedRow;

impl Held {
    /// Returns which running tasks are being polled now.
    pub(crate) fn polls(&self) -> Vec<((Uuid, i64), OnePoll)> {
        let table = self.lock();
        let running = table.running.iter();
        let polled = running.filter_map(|(key, task)| Some((*key, task.pulse.polled()?)));
        polled.collect()
    }

    /// Records that a running task blocks its thread, if it is in this poll still, and returns it; or that it does so no more.
    pub(crate) fn record_blocked(
        &self,
        key: (Uuid, i64),
        blocked: Option<(OnePoll, Instant)>,
    ) -> Option<RunningTask> {
        let mut table = self.lock();
        let task = table.running.get_mut(&key)?;
        task.blocked = match blocked {
            Some((poll, _)) if task.pulse.polled() != Some(poll) => return None,
            Some((poll, since)) => Some(Box::new((poll.thread(), since))),
            None => None,
        };
        Some(task.clone())
    }

    /// Returns what others are to know of tasks that block their threads, or have run in a transaction for as long as this.
    pub(crate) fn watched(&self, long: Duration) -> Vec<WatchedRow> {
        let table = self.lock();
        let rows = table.running.values().filter_map(|task| {
            let blocked = task.blocked.as_ref();
            let backend = task.pulse.backend();
            let is_long = backend.is_some() && task.started.elapsed() >= long;
            (blocked.is_some() || is_long).then(|| WatchedRow {
                task_id: task.task_id,
                thread: blocked.map(|it| it.0.clone()),
                blocked: blocked.map(|it| it.1.elapsed().as_secs_f64()),
                backend,
            })
        });
        // A task can run twice for a moment.
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable_by_key(|row| row.task_id);
        rows.dedup_by_key(|row| row.task_id);
        rows
    }
}

impl RunningTask {
    /// Returns the thread that it blocks.
    pub(crate) fn thread(&self) -> Option<&str> {
        self.blocked.as_ref().map(|it| it.0.as_str())
    }
}
