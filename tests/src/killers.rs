//! Tasks of a fleet in which one kills its process: it, and the innocent ones beside it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use taskq::{LazyTx, Payload, task};
use tokio::time::sleep;

use crate::history::Recorder;

/// All of them.
pub type Types = (Kills, Writes, WritesLazily, Passes, Gathers);

/// Takes its process along.
#[task]
pub async fn kills() {
    std::process::abort();
}

/// Leaves its number once, in its transaction.
#[task(timeout = "10m")]
pub async fn writes(tx: &mut PgConnection, n: i64, takes_ms: u64) -> sqlx::Result<()> {
    leave(tx, &[n]).await?;
    sleep(Duration::from_millis(takes_ms)).await;
    Ok(())
}

/// Leaves its number once, in a transaction that it begins.
#[task(timeout = "10m")]
pub async fn writes_lazily(tx: &mut LazyTx, n: i64, takes_ms: u64) -> anyhow::Result<()> {
    sleep(Duration::from_millis(takes_ms)).await;
    leave(tx.begin().await?, &[n]).await?;
    Ok(())
}

/// Leaves nothing. Thousands of its like are claimed together.
#[task(timeout = "10m")]
pub async fn passes(n: i64, takes_ms: u64) {
    let _ = n;
    sleep(Duration::from_millis(takes_ms)).await;
}

/// One of many, of which one may kill the process.
#[derive(Debug, Serialize, Deserialize, Payload)]
pub struct Gathered {
    /// The number that is left.
    pub n: i64,
    /// Whether it takes the process along.
    pub kills: bool,
}

/// The handler of these.
pub type Gathers = GatherAllHandler;

/// Leaves the numbers of all, in one transaction.
#[task(timeout = "10m")]
pub async fn gather_all(
    #[batch(50, "50ms")] all: Vec<Gathered>,
    tx: &mut PgConnection,
    history: &Recorder,
) -> sqlx::Result<()> {
    let numbers: Vec<i64> = all.iter().map(|it| it.n).collect();
    history.gathered(&numbers);
    leave(tx, &numbers).await?;
    if all.iter().any(|it| it.kills) {
        std::process::abort();
    }
    Ok(())
}

async fn leave(tx: &mut PgConnection, numbers: &[i64]) -> sqlx::Result<()> {
    let left = sqlx::query("insert into left_once (n) select unnest($1::bigint[])").bind(numbers);
    left.execute(tx).await?;
    Ok(())
}
