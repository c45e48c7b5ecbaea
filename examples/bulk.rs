//! Enqueue many tasks at once: in few round trips, or by `COPY`.
//!
//! ```text
//! $ cargo run --example bulk
//! enqueue_many: 500 tasks, each with its id
//! enqueue_copy: 5000 tasks
//! all 5500 ran; the sum of their numbers is 15127750
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use taskq::Worker;
use taskq::testing::Database;

#[taskq::task]
async fn add(totals: &Totals, number: i64) {
    totals.tasks.fetch_add(1, Relaxed);
    totals.sum.fetch_add(number, Relaxed);
}

#[derive(Default)]
struct Totals {
    tasks: AtomicI64,
    sum: AtomicI64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = pool.begin().await?;

    // One round trip for each ten thousand tasks.
    let tasks = (1..=500).map(|number| Add { number });
    let enqueued = taskq::enqueue_many(&mut tx, tasks).await?;
    assert!(enqueued[0].task_id < enqueued[499].task_id);
    println!("enqueue_many: {} tasks, each with its id", enqueued.len());

    // For millions: about as fast as Postgres takes rows in. There are no ids.
    let tasks = (501..=5500).map(|number| Add { number });
    let enqueued = taskq::enqueue_copy(&mut tx, tasks).await?;
    println!("enqueue_copy: {enqueued} tasks");

    // All of them, or none.
    tx.commit().await?;

    let totals = Arc::new(Totals::default());
    Worker::builder(pool.clone())
        .state_arc(totals.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    let (ran, sum) = (totals.tasks.load(Relaxed), totals.sum.load(Relaxed));
    println!("all {ran} ran; the sum of their numbers is {sum}");
    Ok(())
}
