//! Writing how far attempts say that they are.
//!
//! Run by each worker, once a second at the most and only where something was said: one statement for all its tasks, on a
//! connection that is taken for it and given back. If the loop stopped, others would see what was said before; nothing else
//! depends on it. Each worker writes of its own tasks.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::shared::Core;
use super::trouble::Said;
use crate::store::Store;

/// How long it is silent between two writes.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes what attempts say until `done`, and then what they said last.
pub(crate) async fn write(core: Arc<Core>, done: CancellationToken) {
    loop {
        tokio::select! {
            () = done.cancelled() => break,
            () = core.notes.wait() => {}
        }
        write_once(&core, &mut core.store()).await;
        tokio::select! {
            () = done.cancelled() => break,
            () = sleep(PAUSE) => {}
        }
    }
    write_once(&core, &mut core.store()).await;
}

/// Writes what was said since the last time, if anything was, and reports that it cannot.
async fn write_once(core: &Core, store: &mut Store<'_>) {
    if let Err(error) = write_in(core, store).await
        && let Some(Said { error, again }) = core.trouble("progress", &error)
    {
        tracing::warn!(
            error,
            "cannot write how far attempts are; trying again{again}"
        );
    }
}

/// Writes what was said since the last time, if anything was.
pub(crate) async fn write_in(core: &Core, store: &mut Store<'_>) -> Result<(), Error> {
    let Some(batch) = core.notes.take() else {
        return Ok(());
    };
    let written = store.write_progress(core.worker_id, &batch.said, &batch.done);
    let written = written.await;
    if written.is_err() {
        core.notes.put_back(batch);
    }
    written
}
