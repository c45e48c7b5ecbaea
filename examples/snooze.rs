//! Snooze: a task that waits for something outside runs again later, without using an attempt.
//!
//! ```text
//! $ cargo run --example snooze
//! attempt 1: packed
//! attempt 1: on its way
//! attempt 1: delivered
//! ```

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use taskq::testing::Database;
use taskq::{Attempt, Worker, outcome};

/// It may ask for days: no worker and no connection is busy between two questions.
#[taskq::task(max_attempts = 3)]
async fn follow_parcel(carrier: &Carrier, attempt: &Attempt, parcel: i64) -> anyhow::Result<()> {
    let status = carrier.status_of(parcel);
    println!("attempt {}: {status}", attempt.number());
    match status {
        "delivered" => Ok(()),
        // Made an error so that `?` ends the handler, but not a failure: it leaves no error behind.
        _ => Err(outcome::snooze(Duration::from_millis(200)))?,
    }
}

/// Stands in for the API of a carrier.
#[derive(Default)]
struct Carrier {
    questions: AtomicUsize,
}

impl Carrier {
    fn status_of(&self, _parcel: i64) -> &'static str {
        match self.questions.fetch_add(1, Relaxed) {
            0 => "packed",
            1 => "on its way",
            _ => "delivered",
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = pool.begin().await?;
    FollowParcel::enqueue(&mut tx, 4711).await?;
    tx.commit().await?;

    Worker::builder(pool.clone())
        .state(Carrier::default())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    Ok(())
}
