//! Making one attempt in a transaction: the handler's effects and the task's completion commit
//! together, or neither does.
//!
//! In order: begin, handler, deferred constraints, deletion of the lease, commit. All but the handler are one round trip,
//! together with the beginning of the next attempt's transaction on the same connection. The lease's row comes last because a
//! row locked early would hold up its heartbeat. It must be there to be deleted: if somebody rescued the task meanwhile,
//! everything is rolled back, and that is the fence. A failed attempt is rolled back, and its record commits in the handler's
//! place.
//!
//! Where the connection itself fails, or Postgres does not commit what it had accepted, the handler is not to
//! blame: the task waits again, uncharged (see [`returns`](super::returns)). What is written about it then takes the
//! way of all other outcomes. It counts only if the lease is still there, so it cannot undo a commit whose answer
//! was lost.
//!
//! Where Postgres refuses to keep the completed task, all of it is undone. The task waits again, uncharged, and the
//! worker that was refused completes it the next time without keeping it.

use std::pin::pin;
use std::time::Duration;

use sqlx::Error;
use sqlx::error::DatabaseError;
use tokio::time::timeout;

use super::handler::{Decided, Ended, Execution, Handled, Interrupted, Taken};
use super::hooks::{self, Answer};
use super::session::{STEP_LIMIT, Session, be_ready, begin_in_time, no_answer, step};
use crate::attempt::tx_handle::GivenTx;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::error::BoxError;
use crate::error::error_text;
use crate::faults::crash_point;
use crate::store::{self, Committed, Completion, CompletionError, Store};
use crate::worker::shared::Core;
use crate::worker::trouble::Said;

/// How long to put a task off for which no transaction could be begun.
pub(super) const NO_TRANSACTION_DELAY: Duration = Duration::from_secs(1);

/// How long a dropped handler's last query may go on before it is cancelled.
const CANCEL_AFTER: Duration = Duration::from_millis(50);

/// How long a completion may go unanswered before the worker asks whether the handler has left a query running.
const LEFTOVER_AFTER: Duration = Duration::from_secs(1);

/// Runs a handler in its transaction. The slot keeps the session where the transaction has settled the task.
pub(crate) async fn run(execution: &Execution<'_>, kept: &mut Option<Session>) -> Ended {
    let begun = match kept.take() {
        Some(session) => Ok(session),
        // What is rare is boxed, so that slots stay small: a worker may have thousands.
        None => Box::pin(begin_in_time(execution.core)).await,
    };
    let begun = be_ready(execution.core, execution.registration.task_type, begun).await;
    let mut session = match begun {
        Ok(session) => session,
        Err(error) => {
            if let Some(Said { error, again }) = execution.core.trouble("begin", &error) {
                tracing::warn!(
                    error,
                    "cannot begin a transaction; the task is put off{again}"
                );
            }
            let put_off = Verdict::Snooze {
                delay: NO_TRANSACTION_DELAY,
                is_wished: false,
            };
            return Ended::Unsettled(put_off.into());
        }
    };
    execution.pulse.set_backend(session.backend);
    let tx = GivenTx::Begun(&mut session.tx);
    let handled = execution.run_handler(Some(tx)).await;
    execution.pulse.set_backend(0);
    let (ended, session) = conclude(execution, session, handled).await;
    *kept = session;
    ended
}

/// Ends the transaction of an attempt as its handler has decided. Returns the session where the next task may have it.
pub(super) async fn conclude(
    execution: &Execution<'_>,
    mut session: Session,
    handled: Handled,
) -> (Ended, Option<Session>) {
    let ended = match handled {
        Handled::Decided(decided) if decided.verdict.is_completion() => {
            session.complete(execution, &decided).await
        }
        Handled::Decided(decided) => Box::pin(session.record(execution, decided)).await,
        Handled::Taken(why) => {
            Box::pin(session.roll_back(execution)).await;
            Ended::Taken(why)
        }
    };
    match ended {
        Ended::Settled if session.is_usable => return (ended, Some(session)),
        // The pool finds out by itself that the connection is broken; asking it takes long.
        Ended::Interrupted(_) if session.is_lost => drop(session),
        _ => Box::pin(session.end(execution.core)).await,
    }
    (ended, None)
}

impl Session {
    /// Commits what the handler did, and with it the completion of its task.
    async fn complete(&mut self, execution: &Execution<'_>, decided: &Decided) -> Ended {
        // Boxed: most types have no hooks.
        if execution.asks_hooks(&decided.verdict)
            && let Err(ended) = Box::pin(self.ask_hooks(execution, decided)).await
        {
            return ended;
        }
        let failure = match self.settle(execution, decided).await {
            Ok(ended) => {
                decided.log();
                return ended;
            }
            Err(failure) => failure,
        };
        if failure.is_interruption() {
            self.is_lost = store::is_lost(&failure.error);
            let error = error_text(&failure.error);
            let charged = format!("its transaction was not committed: {error}");
            return Ended::Interrupted(Interrupted {
                error,
                charged: execution.failed_at_end(charged.into()),
            });
        }
        let verdict = execution.failed_at_end(unacceptable(failure));
        Box::pin(self.record(execution, verdict.into())).await
    }

    /// Asks the hooks of the task's type whether what the handler did may be committed. Returns how the attempt ends where
    /// it may not.
    async fn ask_hooks(
        &mut self,
        execution: &Execution<'_>,
        decided: &Decided,
    ) -> Result<(), Ended> {
        let decided = match hooks::ask(execution, decided, &mut self.tx).await {
            Answer::Agreed => return Ok(()),
            // As a handler's failure is: it may be that of the connection.
            Answer::Vetoed(vetoed) => Decided {
                is_failure: true,
                is_mixed_up: vetoed.is_mixed_up(),
                ..execution.failed_at_end(vetoed.into()).into()
            },
            Answer::Stopping => Verdict::HandBack.into(),
            Answer::Taken(why) => {
                self.roll_back(execution).await;
                return Err(Ended::Taken(why));
            }
        };
        Err(self.record(execution, decided).await)
    }

    /// Undoes what the handler did, and commits in its place what becomes of the task.
    async fn record(&mut self, execution: &Execution<'_>, decided: Decided) -> Ended {
        let undo = self.own.undo(&mut self.tx);
        let recorded = match stop_query(execution, self.backend, undo).await {
            // It failed over what somebody else has prepared on this session, or deallocated.
            Ok(()) if decided.is_mixed_up => {
                store::end_backend(&mut self.tx).await;
                self.is_lost = true;
                return Ended::Interrupted(Interrupted::of(decided.verdict));
            }
            // In a transaction of its own, which what the type does then is a part of.
            Ok(()) if execution.leaves_in_own_transaction(&decided.verdict) => {
                return Ended::Unsettled(decided);
            }
            Ok(()) => match self.settle(execution, &decided).await {
                // The handler failed because the server writes nothing now.
                Err(failure) if decided.is_failure && store::is_read_only(&failure.error) => {
                    return Ended::Interrupted(Interrupted::of(decided.verdict));
                }
                recorded => recorded.map_err(|failure| failure.error),
            },
            // It failed because the connection did, as far as anybody can tell.
            Err(error) if decided.is_failure && store::is_lost(&error) => {
                self.is_lost = true;
                return Ended::Interrupted(Interrupted::of(decided.verdict));
            }
            Err(error) => Err(error),
        };
        decided.log();
        recorded.unwrap_or_else(|error| {
            tracing::debug!(%error, "the handler's transaction is broken; recording the outcome on another connection");
            Ended::Unsettled(decided)
        })
    }

    /// Takes the task out of its lease, commits, and begins the next transaction. If the lease does not
    /// hold the task any more it is lost, and the transaction must not be committed.
    pub(super) async fn settle(
        &mut self,
        execution: &Execution<'_>,
        decided: &Decided,
    ) -> Result<Ended, CompletionError> {
        let held = &execution.core.held;
        held.set_settling([execution.task.lease_id], true);
        let settled = if decided.verdict.is_completion() {
            self.commit_completion(execution, &decided.verdict).await
        } else {
            let settlement = execution.settlement(decided.verdict.clone());
            let recorded = Box::pin(self.commit_record(execution, settlement)).await;
            recorded.map_err(CompletionError::ours)
        };
        record_settled(execution, decided, &settled);
        settled
    }

    /// Does what [`settle`](Self::settle) does for a task that has completed and may have a lease together with others.
    pub(super) async fn settle_beside(
        &mut self,
        execution: &Execution<'_>,
        decided: &Decided,
    ) -> Result<Ended, CompletionError> {
        let (core, task) = (execution.core, execution.task);
        core.held.set_settling([task.lease_id], true);
        let settlement = match core.returns.is_not_kept(task.task_id) {
            true => Settlement {
                keep: false,
                ..execution.settlement(Verdict::Complete)
            },
            false => execution.settlement(decided.verdict.clone()),
        };
        let is_kept = settlement.keep;
        let recorded = self.commit_record(execution, settlement).await;
        let settled = recorded.map_err(CompletionError::ours);
        if let Err(failure) = &settled
            && is_kept
        {
            stop_keeping(execution, failure);
        }
        record_settled(execution, decided, &settled);
        settled
    }

    async fn commit_completion(
        &mut self,
        execution: &Execution<'_>,
        verdict: &Verdict,
    ) -> Result<Ended, CompletionError> {
        let core = execution.core;
        let fresh = core.fresh_session().await.map_err(CompletionError::ours)?;
        let task_type = execution.registration.task_type;
        let is_kept =
            execution.keeps_completed() && !core.returns.is_not_kept(execution.task.task_id);
        let habits = core.habits.of(task_type);
        let completion = Completion {
            schema: core.settings.schema,
            lease_id: execution.task.lease_id,
            kept: is_kept.then_some(verdict),
            is_member: execution.task.metadata.is_of_group(),
            habits,
        };
        let completed = self.own.complete(&mut self.tx, fresh, &completion);
        match unless_left_over(execution, self.backend, completed).await {
            Ok(committed) => {
                core.habits.learn(task_type, committed.habits);
                if committed.is_dirty || committed.is_broken {
                    Box::pin(self.clean_up(core, &committed)).await;
                }
                Ok(Ended::Settled)
            }
            Err(failure) if store::is_lease_gone(&failure.error) => Ok(Ended::Taken(Taken::Lost)),
            Err(failure) => {
                let learned = failure.habits();
                core.habits.learn(task_type, learned);
                // What the next completion is better prepared for may be no refusal then.
                if is_kept && habits.and(learned) == habits {
                    stop_keeping(execution, &failure);
                }
                Err(failure)
            }
        }
    }

    async fn commit_record(
        &mut self,
        execution: &Execution<'_>,
        settlement: Settlement,
    ) -> Result<Ended, Error> {
        let schema = execution.core.settings.schema;
        let settlements = [settlement];
        let counted = step(Store::on(&mut self.tx, schema).settle(&settlements)).await?;
        if counted.is_empty() {
            return Ok(Ended::Taken(Taken::Lost));
        }
        let committed = step(self.own.commit_and_begin(&mut self.tx)).await?;
        if committed.is_dirty {
            self.clean_up(execution.core, &committed).await;
        }
        Ok(Ended::Settled)
    }

    /// Undoes everything, where the task is somebody else's.
    pub(super) async fn roll_back(&mut self, execution: &Execution<'_>) {
        let undo = self.own.undo(&mut self.tx);
        if let Err(error) = stop_query(execution, self.backend, undo).await {
            tracing::debug!(%error, "rollback failed; the connection is closed, which rolls back");
        }
    }

    /// Makes the session clean for the next task, where a handler has left something on it.
    pub(super) async fn clean_up(&mut self, core: &Core, committed: &Committed) {
        self.is_usable = !committed.is_broken;
        if committed.is_dirty && self.is_usable {
            let clean = async {
                let fresh = core.fresh_session().await?;
                self.own.clean(&mut self.tx, fresh).await
            };
            self.is_usable = step(clean).await.is_ok();
        }
    }
}

/// Records what has come of an end that was to be committed, and tells of it.
fn record_settled(
    execution: &Execution<'_>,
    decided: &Decided,
    settled: &Result<Ended, CompletionError>,
) {
    let (core, lease_id) = (execution.core, execution.task.lease_id);
    crash_point("after_commit");
    match settled {
        Ok(_) => core.held.record_settled(lease_id, 1),
        Err(_) => core.held.set_settling([lease_id], false),
    }
    if let Ok(Ended::Settled) = settled {
        execution.count(decided);
        if let Some(ended) = execution.to_tell(decided) {
            core.tell(ended);
        }
    }
}

/// Where Postgres refuses to keep a task, lets the next attempt complete without that: the work must not be given up
/// for the sake of what would remain of it.
fn stop_keeping(execution: &Execution<'_>, failure: &CompletionError) {
    if let Some(refusal) = failure.refusal() {
        tracing::error!(
            "Postgres refuses to keep a completed task; it runs again, and is not kept: {refusal}"
        );
        let returns = &execution.core.returns;
        returns.record_not_kept(execution.task.task_id);
    }
}

/// Waits for a statement in front of which a dropped handler's query may still be running, and
/// cancels that query if it takes its time.
pub(super) async fn stop_query<T>(
    execution: &Execution<'_>,
    backend: i32,
    statement: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut statement = pin!(statement);
    if let Ok(result) = timeout(CANCEL_AFTER, &mut statement).await {
        return result;
    }
    let mut spare = execution.core.spare.lock().await;
    let cancelled = spare.cancel_backend(backend).await;
    drop(spare);
    if let Err(error) = cancelled {
        tracing::warn!(%error, "cannot cancel the query of a dropped handler");
    }
    step(statement).await
}

/// Waits for a completion. Where the handler has dropped a query that still runs, as after a time limit of its
/// own, that query is cancelled, and the completion fails with it.
pub(super) async fn unless_left_over<T>(
    execution: &Execution<'_>,
    backend: i32,
    completion: impl Future<Output = Result<T, CompletionError>>,
) -> Result<T, CompletionError> {
    let mut completion = pin!(completion);
    if let Ok(result) = timeout(LEFTOVER_AFTER, &mut completion).await {
        return result;
    }
    // Boxed: it is rare.
    let cancel = Box::pin(async {
        let mut spare = execution.core.spare.lock().await;
        spare.cancel_leftover(backend).await
    });
    let cancelled = cancel.await;
    match timeout(STEP_LIMIT, completion).await {
        Ok(Err(failure)) if matches!(cancelled, Ok(true)) && !failure.was_accepted => {
            Err(failure.of_leftover())
        }
        Ok(result) => result,
        Err(_) => Err(CompletionError::unanswered(no_answer())),
    }
}

/// Says why a transaction cannot be committed whose handler found nothing wrong.
pub(super) fn unacceptable(failure: CompletionError) -> BoxError {
    if failure.is_of_leftover {
        return "the handler returned while a query of its transaction was running, which was cancelled: a limit around a query of `tx` must not be followed by success".into();
    }
    let error = failure.error;
    if store::has_ended(&error) {
        return "the handler ended its task's transaction: commit and rollback are the worker's"
            .into();
    }
    if store::is_isolated(&error) {
        return "the handler changed the isolation level of its task's transaction, whose end must see what others have committed: do in a transaction of your own what needs another level".into();
    }
    let code = error.as_database_error().and_then(DatabaseError::code);
    match code.as_deref() {
        Some("25P01" | "3B001") => {
            "the handler ended its task's transaction: commit and rollback are the worker's".into()
        }
        Some("25P02") => {
            "a statement failed in the task's transaction, and the handler did not return its error"
                .into()
        }
        _ => error_text(&error).into(),
    }
}
