//! Taking back the tasks of workers that vanished.
//!
//! A lease that ran out belongs to a process that was killed, that hangs, or that cannot reach the
//! database. Its tasks wait again in their old places, charged with a crash; what each number of crashes
//! means, up to quarantine, `lanes` says. Two workers that find the same lease do not
//! both rescue it, because the row is locked and its expiry looked at again. A lease that cannot be
//! rescued is passed over and named in the log; it does not keep the others waiting.

use std::time::Duration;

use futures_util::FutureExt;

use super::duty::Duty;
use crate::lane::suspects::QUARANTINE_AFTER;
use crate::store::ExpiredRow;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "rescue",
    period: |core| Some(core.settings.lease / 2),
    // Each call has a limit of its own, and there may be thousands.
    limit: Duration::from_secs(60 * 60),
    retry: None,
    run: |core| rescue_expired(core).boxed(),
};

/// How many expired leases are looked at together.
const PAGE: usize = 100;

/// Rescues every lease that has run out.
async fn rescue_expired(core: &Core) -> bool {
    let mut last: Option<ExpiredRow> = None;
    loop {
        let mut spare = core.spare.lock().await;
        let page = spare.expired(last.as_ref(), PAGE).await;
        drop(spare);
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "cannot search for expired leases; trying again later");
                return false;
            }
        };
        for lease in &page {
            rescue(core, lease).await;
        }
        let is_last = page.len() < PAGE;
        last = page.into_iter().next_back();
        if is_last {
            return true;
        }
    }
}

async fn rescue(core: &Core, lease: &ExpiredRow) {
    let mut spare = core.spare.lock().await;
    let rescued = spare.rescue(lease.lease_id, QUARANTINE_AFTER).await;
    drop(spare);
    match rescued {
        Ok(tasks) => {
            for task in &tasks {
                let Some(task_type) = &task.quarantined else {
                    continue;
                };
                tracing::error!(
                    task_type,
                    task_id = task.task_id,
                    "task quarantined: its worker vanished {QUARANTINE_AFTER} times while it ran"
                );
            }
            if !tasks.is_empty() {
                tracing::warn!(
                    tasks = tasks.len(),
                    of_worker = %lease.worker_id,
                    "rescued the tasks of a worker that died or was cut off"
                );
            }
        }
        Err(error) => tracing::error!(
            lease_id = %lease.lease_id,
            tasks = lease.remaining,
            %error,
            "cannot rescue a lease; skipping it until the next round"
        ),
    }
}
