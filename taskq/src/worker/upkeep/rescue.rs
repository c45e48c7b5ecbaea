//! Taking back the tasks of workers that vanished.
//!
//! A lease that ran out belongs to a process that was killed, that hangs, or that cannot reach the
//! database. Its tasks wait again in their old places, charged with a crash; what each number of crashes
//! means, up to quarantine, `lanes` says. A worker does not rescue leases of its own: it extends them or hands them
//! back, as [`strays`](crate::worker::held::strays) tells. Two workers that find the same lease do not
//! both rescue it, because the row is locked and its expiry looked at again. A lease that cannot be
//! rescued is passed over and named in the log; it does not keep the others waiting. Nor does a task that
//! Postgres refuses to take back keep its neighbours in their lease: it is set aside.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Error;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::lane::suspects::QUARANTINE_AFTER;
use crate::store::{ExpiredRow, Refusal, RescuedRow, is_too_much};
use crate::worker::shared::Core;
use crate::worker::trouble::Said;

pub(crate) const DUTY: Duty = Duty {
    name: "rescue",
    period: |core| Some(core.settings.lease / 2),
    first: |_| First::AtStart,
    sooner: None,
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
                if let Some(Said { error, again }) = core.trouble("rescue", &error) {
                    tracing::warn!(
                        error,
                        "cannot search for expired leases; trying again later{again}"
                    );
                }
                return false;
            }
        };
        for lease in &page {
            if lease.worker_id == core.worker_id {
                // This worker stood still, or never heard of the lease: nobody has vanished with it.
                core.look_for_strays();
            } else {
                rescue(core, lease).await;
            }
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
    let rescued = spare.rescue(lease.lease_id, QUARANTINE_AFTER, None).await;
    drop(spare);
    match rescued {
        Ok(tasks) => log(lease, &tasks),
        // One task that Postgres does not take back must not keep the others from it.
        Err(error) if Refusal::of(&error).is_some() || is_too_much(&error) => {
            if let Err(error) = rescue_in_parts(core, lease).await {
                log_failure(lease, &error);
            }
        }
        Err(error) => log_failure(lease, &error),
    }
}

/// Rescues the tasks of a lease in halves, and these in halves, until those are alone that Postgres refuses to
/// take back. They are set aside.
async fn rescue_in_parts(core: &Core, lease: &ExpiredRow) -> Result<(), Error> {
    let lease_id = lease.lease_id;
    let left = core.spare.lock().await.left(lease_id).await?;
    let mut parts = vec![left.as_slice()];
    while let Some(part) = parts.pop() {
        let mut spare = core.spare.lock().await;
        let rescued = spare.rescue(lease_id, QUARANTINE_AFTER, Some(part)).await;
        let error = match rescued {
            Ok(tasks) => {
                log(lease, &tasks);
                continue;
            }
            Err(error) => error,
        };
        match (part, Refusal::of(&error)) {
            ([_], None) => return Err(error),
            (_, None) if !is_too_much(&error) => return Err(error),
            ([task_id], Some(refusal)) => {
                spare
                    .set_expired_aside(lease_id, *task_id, &refusal)
                    .await?;
                tracing::error!(
                    task_id,
                    of_worker = %lease.worker_id,
                    "task set aside in `refused`: its worker vanished, and Postgres refuses to take it back: {refusal}"
                );
            }
            (several, _) => parts.extend(<[_; 2]>::from(several.split_at(several.len() / 2))),
        }
    }
    Ok(())
}

fn log(lease: &ExpiredRow, tasks: &[RescuedRow]) {
    for task in tasks {
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

fn log_failure(lease: &ExpiredRow, error: &Error) {
    tracing::error!(
        lease_id = %lease.lease_id,
        tasks = lease.remaining,
        error = error_text(error),
        "cannot rescue a lease; skipping it until the next round"
    );
}
