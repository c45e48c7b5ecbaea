//! Tasks that record what happens to them, one for each kind of delivery.

use std::time::Duration;

use sqlx::PgConnection;
use taskq::error::BoxError;
use taskq::{Attempt, task};
use tokio::time::sleep;

use crate::history::{How, Recorder};
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
    let running = history.started(n, attempt.task_id(), attempt.number());
    let worked = async {
        sessions.look(tx, history, n).await?;
        let effect = sqlx::query("insert into effect (n) values ($1)").bind(n);
        effect.execute(&mut *tx).await?;
        sessions.leave(tx, history, n).await
    };
    if let Err(error) = worked.await {
        if is_refusal(&error) {
            running.ends(How::Refused);
        }
        return Err(error.into());
    }
    sleep(Duration::from_millis(takes_ms)).await;
    if attempt.number() <= failures {
        attempt.retry_in(RETRY);
        running.ends(How::Failed);
        match n % 4 {
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

/// Tells whether Postgres has no room for what a handler writes, or writes nothing.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("53100" | "25006"))
}
