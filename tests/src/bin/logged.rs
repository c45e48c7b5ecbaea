//! A worker in a process of its own that keeps what its handlers log, for the tests to stop and to kill.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use taskq::{LogLayer, Worker, task};
use tokio::time::sleep;
use tracing_subscriber::prelude::*;

/// Logs on and on, until somebody makes a table with this name.
#[task(max_attempts = 5, retry = "fixed(1ms)")]
async fn logs_on(pool: &PgPool, n: i64, until: String, fails: bool) -> anyhow::Result<()> {
    let process = std::process::id();
    for line in 1.. {
        tracing::info!(process, n, "{line}");
        sleep(Duration::from_millis(50)).await;
        let is_there = sqlx::query_scalar("select to_regclass($1) is not null").bind(&until);
        if is_there.fetch_one(pool).await? {
            break;
        }
    }
    match fails {
        true => Err(taskq::outcome::discard("told to").into()),
        false => Ok(()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::registry()
        .with(LogLayer::new().build())
        .init();
    let pool = PgPoolOptions::new()
        .max_connections(20)
        .connect(&std::env::var("DATABASE_URL")?)
        .await?;
    let lease = std::env::var("LEASE_SECONDS")?.parse()?;
    Worker::builder(pool.clone())
        .state(pool)
        .queue("default", 4)
        .lease(Duration::from_secs(lease))
        .grace_period(Duration::from_secs(1))
        .build()
        .await?
        .run_until(taskq::shutdown_signal())
        .await?;
    Ok(())
}
