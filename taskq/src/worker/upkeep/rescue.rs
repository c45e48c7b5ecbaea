//! Taking back the tasks of workers that vanished.
//!
//! A lease that ran out belongs to a process that was killed, that hangs, or that cannot reach the
//! database. Its tasks wait again in their old places, charged with a crash; what each number of crashes
//! means, up to quarantine, `lanes` says. Two workers that find the same lease do not
//! both rescue it, because the row is locked and its expiry looked at again. A lease that cannot be
//! rescued is passed over and named in the log; it does not keep the others waiting.

use crate::lane::QUARANTINE_AFTER;
use crate::store::{self, ExpiredRow};
use crate::worker::Core;

/// How many expired leases are looked at together.
const PAGE: usize = 100;

/// Rescues every lease that has run out.
pub(crate) async fn rescue_expired(core: &Core) {
    let schema = core.settings.schema;
    let mut last: Option<ExpiredRow> = None;
    loop {
        let page = core
            .control
            .lock()
            .await
            .call(async |db| store::expired(db, schema, last.as_ref(), PAGE).await)
            .await;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "could not look for expired leases; trying again later");
                return;
            }
        };
        for lease in &page {
            rescue(core, lease).await;
        }
        let is_last = page.len() < PAGE;
        last = page.into_iter().next_back();
        if is_last {
            return;
        }
    }
}

async fn rescue(core: &Core, lease: &ExpiredRow) {
    let schema = core.settings.schema;
    let rescued = core
        .control
        .lock()
        .await
        .call(async |db| store::rescue(db, schema, lease.lease_id, QUARANTINE_AFTER).await)
        .await;
    match rescued {
        Ok(tasks) => {
            for task in tasks.iter().filter(|task| task.is_quarantined) {
                tracing::error!(
                    task_type = task.task_type,
                    task_id = task.task_id,
                    "task quarantined: its worker vanished {QUARANTINE_AFTER} times while it ran"
                );
            }
            if !tasks.is_empty() {
                tracing::warn!(
                    tasks = tasks.len(),
                    of_worker = %lease.worker_id,
                    "rescued the tasks of a worker that vanished"
                );
            }
        }
        Err(error) => tracing::error!(
            lease_id = %lease.lease_id,
            tasks = lease.remaining,
            %error,
            "a lease could not be rescued; passing it over"
        ),
    }
}
