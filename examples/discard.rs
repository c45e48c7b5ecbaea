//! Discard and cancel: a handler that knows that no further attempt would help says so. The task is
//! kept as dead, with the reason.
//!
//! ```text
//! $ cargo run --example discard
//! order 1: shipped
//! order 2: discarded after attempt 1, discarded: no such customer
//! order 3: cancelled after attempt 1, cancelled: the order was withdrawn
//! order 4: discarded after attempt 1, the van broke down
//! ```

use anyhow::bail;
use taskq::outcome::{cancel, discard};
use taskq::testing::Database;
use taskq::{Payload, Worker};

#[taskq::task]
async fn ship(order: i64) -> anyhow::Result<()> {
    match order {
        // It can never succeed.
        2 => Err(discard("no such customer"))?,
        // It could, but nobody wants it any more.
        3 => Err(cancel("the order was withdrawn"))?,
        // An ordinary failure is discarded too, once it has used up its attempts.
        4 => bail!("the van broke down"),
        order => println!("order {order}: shipped"),
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = pool.begin().await?;
    for order in 1..=3 {
        Ship::enqueue(&mut tx, order).await?;
    }
    taskq::enqueue(&mut tx, Ship { order: 4 })
        .max_attempts(1)
        .await?;
    tx.commit().await?;

    Worker::builder(pool.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;

    // `taskq.dead` keeps them until somebody deletes them, or puts them back to be tried again.
    let dead: Vec<(i64, String, i32, String)> = sqlx::query_as(
        "select (payload ->> 'order')::bigint, state, attempts::int, errors -> -1 ->> 'error'
         from taskq.tasks
         where task_type = $1
         order by 1",
    )
    .bind(Ship::TASK_TYPE)
    .fetch_all(&pool)
    .await?;
    for (order, state, attempts, error) in dead {
        println!("order {order}: {state} after attempt {attempts}, {error}");
    }
    Ok(())
}
