//! Writing the lines that handlers log.
//!
//! Run by each worker, once a second at the most and only where something was logged that is to be kept: one statement for
//! all its tasks, or one for each four megabytes, on a connection that is taken for it and given back. Lines that Postgres
//! refuses are found by halves, and dropped alone. If the loop stopped, no lines were kept; nothing else depends on it. Each
//! worker writes of its own tasks.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::shared::Core;
use super::trouble::Said;
use crate::attempt::log::{Part, Quiet};
use crate::store::{Refusal, Store};

/// How long it is silent between two writes.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes what handlers log until `done`, and then what they logged last.
pub(crate) async fn write(core: Arc<Core>, done: CancellationToken) {
    // The worker may run within the attempt of another, whose lines are not those of this loop.
    let writing = pin!(write_until(&core, done));
    Quiet(writing).await;
}

async fn write_until(core: &Core, done: CancellationToken) {
    loop {
        tokio::select! {
            () = done.cancelled() => break,
            () = core.lines.wait() => {}
        }
        write_once(core).await;
        tokio::select! {
            () = done.cancelled() => break,
            () = sleep(PAUSE) => {}
        }
    }
    write_once(core).await;
}

/// Writes what was logged since the last time, and reports that it cannot.
async fn write_once(core: &Core) {
    let mut parts = core.lines.take(Instant::now());
    let mut store = core.store();
    while let Some(part) = parts.pop() {
        let Err(error) = write_part(core, &mut store, &part).await else {
            continue;
        };
        let is_about_a_row = Refusal::of(&error).is_some_and(|refusal| refusal.is_about_a_row());
        let lost = match is_about_a_row {
            true => part.halves(),
            false => {
                parts.push(part);
                say(core, &error, "cannot write log lines; trying again");
                break;
            }
        };
        match lost {
            Ok(halves) => parts.extend(halves),
            Err(_) => say(
                core,
                &error,
                "log lines of an attempt are refused, and lost",
            ),
        }
    }
    for part in parts {
        core.lines.put_back(part);
    }
}

/// Writes a part in one statement.
pub(super) async fn write_part(
    core: &Core,
    store: &mut Store<'_>,
    part: &Part,
) -> Result<(), Error> {
    store.write_log(core.worker_id, part).await
}

fn say(core: &Core, error: &Error, what: &str) {
    if let Some(Said { error, again }) = core.trouble("lines", error) {
        tracing::warn!(error, "{what}{again}");
    }
}
