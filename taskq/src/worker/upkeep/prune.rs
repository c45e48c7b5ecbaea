//! Dropping the days of the history that are older than its retention, and making the next ones.
//!
//! Run once an hour by each worker that keeps completed tasks. One at a time does it; for the others
//! there is nothing to do. If none did, tasks would be kept in the default partition, for ever.

use crate::store;
use crate::worker::Core;

/// Prunes the history. Returns whether that went well.
pub(crate) async fn prune_history(core: &Core) -> bool {
    let schema = core.settings.schema;
    let keep = core.settings.history_retention;
    let dropped = core
        .control
        .lock()
        .await
        .call(async |db| store::prune(db, schema, keep).await)
        .await;
    match dropped {
        Ok(0) => true,
        Ok(days) => {
            tracing::info!(days, "dropped old days of the history");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "could not prune the history; trying again soon");
            false
        }
    }
}
