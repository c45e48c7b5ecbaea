//! Stopping what an operator has cancelled: its outcome does not count any more, whatever it does.
//!
//! Usually a message says so, on the channel of operators. A worker that misses it, as one that does not listen, asks with
//! each heartbeat about the tasks that have run for a second or more.

use sqlx::Error;

use super::shared::Core;
use crate::store::Store;

/// Takes a task out of the worker, if it is there: from its handler, or from those that wait for a slot.
pub(super) fn take(core: &Core, task_id: i64) {
    for buffer in &core.buffers {
        if let Some(task) = buffer.take_one(task_id) {
            tracing::info!(
                task_id,
                task_type = task.task_type,
                "an operator has cancelled a task before it started"
            );
            core.held.record_settled(task.lease_id, 1);
            core.room.notify_one();
        }
    }
    core.held.cancel(task_id);
}

/// Looks which of the running tasks operators have cancelled.
pub(super) async fn look(core: &Core, store: &mut Store<'_>) -> Result<(), Error> {
    let running = core.held.running_long();
    if running.is_empty() {
        return Ok(());
    }
    for task_id in store.cancelled(&running).await? {
        take(core, task_id);
    }
    Ok(())
}
