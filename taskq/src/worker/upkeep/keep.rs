//! Saying for how long this worker's types are kept, and deleting what is kept no longer and does not go with a whole day.
//!
//! One worker at a time deletes; for the others there is nothing to do. A worker whose types say nothing looks more seldom: an
//! operator may have said something of them. If none did, what is kept for a time would be kept for ever.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Error;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::operate::prune::prune_kept;
use crate::store::Store;
use crate::task::keep::DeclaredKeeps;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "keep",
    period: |core| {
        let minutes = if declared(core).is_empty() { 10 } else { 1 };
        Some(Duration::from_secs(minutes * 60))
    },
    first: |core| match declared(core).is_empty() {
        true => First::WithinPeriod,
        false => First::AtStart,
    },
    sooner: None,
    // The next period does what is left.
    limit: Duration::from_secs(55),
    retry: Some(Duration::from_secs(15)),
    run: |core| keep(core).boxed(),
};

pub(super) fn declared(core: &Core) -> DeclaredKeeps {
    let mut keeps = core.registry.keeps();
    if core.settings.keep_completed || core.registry.keeps_some() {
        keeps.add_unsaid(core.settings.history_retention);
    }
    keeps
}

async fn keep(core: &Core) -> bool {
    let keeps = declared(core);
    if core.settings.drain.is_some() && keeps.is_empty() {
        return true;
    }
    match declare_and_prune(&mut core.store(), &keeps).await {
        Ok(0) => true,
        Ok(pruned) => {
            tracing::info!(pruned, "deleted tasks that are kept no longer");
            true
        }
        Err(error) => {
            tracing::warn!(
                error = error_text(&error),
                "cannot delete tasks that are kept no longer; trying again soon"
            );
            false
        }
    }
}

async fn declare_and_prune(store: &mut Store<'_>, keeps: &DeclaredKeeps) -> Result<u64, Error> {
    declare(store, keeps).await?;
    prune_kept(store).await
}

/// Says for how long this worker's types are kept. Nothing may be pruned before: what they keep for longer would be gone.
pub(super) async fn declare(store: &mut Store<'_>, keeps: &DeclaredKeeps) -> Result<(), Error> {
    match keeps.is_empty() {
        true => Ok(()),
        false => store.declare_keep(keeps).await,
    }
}
