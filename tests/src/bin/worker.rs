//! A worker in a process of its own, for the tests to stop and to kill.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgPoolOptions;
use taskq::{Worker, task};
use tokio::time::sleep;

/// Leaves its effect by a connection of its own: at least once.
#[task]
async fn record(pool: &sqlx::PgPool, n: i64, takes_ms: u64) -> sqlx::Result<()> {
    sqlx::query("insert into effect values ($1)")
        .bind(n)
        .execute(pool)
        .await?;
    sleep(Duration::from_millis(takes_ms)).await;
    Ok(())
}

/// Leaves its effect in the transaction of its task: exactly once.
#[task]
async fn record_once(tx: &mut PgConnection, n: i64, takes_ms: u64) -> sqlx::Result<()> {
    sqlx::query("insert into effect values ($1)")
        .bind(n)
        .execute(tx)
        .await?;
    sleep(Duration::from_millis(takes_ms)).await;
    Ok(())
}

/// Returns a text of so many bytes.
#[task(result = "keep")]
async fn answer(bytes: usize, takes_ms: u64) -> Result<String, String> {
    sleep(Duration::from_millis(takes_ms)).await;
    Ok("x".repeat(bytes))
}

/// Fails with two levels, or in a function of its own.
#[task(max_attempts = 5)]
async fn ends_badly(how: String) -> anyhow::Result<()> {
    match how.as_str() {
        "panic" => out_of_paper(),
        _ => Err(anyhow::anyhow!("refused").context("cannot print")),
    }
}

/// Blocks its thread.
#[task]
async fn stands_still(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[inline(never)]
fn out_of_paper() -> ! {
    panic!("out of paper")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let pool = PgPoolOptions::new()
        .max_connections(30)
        .connect(&std::env::var("DATABASE_URL")?)
        .await?;
    let lease = std::env::var("LEASE_MS").map_or(Ok(2_000), |lease| lease.parse())?;
    let grace_period = std::env::var("GRACE_MS")?.parse()?;
    Worker::builder(pool.clone())
        .state(pool)
        .queue("default", 10)
        .lease(Duration::from_millis(lease))
        .grace_period(Duration::from_millis(grace_period))
        .build()
        .await?
        .run_until(taskq::shutdown_signal())
        .await?;
    Ok(())
}
