//! Making one attempt in a transaction: the handler's effects and the task's completion commit
//! together, or neither does.
//!
//! In order: begin, savepoint, handler, deferred constraints, release of the savepoint, deletion of
//! the lease, commit. All but the handler are one round trip, together with the beginning of the next
//! attempt's transaction on the same connection. The lease's row comes last because a row locked early would hold up its
//! heartbeat. It must be there to be deleted: if somebody rescued the task meanwhile, everything is
//! rolled back, and that is the fence. A failed attempt goes back to the savepoint, and its record
//! commits in the handler's place.
//!
//! Where the connection itself fails, or Postgres does not commit what it had accepted, the handler is not to
//! blame: the task waits again, uncharged (see [`returns`](super::returns)). What is written about it then takes the
//! way of all other outcomes. It counts only if the lease is still there, so it cannot undo a commit whose answer
//! was lost.

use std::io;
use std::pin::pin;
use std::time::Duration;

use sqlx::Error;
use sqlx::error::DatabaseError;
use tokio::time::timeout;

use super::handler::{Decided, Ended, Execution, Handled, Interrupted};
use crate::attempt::tx::Tx;
use crate::attempt::verbs::error_text;
use crate::attempt::verdict::Verdict;
use crate::error::BoxError;
use crate::faults::crash_point;
use crate::store::{self, CompletionError, OwnCompletions, Store};

/// How long to put a task off for which no transaction could be begun.
const NO_TRANSACTION_DELAY: Duration = Duration::from_secs(1);

/// How long a dropped handler's last query may go on before it is cancelled.
const CANCEL_AFTER: Duration = Duration::from_millis(50);

/// How long to wait for a query to stop that was cancelled, and for any step of ours.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// A connection with a transaction that has just begun, and the process of the server that works on
/// it. A slot keeps it from task to task, so that one transaction's end and the next one's beginning
/// are one round trip.
pub(crate) struct Session {
    tx: Tx,
    backend: i32,
    completions: OwnCompletions,
}

impl Session {
    async fn begin(execution: &Execution<'_>) -> Result<Self, Error> {
        // By a task of its own, which ends when the answer has come: where this future is dropped before,
        // sqlx would put the connection back into the pool, and it would be in a transaction there.
        let pool = execution.core.pool.clone();
        let begun = tokio::spawn(async move { pool.begin_with(store::BEGIN).await });
        let transaction = begun.await.map_err(io::Error::other)??;
        let mut tx = Tx { transaction };
        let backend = Store::on(&mut tx, execution.core.settings.schema)
            .backend()
            .await?;
        crash_point("after_begin");
        Ok(Self {
            tx,
            backend,
            completions: OwnCompletions::new(),
        })
    }

    /// Ends it where nothing is left to run.
    pub(crate) async fn end(mut self) {
        let ended = async {
            self.completions.forget(&mut self.tx).await?;
            self.tx.transaction.rollback().await
        };
        if let Err(error) = step(ended).await {
            tracing::debug!(%error, "an idle connection failed");
        }
    }
}

/// Runs a handler in its transaction. The slot keeps the session where the transaction has settled the task.
pub(crate) async fn run(execution: &Execution<'_>, kept: &mut Option<Session>) -> Ended {
    let begun = match kept.take() {
        Some(session) => Ok(session),
        // What is rare is boxed, so that slots stay small: a worker may have thousands.
        None => Box::pin(step(Session::begin(execution))).await,
    };
    let mut session = match begun {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "cannot begin a transaction; the task is put off");
            return Ended::Unsettled(Verdict::Snooze {
                delay: NO_TRANSACTION_DELAY,
            });
        }
    };
    let ended = match execution.run_handler(Some(&mut session.tx)).await {
        Handled::Decided(decided) if decided.verdict.is_completion() => {
            session.complete(execution, &decided).await
        }
        Handled::Decided(decided) => Box::pin(session.record(execution, decided)).await,
        Handled::Lost => {
            Box::pin(session.roll_back(execution)).await;
            return Ended::Lost;
        }
    };
    // Any other session goes back to the pool, which rolls it back or finds it broken.
    if matches!(ended, Ended::Settled) {
        *kept = Some(session);
    }
    ended
}

impl Session {
    /// Commits what the handler did, and with it the completion of its task.
    async fn complete(&mut self, execution: &Execution<'_>, decided: &Decided) -> Ended {
        let failure = match self.settle(execution, &decided.verdict).await {
            Ok(ended) => {
                decided.log();
                return ended;
            }
            Err(failure) => failure,
        };
        if failure.is_interruption() {
            let error = error_text(&failure.error);
            let charged = format!("its transaction was not committed: {error}");
            return Ended::Interrupted(Interrupted {
                error,
                charged: execution.failed_at_end(charged.into()),
            });
        }
        let verdict = execution.failed_at_end(unacceptable(failure.error));
        Box::pin(self.record(execution, verdict.into())).await
    }

    /// Undoes what the handler did, and commits in its place what becomes of the task.
    async fn record(&mut self, execution: &Execution<'_>, decided: Decided) -> Ended {
        let undo = store::undo_attempt(&mut self.tx);
        let recorded = match stop_query(execution, self.backend, undo).await {
            Ok(()) => {
                decided.log();
                let recorded = self.settle(execution, &decided.verdict).await;
                recorded.map_err(|failure| failure.error)
            }
            // It failed because the connection did, as far as anybody can tell.
            Err(error) if decided.is_failure && store::is_lost(&error) => {
                let error = decided.verdict.error().unwrap_or_default().to_owned();
                return Ended::Interrupted(Interrupted {
                    error,
                    charged: decided.verdict,
                });
            }
            Err(error) => {
                decided.log();
                Err(error)
            }
        };
        recorded.unwrap_or_else(|error| {
            tracing::debug!(%error, "the handler's transaction is broken; recording the outcome on another connection");
            Ended::Unsettled(decided.verdict)
        })
    }

    /// Takes the task out of its lease, commits, and begins the next transaction. If the lease does not
    /// hold the task any more it is lost, and the transaction must not be committed.
    async fn settle(
        &mut self,
        execution: &Execution<'_>,
        verdict: &Verdict,
    ) -> Result<Ended, CompletionError> {
        let held = &execution.core.held;
        let lease_id = execution.task.lease_id;
        held.set_settling([lease_id], true);
        let settled = if verdict.is_completion() {
            self.commit_completion(execution, verdict).await
        } else {
            let recorded = Box::pin(self.commit_record(execution, verdict)).await;
            recorded.map_err(|error| CompletionError {
                error,
                was_accepted: true,
            })
        };
        crash_point("after_commit");
        match settled {
            Ok(_) => held.record_settled(lease_id, 1),
            Err(_) => held.set_settling([lease_id], false),
        }
        if let Ok(Ended::Settled) = settled {
            execution.count(verdict);
        }
        settled
    }

    async fn commit_completion(
        &mut self,
        execution: &Execution<'_>,
        verdict: &Verdict,
    ) -> Result<Ended, CompletionError> {
        let schema = execution.core.settings.schema;
        let kept = execution.keeps_completed().then_some(verdict);
        let completed =
            self.completions
                .complete(&mut self.tx, schema, execution.task.lease_id, kept);
        match timeout(STEP_LIMIT, completed).await {
            Ok(Ok(())) => Ok(Ended::Settled),
            Ok(Err(failure)) if store::is_lease_gone(&failure.error) => Ok(Ended::Lost),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(CompletionError {
                error: no_answer(),
                was_accepted: false,
            }),
        }
    }

    async fn commit_record(
        &mut self,
        execution: &Execution<'_>,
        verdict: &Verdict,
    ) -> Result<Ended, Error> {
        let schema = execution.core.settings.schema;
        let settlements = [execution.settlement(verdict.clone())];
        let counted = step(Store::on(&mut self.tx, schema).settle(&settlements)).await?;
        if counted.is_empty() {
            return Ok(Ended::Lost);
        }
        step(store::commit_and_begin(&mut self.tx)).await?;
        Ok(Ended::Settled)
    }

    /// Undoes everything, where the task is somebody else's.
    async fn roll_back(self, execution: &Execution<'_>) {
        let rollback = self.tx.transaction.rollback();
        if let Err(error) = stop_query(execution, self.backend, rollback).await {
            tracing::debug!(%error, "rollback failed; the connection is closed, which rolls back");
        }
    }
}

/// Waits for a statement in front of which a dropped handler's query may still be running, and
/// cancels that query if it takes its time.
async fn stop_query<T>(
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

async fn step<T>(statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(STEP_LIMIT, statement)
        .await
        .unwrap_or_else(|_| Err(no_answer()))
}

fn no_answer() -> Error {
    Error::Io(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("Postgres did not answer within {STEP_LIMIT:?}"),
    ))
}

/// Says why a transaction cannot be committed whose handler found nothing wrong.
fn unacceptable(error: Error) -> BoxError {
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
