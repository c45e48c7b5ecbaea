//! Expires: a task that is worth nothing after a time is not run then, and says what it was.
//!
//! ```text
//! $ cargo run --example expires
//! sent the code to 2
//! of user 1: expired
//! ```

use std::time::Duration;

use taskq::Worker;
use taskq::testing::Database;

/// Nobody enters a code that comes ten minutes late.
#[taskq::task(expires = "10m")]
async fn send_login_code(usr_id: i64) {
    println!("sent the code to {usr_id}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = taskq::begin(&pool).await?;
    SendLoginCode::enqueue(&mut tx, 1)
        .expires(Duration::from_millis(100))
        .await?;
    SendLoginCode::enqueue(&mut tx, 2).await?;
    tx.commit().await?;
    // No worker runs meanwhile.
    tokio::time::sleep(Duration::from_millis(200)).await;

    Worker::builder(pool.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    let dead = sqlx::query_as("select payload ->> 'usr_id', state from taskq.dead");
    let (usr_id, state): (String, String) = dead.fetch_one(&pool).await?;
    println!("of user {usr_id}: {state}");
    Ok(())
}
