//! Saying which limits this worker declares, and ending those that no worker declares any more.
//!
//! Programs of several versions run side by side, and one that has no limit of a type must not end that of another: so a
//! limit ends when no living worker has declared it for long. Until then it holds, whoever starts or stops. If this duty
//! stops, the limits stay as they are.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::Error;

use super::duty::{Duty, First};
use crate::store::Store;
use crate::worker::limits::DECLARED_FOR;
use crate::worker::shared::Core;
use crate::worker::trouble::Said;

pub(crate) const DUTY: Duty = Duty {
    name: "limits",
    period: |_| Some(Duration::from_secs(30)),
    first: |_| First::WithinPeriod,
    sooner: None,
    limit: Duration::from_secs(30),
    retry: Some(Duration::from_secs(5)),
    run: |core| follow(core).boxed(),
};

/// How long a limit may go undeclared before it ends.
const SILENT_FOR: Duration = Duration::from_secs(15 * 60);

/// How long a worker must have reached Postgres to end a limit. After an outage others come back at the same time, and
/// have said nothing yet.
const ENDS_AFTER: Duration = Duration::from_secs(5 * 60);

async fn follow(core: &Core) -> bool {
    match declare(core, &mut core.store()).await {
        Ok(()) => true,
        Err(error) => {
            core.limits.record_failure();
            if let Some(Said { error, again }) = core.trouble("limits", &error) {
                tracing::warn!(
                    error,
                    "cannot say which limits this worker declares; trying again soon{again}"
                );
            }
            false
        }
    }
}

/// Asks Postgres nothing where there are no limits.
async fn declare(core: &Core, store: &mut Store<'static>) -> Result<(), Error> {
    let declared = core.registry.limits();
    if !declared.is_empty() {
        store.declare_limits(&declared, DECLARED_FOR).await?;
    }
    if core.limits.has_some() && core.limits.is_reached_for(ENDS_AFTER, Instant::now()) {
        for task_type in store.end_undeclared_limits(SILENT_FOR).await? {
            tracing::warn!(
                task_type,
                "limits ended: no worker has declared them for a quarter of an hour"
            );
        }
    }
    Ok(())
}
