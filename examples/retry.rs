//! Retries: a failed attempt is repeated after a growing pause, or when the handler says.
//!
//! ```text
//! $ cargo run --example retry
//! attempt 1 of 4: the bank does not answer
//! attempt 2 of 4: the bank is busy, and says for how long
//! attempt 3 of 4: charged invoice 7
//!   attempt 1 had failed: the bank does not answer
//!   attempt 2 had failed: retry requested: for 200ms
//! ```
//!
//! It takes some six seconds: the pauses after ordinary failures are 5 s, 10 s, 20 s and so on up to
//! 6 h, each up to a fifth longer or shorter.

use std::time::Duration;

use anyhow::bail;
use taskq::testing::Database;
use taskq::{Attempt, Worker, outcome};

/// `max_attempts` is 25 unless said otherwise. After the last one the task is kept in `taskq.dead`.
#[taskq::task(max_attempts = 4)]
async fn charge(attempt: &Attempt, invoice: i64) -> anyhow::Result<()> {
    print!(
        "attempt {} of {}: ",
        attempt.number(),
        attempt.max_attempts()
    );
    match attempt.number() {
        1 => {
            println!("the bank does not answer");
            // Any error will do, and so does a panic.
            bail!("the bank does not answer")
        }
        2 => {
            println!("the bank is busy, and says for how long");
            Err(outcome::retry_in(Duration::from_millis(200)))?
        }
        _ => {
            println!("charged invoice {invoice}");
            for error in attempt.previous_errors() {
                println!("  attempt {} had failed: {}", error.attempt, error.error);
            }
            Ok(())
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = pool.begin().await?;
    Charge::enqueue(&mut tx, 7).await?;
    tx.commit().await?;

    Worker::builder(pool.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    Ok(())
}
