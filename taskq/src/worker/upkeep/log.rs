//! Deleting the log lines of tasks that are nowhere any more.
//!
//! A worker deletes what it wrote of a task that it has completed, and that is not kept. This finds what others left: those that
//! were killed in between, earlier attempts by other workers, days of the history that were dropped, and dead tasks that
//! somebody deleted. Nobody waits for it. Workers that keep no lines do it too: where there are none it is one look.

use std::time::Duration;

use futures_util::FutureExt;
use uuid::Uuid;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "log",
    period: |_| Some(Duration::from_secs(60 * 60)),
    first: |_| First::WithinPeriod,
    sooner: None,
    limit: Duration::from_secs(60),
    retry: None,
    run: |core| prune_log(core).boxed(),
};

/// How many rows one statement looks at.
const AT_ONCE: i32 = 1_000;

/// How many statements are said in a period: the next goes on where these have ended.
const STEPS: usize = 100;

async fn prune_log(core: &Core) -> bool {
    let mut store = core.store();
    for _ in 0..STEPS {
        let behind = *core.lock_log_place();
        match store.prune_log(behind, AT_ONCE).await {
            Ok(Some(to)) => *core.lock_log_place() = to,
            Ok(None) => {
                *core.lock_log_place() = (0, Uuid::nil());
                break;
            }
            Err(error) => {
                tracing::warn!(
                    error = error_text(&error),
                    "cannot delete the log lines of tasks that are gone; trying again later"
                );
                return false;
            }
        }
    }
    true
}
