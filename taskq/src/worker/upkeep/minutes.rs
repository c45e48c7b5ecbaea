//! Deleting what workers counted by the minute more than two days ago.
//!
//! Nobody waits for it: whoever reads minutes says since when. It keeps the table small.

use std::time::Duration;

use futures_util::FutureExt;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "minutes",
    period: |_| Some(Duration::from_secs(10 * 60)),
    first: |_| First::WithinPeriod,
    sooner: None,
    limit: Duration::from_secs(30),
    retry: None,
    run: |core| prune_minutes(core).boxed(),
};

/// How many rows one statement deletes, so that none is locked for long.
const AT_ONCE: i64 = 5_000;

async fn prune_minutes(core: &Core) -> bool {
    let mut store = core.store();
    loop {
        match store.prune_minutes(AT_ONCE).await {
            Ok(pruned) if pruned < AT_ONCE => return true,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = error_text(&error),
                    "cannot delete what was counted long ago; trying again later"
                );
                return false;
            }
        }
    }
}
