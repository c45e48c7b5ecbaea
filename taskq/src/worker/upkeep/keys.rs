//! Deleting the keys of tasks that have ended.
//!
//! Nobody waits for it: a key of a task that has ended is given to whoever asks for it. It keeps the table small.

use std::time::Duration;

use futures_util::FutureExt;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "keys",
    period: |_| Some(Duration::from_secs(60)),
    first: |_| First::WithinPeriod,
    sooner: None,
    limit: Duration::from_secs(30),
    retry: None,
    run: |core| prune_keys(core).boxed(),
};

/// How many keys one statement deletes, so that none is locked for long.
const AT_ONCE: i64 = 5_000;

async fn prune_keys(core: &Core) -> bool {
    let mut store = core.store();
    loop {
        match store.prune_keys(AT_ONCE).await {
            Ok(pruned) if pruned < AT_ONCE => return true,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = error_text(&error),
                    "cannot delete the keys of ended tasks; trying again later"
                );
                return false;
            }
        }
    }
}
