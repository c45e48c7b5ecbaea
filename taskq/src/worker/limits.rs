//! Hearing which queues and task types are limited.
//!
//! As with pauses: a worker that listens reads it when it begins to, when it hears of a change, and whenever it has heard
//! nothing for a while. One that cannot hear reads it before a scan, every half a second at most.

use std::time::Instant;

use sqlx::Error;

use super::shared::Core;
use crate::lane::Scope;
use crate::store::Store;

/// Reads it on a connection of the claimer's. Returns whether it has changed.
pub(super) async fn read(core: &Core, store: &mut Store<'_>) -> Result<bool, Error> {
    let reading = core.limits.begin_reading();
    let scopes = store.limits().await?;
    Ok(record(core, reading, scopes))
}

/// Records what a reading found. Returns whether that is new.
pub(super) fn record(core: &Core, reading: u64, scopes: Vec<Scope>) -> bool {
    let is_new = core.limits.record(reading, scopes, Instant::now());
    if is_new {
        have_changed(core);
    }
    is_new
}

/// Has the claimer hand back what is limited and has not started.
pub(super) fn have_changed(core: &Core) {
    core.limits.record_changed();
    core.room.notify_one();
}
