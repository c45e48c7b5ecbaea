//! The one `&mut` is the transaction, in four forms; a handler enqueues in it.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use sqlx::{PgConnection, Postgres, Transaction};
use taskq::{LazyTx, Tx};

type Alias<'t> = Transaction<'t, Postgres>;

#[taskq::task]
async fn connection(tx: &mut PgConnection, id: i64) -> Result<(), taskq::EnqueueError> {
    Handle::enqueue(tx, id).await?;
    taskq::enqueue(tx, Handle { id }).priority(1).await?;
    Ok(())
}

#[taskq::task]
async fn handle(tx: &mut Tx, id: i64) -> Result<(), taskq::EnqueueError> {
    Connection::enqueue(tx, id).await?;
    SqlxTransaction::enqueue(tx, id).await?;
    Ok(())
}

#[taskq::task]
async fn sqlx_transaction(
    tx: &mut Transaction<'_, Postgres>,
    id: i64,
) -> Result<(), taskq::EnqueueError> {
    Aliased::enqueue(tx, id).await?;
    Ok(())
}

#[taskq::task]
async fn aliased(tx: &mut Alias<'_>, id: i64) -> Result<(), taskq::EnqueueError> {
    Handle::enqueue(&mut *tx, id).await?;
    Ok(())
}

type Later = LazyTx;

#[taskq::task]
async fn lazily(tx: &mut LazyTx, id: i64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let tx = tx.begin().await?;
    Handle::enqueue(tx, id).await?;
    taskq::enqueue(tx, Handle { id }).priority(1).await?;
    Ok(())
}

#[taskq::task]
async fn lazily_by_another_name(tx: &mut Later, id: i64) -> sqlx::Result<()> {
    sqlx::query("select $1").bind(id).execute(tx.begin().await?).await?;
    Ok(())
}

/// Tells whether a future may be awaited in a handler of a web framework.
fn is_send<F: Future + Send>(future: F) -> F {
    future
}

async fn in_an_own_transaction(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    let mut tx = pool.begin().await?;
    Handle::enqueue(&mut tx, 1).await?;
    taskq::enqueue_many(&mut tx, (0..3).map(|id| Handle { id })).await?;
    tx.commit().await?;
    let mut conn = pool.acquire().await?;
    Handle::enqueue(&mut conn, 1).delay(std::time::Duration::from_secs(1)).await?;
    Ok(())
}

fn main() {
    let _ = |pool| is_send(async { in_an_own_transaction(pool).await.is_ok() });
}
