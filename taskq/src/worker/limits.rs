//! Saying how the handlers limit their task types, and hearing which queues and task types are limited.
//!
//! As with pauses: a worker that listens reads it when it begins to, when it hears of a change, and whenever it has heard
//! nothing for a while. One that cannot hear reads it before a scan, every half a second at most.

use std::time::{Duration, Instant};

use sqlx::Error;
use tokio::time::sleep;

use super::shared::Core;
use crate::error::error_text;
use crate::lane::LimitedScopes;
use crate::store::{Store, is_locked, is_unserializable};
use crate::task::registry::Registry;

/// For how long a worker's word holds that it declares a limit: three times the period of the duty that says it.
pub(super) const DECLARED_FOR: Duration = Duration::from_secs(90);

/// How often a worker that starts tries to say it: for about a minute.
const MOST_TRIES: u32 = 25;

/// Says how the handlers limit their task types, before any of them starts. The first limit by key of a type waits for
/// transactions that have written tasks, and those that come later wait behind it: so each try is short, and lets them
/// pass. Where the database defaults to another isolation level, a worker that starts beside others does not see what they have
/// said meanwhile, and says it again.
pub(super) async fn declare(store: &mut Store<'_>, registry: &Registry) -> Result<(), Error> {
    let limits = registry.limits();
    if limits.is_empty() {
        return Ok(());
    }
    let mut tries = 1;
    loop {
        match store.declare_limits(&limits, DECLARED_FOR).await {
            Err(error)
                if (is_locked(&error) || is_unserializable(&error)) && tries < MOST_TRIES =>
            {
                tracing::info!(
                    error = error_text(&error),
                    "cannot say yet how tasks are limited; trying again soon"
                );
                sleep(Duration::from_secs(1).mul_f64(0.5 + fastrand::f64())).await;
                tries += 1;
            }
            declared => return declared,
        }
    }
}

/// Reads it on a connection of the claimer's. Returns whether it has changed.
pub(super) async fn read(core: &Core, store: &mut Store<'_>) -> Result<bool, Error> {
    let reading = core.limits.begin_reading();
    let scopes = store.limits().await?;
    Ok(record(core, reading, scopes))
}

/// Records what a reading found. Returns whether that is new.
pub(super) fn record(core: &Core, reading: u64, scopes: LimitedScopes) -> bool {
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
