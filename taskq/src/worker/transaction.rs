//! Making one attempt in a transaction: the handler's effects and the task's completion commit
//! together, or neither does.
//!
//! In order: begin, savepoint, handler, deferred constraints, release of the savepoint, deletion of
//! the lease, commit. The lease's row comes last because a row locked early would hold up its
//! heartbeat. It must be there to be deleted: if somebody rescued the task meanwhile, everything is
//! rolled back, and that is the fence. A failed attempt goes back to the savepoint, and its record
//! commits in the handler's place. Where the connection itself fails, the record takes the way of
//! all other outcomes; it counts only if the lease is still there, so it cannot undo a commit whose
//! answer was lost.

use std::io;
use std::pin::pin;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::{Error, query_scalar, raw_sql};
use tokio::time::timeout;

use super::execute::{End, Execution, log};
use crate::control::report;
use crate::error::BoxError;
use crate::faults::{self, crash_point};
use crate::store;
use crate::tx::Tx;
use crate::verdict::Verdict;

/// How long to put a task off for which no transaction could be begun.
const NO_TRANSACTION_DELAY: Duration = Duration::from_secs(1);

/// How long a dropped handler's last query may go on before it is cancelled.
const CANCEL_AFTER: Duration = Duration::from_millis(50);

/// How long to wait for a query to stop that was cancelled, and for any step of ours.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// A handler's transaction, and the process of the server that works on it.
struct Attempted {
    tx: Tx,
    backend: i32,
}

/// Runs a handler in its transaction. Returns what is left to be written about the task, if
/// anything is.
pub(super) async fn execute_in_transaction(execution: &Execution) -> Option<End> {
    let mut attempted = match step(begin(execution)).await {
        Ok(attempted) => attempted,
        Err(error) => {
            tracing::warn!(%error, "no transaction could be begun; task put off");
            return Some(End::Verdict(Verdict::Snooze {
                delay: NO_TRANSACTION_DELAY,
            }));
        }
    };
    match execution.run_handler(Some(&mut attempted.tx)).await {
        End::Verdict(Verdict::Complete) => complete(execution, attempted).await,
        End::Verdict(verdict) => record(execution, attempted, verdict).await,
        End::Lost => {
            let rollback = attempted.tx.transaction.rollback();
            if let Err(error) = stop_query(execution, attempted.backend, rollback).await {
                tracing::debug!(%error, "rollback failed; the server rolls back by itself");
            }
            Some(End::Lost)
        }
    }
}

async fn begin(execution: &Execution) -> Result<Attempted, Error> {
    // Whatever isolation the database defaults to: the statements that settle a task follow rows
    // that change beside them.
    let transaction = execution
        .core
        .pool
        .begin_with("begin isolation level read committed; savepoint taskq_attempt")
        .await?;
    let mut tx = Tx { transaction };
    let backend = query_scalar("select pg_backend_pid()")
        .fetch_one(&mut *tx)
        .await?;
    crash_point("after_begin");
    Ok(Attempted { tx, backend })
}

/// Commits what the handler did, and with it the completion of its task.
async fn complete(execution: &Execution, mut attempted: Attempted) -> Option<End> {
    let accepted = raw_sql("set constraints all immediate; release savepoint taskq_attempt")
        .execute(&mut *attempted.tx);
    if let Err(error) = step(accepted).await {
        let verdict = execution.failed_at_end(unacceptable(error));
        log(&verdict, Duration::ZERO);
        return record(execution, attempted, verdict).await;
    }
    crash_point("after_release");
    match settle(execution, attempted, &Verdict::Complete).await {
        Ok(true) => None,
        Ok(false) => Some(End::Lost),
        Err(error) => {
            tracing::warn!(%error, "the commit was not answered; if it did not happen, the attempt failed");
            let error = format!("its transaction was not committed: {}", report(&error));
            Some(End::Verdict(execution.failed_at_end(error.into())))
        }
    }
}

/// Undoes what the handler did, and commits in its place what becomes of the task.
async fn record(execution: &Execution, mut attempted: Attempted, verdict: Verdict) -> Option<End> {
    let undo = faults::statement("undo", "rollback to savepoint taskq_attempt");
    let undo = raw_sql(undo).execute(&mut *attempted.tx);
    let undone = stop_query(execution, attempted.backend, undo).await;
    crash_point("after_undo");
    let recorded = match undone {
        Ok(_) => settle(execution, attempted, &verdict).await,
        Err(error) => Err(error),
    };
    match recorded {
        Ok(true) => None,
        Ok(false) => Some(End::Lost),
        Err(error) => {
            tracing::debug!(%error, "the transaction is of no more use; recording beside it");
            Some(End::Verdict(verdict))
        }
    }
}

/// Takes the task out of its lease and commits. Returns `false`, and rolls back, if the lease does
/// not hold it any more.
async fn settle(
    execution: &Execution,
    mut attempted: Attempted,
    verdict: &Verdict,
) -> Result<bool, Error> {
    let core = &execution.core;
    let lease_id = execution.row.lease_id;
    let (schema, keep) = (core.settings.schema, core.settings.keep_completed);
    let settlements = [execution.settlement(verdict.clone())];
    core.leases.set_settling(lease_id, true);
    let settled = async {
        let tx = &mut attempted.tx;
        let count = match verdict {
            Verdict::Complete if !keep => step(store::complete(tx, schema, &[(lease_id, 1)]))
                .await?
                .len(),
            _ => step(store::settle(tx, schema, &settlements, keep))
                .await?
                .len(),
        };
        crash_point("before_commit");
        match count {
            1 => step(attempted.tx.transaction.commit()).await.map(|()| true),
            _ => step(attempted.tx.transaction.rollback())
                .await
                .map(|()| false),
        }
    }
    .await;
    crash_point("after_commit");
    match settled {
        Ok(_) => core.leases.settled(lease_id, 1),
        Err(_) => core.leases.set_settling(lease_id, false),
    }
    settled
}

/// Waits for a statement in front of which a dropped handler's query may still be running, and
/// cancels that query if it takes its time.
async fn stop_query<T>(
    execution: &Execution,
    backend: i32,
    statement: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut statement = pin!(statement);
    if let Ok(result) = timeout(CANCEL_AFTER, &mut statement).await {
        return result;
    }
    let core = &execution.core;
    let schema = core.settings.schema;
    let cancelled = core
        .control
        .lock()
        .await
        .call(async |db| store::cancel_backend(db, schema, backend).await)
        .await;
    if let Err(error) = cancelled {
        tracing::warn!(%error, "a dropped handler's query could not be cancelled");
    }
    step(statement).await
}

async fn step<T>(statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(STEP_LIMIT, statement).await {
        Ok(result) => result,
        Err(_) => Err(Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "no connection, or no answer, within {STEP_LIMIT:?}; does the pool allow more connections than the server?"
            ),
        ))),
    }
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
        _ => report(&error).into(),
    }
}
