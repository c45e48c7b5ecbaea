//! Deleting the progress of tasks that are nowhere any more.
//!
//! A worker deletes what it wrote of a task that it has completed, and that is not kept. This finds what others left: those that
//! were killed in between, days of the history that were dropped, and dead tasks that somebody deleted. Nobody waits for it.

use std::time::Duration;

use futures_util::FutureExt;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "progress",
    period: |_| Some(Duration::from_secs(60 * 60)),
    first: |_| First::WithinPeriod,
    sooner: None,
    limit: Duration::from_secs(60),
    retry: None,
    run: |core| prune_progress(core).boxed(),
};

/// How many rows one statement looks at.
const AT_ONCE: i32 = 1_000;

/// How many statements are said in a period: the next goes on where these have ended.
const STEPS: usize = 100;

async fn prune_progress(core: &Core) -> bool {
    let mut store = core.store();
    for _ in 0..STEPS {
        let behind = core.notes.pruned_to();
        match store.prune_progress(behind, AT_ONCE).await {
            Ok(Some(to)) => core.notes.record_pruned(to),
            Ok(None) => {
                core.notes.record_pruned(0);
                break;
            }
            Err(error) => {
                tracing::warn!(
                    error = error_text(&error),
                    "cannot delete the progress of tasks that are gone; trying again later"
                );
                return false;
            }
        }
    }
    true
}
