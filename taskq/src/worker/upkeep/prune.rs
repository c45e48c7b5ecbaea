//! Dropping the days of the history that are older than its retention, and making the next ones.
//!
//! One worker at a time does it; for the others there is nothing to do. If none did, completed tasks
//! would stay in the default partition for ever.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::Error;

use super::duty::{Duty, First};
use super::keep;
use crate::error::error_text;
use crate::operate::prune::rest_after;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "prune",
    // The history's unit is a day.
    period: |core| {
        let keeps_some = core.settings.keep_completed || core.registry.keeps_some();
        keeps_some.then_some(Duration::from_secs(60 * 60))
    },
    first: |_| First::AtStart,
    sooner: None,
    limit: Duration::from_secs(60),
    // Somebody may have held the table's lock. Others wait behind each try.
    retry: Some(Duration::from_secs(15)),
    run: |core| prune_history(core).boxed(),
};

async fn prune_history(core: &Core) -> bool {
    match prune_days(core).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                error = error_text(&error),
                "cannot prune the history; trying again soon"
            );
            false
        }
    }
}

async fn prune_days(core: &Core) -> Result<(), Error> {
    let mut store = core.store();
    keep::declare(&mut store, &keep::declared(core)).await?;
    loop {
        let began = Instant::now();
        let Some(partition) = store.prune(core.settings.history_retention).await? else {
            return Ok(());
        };
        tracing::info!(partition, "made or dropped a day of the history");
        rest_after(began).await;
    }
}
