//! The tasks that run: whoever wants to stop one, or to tell what runs, asks here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Held;
use super::pulse::Pulse;
use super::task::RunningTask;

/// How long a task runs that is remembered for a while after it ended, and that heartbeats ask about.
const LONG: Duration = Duration::from_secs(1);

/// How many of them are remembered.
const LONG_ENDED: usize = 10;

/// The place of a running task in the table, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    held: &'a Held,
    key: (Uuid, i64),
}

impl Held {
    /// Records that a task starts, and when to leave off: when `token` is cancelled. Returns nothing if the
    /// lease was lost or may end soon, as that of a claim whose answer took long: then the task must not run.
    pub(crate) fn record_started(
        &self,
        lease_id: Uuid,
        task_id: i64,
        task_type: &'static str,
        token: &CancellationToken,
        pulse: &Arc<Pulse>,
    ) -> Option<Place<'_>> {
        let mut table = self.lock();
        let started = Instant::now();
        if table
            .leases
            .get(&lease_id)?
            .is_overdue(started, self.duration)
        {
            // The whole of it, or what is left would be kept alive and not run.
            table.leases.remove(&lease_id);
            table.stop_tasks_of(&[lease_id]);
            return None;
        }
        let task = RunningTask {
            task_id,
            task_type,
            started,
            token: token.clone(),
            is_cancelled: false,
            pulse: pulse.clone(),
            blocked: None,
        };
        let key = (lease_id, task_id);
        table.running.insert(key, task);
        Some(Place { held: self, key })
    }

    /// Takes a task from its handler, because an operator has cancelled it.
    pub(crate) fn cancel(&self, task_id: i64) {
        let mut table = self.lock();
        for (_, task) in table
            .running
            .iter_mut()
            .filter(|((_, id), _)| *id == task_id)
        {
            task.is_cancelled = true;
            task.token.cancel();
        }
    }

    /// Tells whether an operator has cancelled a running task.
    pub(crate) fn is_cancelled(&self, lease_id: Uuid, task_id: i64) -> bool {
        let table = self.lock();
        let task = table.running.get(&(lease_id, task_id));
        task.is_some_and(|task| task.is_cancelled)
    }

    /// Returns the tasks that have run for a while, each with its lease, unless they were cancelled.
    pub(crate) fn running_long(&self) -> Vec<(Uuid, i64)> {
        let table = self.lock();
        let running = table.running.iter();
        let long = running.filter(|(_, task)| task.started.elapsed() >= LONG && !task.is_cancelled);
        long.map(|(key, _)| *key).collect()
    }

    /// Returns the tasks that run, those that started first in front.
    pub(crate) fn running(&self) -> Vec<RunningTask> {
        let mut running: Vec<_> = self.lock().running.values().cloned().collect();
        running.sort_unstable_by_key(|task| task.started);
        running
    }

    /// Names the tasks that have run longest, for the log.
    pub(crate) fn longest_running(&self, most: usize) -> Vec<String> {
        let running = self.running().into_iter().take(most);
        running.map(|task| task.name()).collect()
    }

    /// Names the tasks that have run for long since `began`, for the log: those that ended, and those that run.
    pub(crate) fn ran_since(&self, began: Instant, most: usize) -> Vec<String> {
        let mut tasks: Vec<RunningTask> = self.running();
        let table = self.lock();
        let ended = table.long_ended.iter().filter(|(_, ended)| *ended >= began);
        tasks.extend(ended.map(|(task, _)| task.clone()));
        drop(table);
        tasks.sort_unstable_by_key(|task| task.started);
        tasks.iter().take(most).map(RunningTask::name).collect()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let ended = Instant::now();
        let mut table = self.held.lock();
        let Some(task) = table.running.remove(&self.key) else {
            return;
        };
        if ended - task.started >= LONG {
            table.long_ended.truncate(LONG_ENDED - 1);
            table.long_ended.push_front((task, ended));
        }
    }
}
