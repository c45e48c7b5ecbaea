//! One place to run a handler: it takes task after task of a queue, and makes an attempt of each.

mod alone;
pub(crate) mod batch;
mod beside;
mod declared;
mod discard;
#[cfg(feature = "encryption")]
mod encrypted;
mod ended;
pub(crate) mod habits;
mod handler;
mod hooks;
#[cfg(feature = "testing")]
pub(crate) mod inline;
mod invalid;
mod lazy;
mod log;
mod noted;
mod report;
pub(crate) mod returns;
mod secrets;
mod session;
mod stray;
mod trace;
mod transaction;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::alone::until_written;
use self::handler::{Ended, Execution, Handled, Interrupted, Taken, log_end};
use self::log::OpenLog;
use self::noted::Noted;
use self::session::Session;
use super::claim::buffer::Buffer;
use super::claim::buffered::Work;
use super::held::pulse::Pulse;
use super::shared::Core;
use super::trouble::Said;
use crate::attempt::delivery::Delivery;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::error::BoxError;
use crate::lane::suspects::must_run_alone;
use crate::store::ClaimedTask;

/// How many handlers a slot runs before it lets others have the thread, if none of them waits. Beside such slots a runtime
/// rarely looks at its sockets, and the answer to a claim lies there.
const MOST_IN_A_ROW: usize = 16;

/// Runs the handlers of a queue's tasks, one after the other, until the worker stops.
pub(crate) async fn run(core: Arc<Core>, queue: usize, outcomes: mpsc::Sender<Settlement>) {
    let buffer = &core.buffers[queue];
    let queue_name = &*core.queue_names[queue];
    let mut slot = Slot::default();
    let mut in_a_row = 0_usize;
    while let Some(work) = slot.next(&core, buffer).await {
        // By reference: what is moved here, every slot has room for twice.
        let task = match &work {
            Work::One(task) => task,
            Work::Many(tasks) => {
                // Boxed, so that slots of other tasks stay small.
                let batch = batch::run(&core, queue, tasks, &mut slot.session, &outcomes);
                Box::pin(batch).await;
                continue;
            }
        };
        let settlement = {
            let log = OpenLog::of(&core, from_ref(task));
            let span = log.span(|| trace::begin(&core, task, queue_name));
            let attempt = pin!(slot.attempt(&core, queue, task, &log).instrument(span));
            log.around(attempt).await
        };
        if let Some(settlement) = settlement {
            // The receiver is there for as long as handlers run.
            let _ = outcomes.send(settlement).await;
        }
        if must_run_alone(task.crashes) {
            // Boxed: it is rare.
            Box::pin(until_written(&core, task)).await;
        }
        buffer.record_ended(task, &core.room);
        in_a_row += 1;
        if in_a_row.is_multiple_of(MOST_IN_A_ROW) {
            yield_now().await;
        }
    }
}

/// What a slot keeps from one task to the next.
#[derive(Default)]
struct Slot {
    /// Where the last task's handler had a transaction.
    session: Option<Session>,
    /// Cancelled when the running task is taken from its handler; then there is a new one.
    token: CancellationToken,
    /// On which thread the handler is.
    pulse: Arc<Pulse>,
}

impl Slot {
    /// Returns the next task, or the next batch. While the slot waits for it, it holds no session.
    async fn next(&mut self, core: &Core, buffer: &Buffer) -> Option<Work> {
        if let Some(work) = buffer.take() {
            return Some(work);
        }
        if let Some(session) = self.session.take() {
            // Boxed, as all that is rare, so that slots stay small.
            Box::pin(session.end(core)).await;
        }
        buffer.next().await
    }

    /// Makes one attempt. Returns what is left to be written about the task, if anything is.
    async fn attempt(
        &mut self,
        core: &Arc<Core>,
        queue: usize,
        task: &ClaimedTask,
        log: &OpenLog,
    ) -> Option<Settlement> {
        let Some(registration) = core.registry.find(&task.task_type) else {
            // Does not happen: the claim names the types that it wants.
            tracing::error!(
                "internal error: claimed a task of an unknown type; it will be rescued"
            );
            core.held.record_settled(task.lease_id, 1);
            return None;
        };
        if self.token.is_cancelled() {
            self.token = CancellationToken::new();
        }
        // Nothing if the lease was lost while the task waited for its turn.
        let _place = core.held.record_started(
            task.lease_id,
            task.task_id,
            registration.task_type,
            &self.token,
            &self.pulse,
        )?;
        let noted = Noted::with(&log.0);
        let execution = Execution {
            core,
            registration,
            queue,
            task,
            taken: &self.token,
            pulse: &self.pulse,
            noted: &noted,
        };
        #[cfg(feature = "encryption")]
        let opened = match encrypted::open(core, registration, task) {
            Ok(opened) => opened,
            Err(error) => return Some(encrypted::settle(&execution, error)),
        };
        #[cfg(feature = "encryption")]
        let execution = Execution {
            task: opened.as_ref().unwrap_or(task),
            ..execution
        };
        execution.hide_in_log();
        let attempt = AssertUnwindSafe(deliver(&execution, &mut self.session));
        let Ok(ended) = attempt.catch_unwind().await else {
            tracing::error!(
                "internal error: the worker panicked while it ended an attempt; the task will be rescued"
            );
            core.held.record_settled(task.lease_id, 1);
            return None;
        };
        left_to_write(&execution, ended).await
    }
}

/// Runs the handler, with a transaction if it has one.
async fn deliver(execution: &Execution<'_>, session: &mut Option<Session>) -> Ended {
    match execution.registration.declaration.delivery {
        Delivery::AtLeastOnce => match execution.run_handler(None).await {
            Handled::Decided(decided) => {
                if !execution.leaves_in_own_transaction(&decided.verdict) {
                    decided.log();
                }
                Ended::Unsettled(decided)
            }
            Handled::Taken(why) => Ended::Taken(why),
        },
        // What is rare is boxed, so that slots stay small.
        Delivery::Transactional if execution.core.shared_places.are_shared_in(execution.queue) => {
            Box::pin(stray::run(execution)).await
        }
        Delivery::Transactional => transaction::run(execution, session).await,
        Delivery::LazilyTransactional => Box::pin(lazy::run(execution, session)).await,
    }
}

/// Returns what is left to be written about a task whose attempt has ended, if anything is.
async fn left_to_write(execution: &Execution<'_>, ended: Ended) -> Option<Settlement> {
    let returns = &execution.core.returns;
    let ended = match ended {
        Ended::Unsettled(decided)
            if decided.verdict.is_completion() && execution.asks_hooks(&decided.verdict) =>
        {
            // Boxed, so that slots stay small: most types have no hooks.
            Box::pin(beside::complete(execution, decided)).await
        }
        ended => ended,
    };
    let decided = match ended {
        Ended::Settled => {
            returns.forget(execution.task.task_id);
            return None;
        }
        Ended::Taken(why) => return taken(execution, why).await,
        Ended::Unsettled(decided) => {
            returns.forget(execution.task.task_id);
            decided
        }
        // Boxed, so that slots stay small: it is rare.
        Ended::Interrupted(interrupted) => {
            let verdict = Box::pin(return_or_charge(execution, interrupted)).await;
            verdict.into()
        }
    };
    if execution.leaves_in_own_transaction(&decided.verdict) {
        // Boxed, so that slots stay small: it is rare.
        let discarded = Box::pin(discard::run(execution, decided)).await;
        return match discarded {
            (Ended::Taken(why), _) => taken(execution, why).await,
            (_, left) => left,
        };
    }
    execution.count(&decided);
    let ended = execution.to_tell(&decided);
    Some(Settlement {
        ended,
        ..execution.settlement(decided.verdict)
    })
}

/// Says that a task was taken from its handler. Nothing is left to be written about it.
async fn taken(execution: &Execution<'_>, why: Taken) -> Option<Settlement> {
    match why {
        Taken::Lost => tracing::warn!("lease lost; this attempt does not count"),
        Taken::Cancelled => {
            tracing::info!("an operator has cancelled the task; its handler was stopped");
            let held = &execution.core.held;
            held.record_settled(execution.task.lease_id, 1);
        }
    }
    if execution.core.is_observed(execution.registration) {
        // Boxed, so that slots stay small: it is rare.
        Box::pin(execution.tell_taken(why)).await;
    }
    None
}

/// Returns a task uncharged whose transaction was interrupted, after a pause: whatever happened to the
/// connection may go on for a while. One that is interrupted again and again is charged at last.
async fn return_or_charge(execution: &Execution<'_>, interrupted: Interrupted) -> Verdict {
    let Interrupted { error, charged } = interrupted;
    let core = execution.core;
    let Some(pause) = core.returns.record(execution.task.task_id, fastrand::f64()) else {
        tracing::warn!(
            error,
            "the task's transaction was interrupted {} times in a row; now the attempt counts",
            returns::MOST + 1
        );
        log_end(&charged, None);
        return charged;
    };
    // One line for all tasks that are interrupted by the same.
    if let Some(Said { error, again }) =
        core.troubles
            .record("transaction", &*BoxError::from(error), Instant::now())
    {
        tracing::warn!(
            error,
            ?pause,
            "the task's transaction was not completed; the task runs again, and this attempt does not count{again}"
        );
    }
    tokio::select! {
        () = sleep(pause) => {}
        () = core.stop.gently.cancelled() => {}
        // The settlement will find the lease gone.
        () = execution.taken.cancelled() => {}
    }
    Verdict::HandBack
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F: Future>(
        _: impl FnOnce(Arc<Core>, mpsc::Sender<Settlement>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    /// A worker may have thousands of slots, and moves each when it is opened. What is rare in an attempt is
    /// boxed for that reason.
    #[test]
    fn a_slot_is_small() {
        let size = size_of_future(|core, outcomes| run(core, 0, outcomes));
        assert!(size < 3_000, "{size} bytes");
    }
}
