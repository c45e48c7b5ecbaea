//! Tasks that record what happens to them, one for each kind of delivery.

use std::time::Duration;

use sqlx::PgConnection;
use taskq::error::BoxError;
use taskq::{Attempt, LazyTx, task};
use tokio::time::sleep;

use crate::history::{How, Recorder, Running};
use crate::sessions::Sessions;

/// How long to wait before another attempt: the tests have no time for more.
const RETRY: Duration = Duration::from_millis(50);

/// Runs at least once. Its effect is what it records.
#[task(timeout = "10m")]
pub async fn repeatable(
    history: &Recorder,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
) -> Result<(), BoxError> {
    repeat(history, attempt, n, failures, takes_ms).await
}

async fn repeat(
    history: &Recorder,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
) -> Result<(), BoxError> {
    let running = history.started(n, attempt);
    sleep(Duration::from_millis(takes_ms)).await;
    if attempt.number() <= failures {
        running.ends(How::Failed);
        Err(taskq::outcome::retry_in(RETRY))?;
    } else {
        running.ends(How::Succeeded);
    }
    Ok(())
}

/// Leaves its effect in the transaction of its task: exactly once. A failure is an error,
/// one of Postgres, which aborts the transaction, the same error swallowed, or a transaction that was ended.
#[task(timeout = "10m")]
pub async fn once(
    tx: &mut PgConnection,
    history: &Recorder,
    sessions: &Sessions,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
) -> Result<(), BoxError> {
    let running = history.started(n, attempt);
    if let Err(error) = leave_effect(tx, history, sessions, n).await {
        if is_refusal(&error) {
            running.ends(How::Refused);
        }
        return Err(error.into());
    }
    sleep(Duration::from_millis(takes_ms)).await;
    end_once(tx, history, sessions, attempt, running, n, failures).await
}

/// Does the same in a transaction that it begins when it has waited.
#[task(timeout = "10m")]
pub async fn once_lazily(
    tx: &mut LazyTx,
    history: &Recorder,
    sessions: &Sessions,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
) -> Result<(), BoxError> {
    let running = history.started(n, attempt);
    sleep(Duration::from_millis(takes_ms)).await;
    let tx = tx.begin().await?;
    if let Err(error) = leave_effect(tx, history, sessions, n).await {
        if is_refusal(&error) {
            running.ends(How::Refused);
        }
        return Err(error.into());
    }
    end_once(tx, history, sessions, attempt, running, n, failures).await
}

async fn leave_effect(
    tx: &mut PgConnection,
    history: &Recorder,
    sessions: &Sessions,
    n: i64,
) -> Result<(), sqlx::Error> {
    sessions.look(tx, history, n).await?;
    let effect = sqlx::query("insert into effect (n) values ($1)").bind(n);
    effect.execute(&mut *tx).await?;
    sessions.leave(tx, history, n).await
}

async fn end_once(
    tx: &mut PgConnection,
    history: &Recorder,
    sessions: &Sessions,
    attempt: &Attempt,
    running: Running<'_>,
    n: i64,
    failures: u16,
) -> Result<(), BoxError> {
    if attempt.number() <= failures {
        attempt.retry_in(RETRY);
        running.ends(How::Failed);
        match n % 8 / 2 {
            0 => {
                sqlx::query("select 1 / 0").execute(&mut *tx).await?;
            }
            1 => {
                sessions.record(history, "a handler swallows an error");
                let _swallowed = sqlx::query("select 1 / 0").execute(&mut *tx).await;
            }
            2 => {
                sessions.record(history, "a handler ends its transaction");
                sqlx::raw_sql("rollback").execute(&mut *tx).await?;
            }
            _ => Err("as planned")?,
        }
    } else {
        running.ends(How::Succeeded);
    }
    Ok(())
}

/// So many tasks of a tenant run at once.
pub const OF_TENANT: usize = 3;

/// So many tasks of a tenant start in a second, and so many at once after a time of quiet.
pub const TENANT_RATE: (f64, f64) = (3.0, 5.0);

/// As `repeatable`, within limits of each tenant.
#[task(
    timeout = "10m",
    queue = "flow",
    concurrency(3, key = tenant),
    rate("3/s", burst = 5, key = tenant)
)]
pub async fn tenanted(
    history: &Recorder,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
    tenant: i64,
) -> Result<(), BoxError> {
    let _ = tenant;
    repeat(history, attempt, n, failures, takes_ms).await
}

/// One at a time of each key. It leaves its effect, and that it is over, in its transaction.
#[task(timeout = "10m", queue = "flow", unique(fields(key)))]
pub async fn single(
    tx: &mut PgConnection,
    history: &Recorder,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
    key: i64,
) -> Result<(), BoxError> {
    let running = history.started(n, attempt);
    let worked = async {
        let effect = sqlx::query("insert into effect (n) values ($1)").bind(n);
        effect.execute(&mut *tx).await?;
        let over = sqlx::query("insert into over (key, task_id) values ($1, $2)");
        over.bind(key).bind(attempt.task_id()).execute(tx).await
    };
    if let Err(error) = worked.await {
        if is_refusal(&error) {
            running.ends(How::Refused);
        }
        return Err(error.into());
    }
    sleep(Duration::from_millis(takes_ms)).await;
    if attempt.number() <= failures {
        running.ends(How::Failed);
        Err(taskq::outcome::retry_in(RETRY))?;
    } else {
        running.ends(How::Succeeded);
    }
    Ok(())
}

/// Notes the tick that it was enqueued for, in its transaction.
#[task(timeout = "10m", queue = "flow")]
pub async fn ticked(tx: &mut PgConnection, attempt: &Attempt) -> Result<(), BoxError> {
    let tick = attempt.tick().ok_or("it was enqueued for a tick")?;
    let insert = sqlx::query("insert into tick (schedule, at) values ($1, $2)");
    let inserted = insert.bind(tick.schedule).bind(tick.at).execute(tx).await;
    if inserted.is_err() {
        attempt.retry_in(RETRY);
    }
    inserted?;
    Ok(())
}

/// Tells whether Postgres has no room for what a handler writes, or writes nothing.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("53100" | "25006"))
}
