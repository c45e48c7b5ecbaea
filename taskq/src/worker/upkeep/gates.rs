//! Deleting the gates of rates that have room again, and of holds that are over.
//!
//! Nobody waits for it: such a gate says what holds without one. It keeps the table small where keys are used once.

use std::time::Duration;

use futures_util::FutureExt;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "gates",
    period: |_| Some(Duration::from_secs(60)),
    first: |_| First::WithinPeriod,
    sooner: None,
    limit: Duration::from_secs(30),
    retry: None,
    run: |core| prune_gates(core).boxed(),
};

/// How many gates one statement deletes, so that none is locked for long.
const AT_ONCE: i64 = 5_000;

async fn prune_gates(core: &Core) -> bool {
    let mut store = core.store();
    loop {
        match store.prune_gates(AT_ONCE).await {
            Ok(pruned) if pruned < AT_ONCE => return true,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = error_text(&error),
                    "cannot delete the gates that say nothing any more; trying again later"
                );
                return false;
            }
        }
    }
}
