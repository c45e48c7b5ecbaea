//! Tasks that record what happens to them, one for each kind of delivery.

use std::time::Duration;

use sqlx::PgConnection;
use taskq::error::BoxError;
use taskq::{Attempt, task};
use tokio::time::sleep;

use crate::history::{How, Recorder};

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
    let running = history.started(n, attempt.task_id(), attempt.number());
    sleep(Duration::from_millis(takes_ms)).await;
    if attempt.number() <= failures {
        running.ends(How::Failed);
        Err(taskq::outcome::retry_in(RETRY))?;
    } else {
        running.ends(How::Succeeded);
    }
    Ok(())
}

/// Leaves its effect in the transaction of its task: exactly once. Each second failure is one of
/// Postgres, which aborts the transaction.
#[task(timeout = "10m")]
pub async fn once(
    tx: &mut PgConnection,
    history: &Recorder,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
) -> Result<(), BoxError> {
    let running = history.started(n, attempt.task_id(), attempt.number());
    sqlx::query("insert into effect (n) values ($1)")
        .bind(n)
        .execute(&mut *tx)
        .await?;
    sleep(Duration::from_millis(takes_ms)).await;
    if attempt.number() <= failures {
        attempt.retry_in(RETRY);
        running.ends(How::Failed);
        if n % 2 == 0 {
            sqlx::query("select 1 / 0").execute(&mut *tx).await?;
        }
        Err("as planned")?;
    } else {
        running.ends(How::Succeeded);
    }
    Ok(())
}
