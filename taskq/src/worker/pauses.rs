//! Hearing what is paused.
//!
//! A worker that listens reads the pauses when it begins to, when it hears that they have changed, and whenever it
//! has heard nothing for a while. One that cannot hear reads them before a scan, every half a second at most. One that
//! knows of some reads them before each scan, so that neither a lost message nor a clock that runs wrong makes a pause
//! last.

use std::time::Instant;

use sqlx::Error;

use super::shared::Core;
use crate::lane::{HeldPause, Scope};
use crate::store::Store;

/// Reads them on a connection of the claimer's. Returns whether they have changed.
pub(super) async fn read(core: &Core, store: &mut Store<'_>) -> Result<bool, Error> {
    let reading = core.pauses.begin_reading();
    let held = store.pauses().await?;
    Ok(record(core, reading, held))
}

/// Records what a reading found, and has the claimer hand back what has not started. Returns whether that is new.
pub(super) fn record(core: &Core, reading: u64, held: Vec<HeldPause>) -> bool {
    let changes = core.pauses.record(reading, held, Instant::now());
    let begun = changes.begun.iter();
    for pause in begun.filter(|pause| core.has_to_do_with(&pause.scope)) {
        tracing::info!("nothing more starts: {pause}");
    }
    let ended = changes.ended.iter();
    for scope in ended.filter(|scope| core.has_to_do_with(scope)) {
        tracing::info!("starts again: {scope} is paused no more");
    }
    if !changes.begun.is_empty() {
        core.room.notify_one();
    }
    !changes.is_empty()
}

impl Core {
    fn has_to_do_with(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Queue(name) => self.works_on(name),
            Scope::TaskType(name) => self.registry.find(name).is_some(),
            Scope::Schedule(_) => false,
        }
    }
}
