//! Run a task later: after a delay, or at a time.
//!
//! ```text
//! $ cargo run --example delayed
//! three tasks wait
//! 1: now
//! 2: at a time of the calendar
//! 3: after a delay
//! ```

use std::time::Duration;

use sqlx::types::chrono::Utc;
use taskq::Worker;
use taskq::testing::Database;

#[taskq::task]
async fn say(what: String) {
    println!("{what}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();

    let mut tx = pool.begin().await?;
    // From now on, by the clock of the database.
    taskq::enqueue(&mut tx, say_it("3: after a delay"))
        .delay(Duration::from_secs(2))
        .await?;
    // A `DateTime<Utc>`: midnight, the end of a trial, an hour before a flight.
    let soon = Utc::now() + Duration::from_secs(1);
    taskq::enqueue(&mut tx, say_it("2: at a time of the calendar"))
        .run_at(soon)
        .await?;
    taskq::enqueue(&mut tx, say_it("1: now")).await?;
    tx.commit().await?;
    println!("three tasks wait");

    Worker::builder(pool.clone())
        .queue("default", 1)
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    Ok(())
}

fn say_it(what: &str) -> Say {
    Say {
        what: what.to_owned(),
    }
}
