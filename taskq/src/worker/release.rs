//! Telling another worker that a limited task has ended, where this worker cannot claim the next one itself.
//!
//! Usually it can: the task has left its slot too. But a task that was prefetched may take the slot, and a worker that
//! stops claims nothing. Then one worker that listens is woken, and no more: there is room for one task. If this loop
//! stops, the others find the room when they poll.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::shared::Core;
use super::trouble::Said;

/// Not more often than this, however many tasks end.
const PAUSE: Duration = Duration::from_millis(20);

/// How long this worker has to claim by itself what may start now.
const OWN_TURN: Duration = Duration::from_millis(10);

/// Wakes others until `done`.
pub(crate) async fn release(core: Arc<Core>, done: CancellationToken) {
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            () = core.held.limited_left_for_others() => {}
        }
        core.held.take_limited_claimed();
        // So long has this worker to claim the next one.
        sleep(OWN_TURN).await;
        if core.held.take_limited_claimed() {
            continue;
        }
        let queues = queues_without_room(&core);
        if !queues.is_empty()
            && let Err(error) = core.store().wake_one(core.worker_id, &queues).await
            && let Some(Said { error, again }) = core.trouble("release", &error)
        {
            tracing::warn!(
                error,
                "cannot wake another worker; they find what limits kept back when they poll{again}"
            );
        }
        tokio::select! {
            () = done.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
    }
}

/// Returns the queues in which this worker cannot start another task now.
fn queues_without_room(core: &Core) -> Vec<&str> {
    let is_stopping = core.stop.gently.is_cancelled();
    let queues = core.queue_names.iter().zip(&core.buffers);
    queues
        .filter(|(_, buffer)| is_stopping || buffer.room_to_run() == 0)
        .map(|(queue, _)| &**queue)
        .collect()
}
