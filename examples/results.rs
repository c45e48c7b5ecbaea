//! Keep what a handler returns, and read it back.
//!
//! ```text
//! $ cargo run --example results
//! before: Unfinished
//! order 1: receipt R-1 over 250
//! order 2: discarded, discarded: the card has expired
//! ```

use serde::{Deserialize, Serialize};
use taskq::testing::Database;
use taskq::{TaskResult, Worker, outcome};

#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    number: String,
    amount: i64,
}

/// The `Receipt` is stored with the completed task, in `taskq.history`.
#[taskq::task(result = "keep")]
async fn charge(order: i64) -> anyhow::Result<Receipt> {
    if order == 2 {
        Err(outcome::discard("the card has expired"))?;
    }
    Ok(Receipt {
        number: format!("R-{order}"),
        amount: 250,
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = pool.begin().await?;
    let good = Charge::enqueue(&mut tx, 1).await?;
    let bad = Charge::enqueue(&mut tx, 2).await?;
    tx.commit().await?;

    let mut db = pool.acquire().await?;
    println!("before: {:?}", good.result(&mut db).await?);

    Worker::builder(pool.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;

    // Another process asks by id: `taskq::result::<Charge>(&mut db, task_id)`.
    for (order, task_id) in [(1, good.task_id), (2, bad.task_id)] {
        match taskq::result::<Charge>(&mut db, task_id).await? {
            TaskResult::Kept(receipt) => {
                let Receipt { number, amount } = receipt;
                println!("order {order}: receipt {number} over {amount}");
            }
            TaskResult::Dead { state, error } => {
                println!("order {order}: {state}, {}", error.unwrap_or_default());
            }
            other => println!("order {order}: {other:?}"),
        }
    }
    Ok(())
}
