//! Running a handler of many payloads once, and deciding about each of its tasks.
//!
//! Each task has an attempt, a place among the running ones and an outcome of its own. What ends all of them alike, an
//! error, a panic or a timeout, charges all. The next attempt at each is then made among half as many, which its row says
//! in its metadata. So a payload that fails whatever it is with ends up alone.

mod decide;
mod end;
mod execution;
#[cfg(feature = "testing")]
pub(crate) mod inline;
mod left;
mod transaction;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tracing::Instrument;

use self::execution::BatchExecution;
use super::alone::until_written;
use super::log::OpenLog;
use super::session::Session;
use super::trace;
use crate::attempt::delivery::Delivery;
use crate::attempt::verdict::Settlement;
use crate::lane::suspects::must_run_alone;
use crate::store::ClaimedTask;
use crate::worker::shared::Core;

/// Runs a batch, and says what became of its tasks.
pub(super) async fn run(
    core: &Arc<Core>,
    queue: usize,
    tasks: &[ClaimedTask],
    session: &mut Option<Session>,
    outcomes: &mpsc::Sender<Settlement>,
) {
    let left = {
        let log = OpenLog::of(core, tasks);
        let span = log.span(|| trace::begin_batch(core, tasks, &core.queue_names[queue]));
        let attempt = AssertUnwindSafe(attempt(core, queue, tasks, session, &log));
        let attempt = attempt.catch_unwind().instrument(span);
        log.around(pin!(attempt)).await
    };
    let left = left.unwrap_or_else(|_| {
        tracing::error!(
            "internal error: the worker panicked while it ended a batch; its tasks will be rescued"
        );
        for task in tasks {
            core.held.record_settled(task.lease_id, 1);
        }
        Vec::new()
    });
    for settlement in left {
        // The receiver is there for as long as handlers run.
        let _ = outcomes.send(settlement).await;
    }
    if let [task] = tasks
        && must_run_alone(task.crashes)
    {
        until_written(core, task).await;
    }
    core.buffers[queue].record_batch_ended(tasks, &core.room);
    // Handlers that never wait must not keep the thread from others.
    tokio::task::consume_budget().await;
}

/// Makes the attempts. Returns what is left to be written about the tasks.
async fn attempt(
    core: &Arc<Core>,
    queue: usize,
    tasks: &[ClaimedTask],
    session: &mut Option<Session>,
    log: &OpenLog,
) -> Vec<Settlement> {
    let registration = tasks
        .first()
        .and_then(|it| core.registry.find(&it.task_type));
    let Some(registration) = registration else {
        return Vec::new();
    };
    let batch = BatchExecution::start(core, registration, queue, tasks, &log.0);
    let (mut ends, running) = batch.look(batch.all());
    if !running.is_empty() {
        ends.extend(match batch.delivery() {
            Delivery::AtLeastOnce => batch.run_handler(&running, None).await.into_ends(),
            Delivery::Transactional => transaction::run(&batch, &running, session).await,
            Delivery::LazilyTransactional => {
                transaction::run_lazily(&batch, &running, session).await
            }
        });
    }
    batch.left_to_write(ends).await
}
