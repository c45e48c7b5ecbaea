//! A handler with `&mut tx` takes effect exactly once: its writes and the completion of its task
//! commit together, and a failed attempt leaves nothing behind.
//!
//! ```text
//! $ cargo run --example exactly_once
//! attempt 1: 30 are on the way
//! attempt 1: failed
//! attempt 2: 30 are on the way
//! attempt 2: done
//! Ada has 70
//! Grace has 30
//! ```

use std::time::Duration;

use sqlx::PgConnection;
use taskq::testing::Database;
use taskq::{Attempt, Worker, outcome};

#[taskq::task]
async fn transfer(
    tx: &mut PgConnection, // the transaction in which this task completes
    attempt: &Attempt,
    amount: i64,
) -> anyhow::Result<()> {
    let number = attempt.number();
    let pay = "update account set balance = balance - $1 where owner = 'Ada'";
    sqlx::query(pay).bind(amount).execute(&mut *tx).await?;
    println!("attempt {number}: {amount} are on the way");

    // The worst moment: the money has left one account, and has not reached the other.
    if attempt.number() == 1 {
        println!("attempt {number}: failed");
        // Any error rolls back what was written through `tx`. This one also says when to try again.
        return Err(outcome::retry_in(Duration::from_millis(100)).into());
    }

    let receive = "update account set balance = balance + $1 where owner = 'Grace'";
    sqlx::query(receive).bind(amount).execute(tx).await?;
    println!("attempt {number}: done");
    Ok(()) // `tx` is taskq's to commit.
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    sqlx::raw_sql(
        "create table account (owner text, balance bigint);
         insert into account values ('Ada', 100), ('Grace', 0)",
    )
    .execute(&pool)
    .await?;

    let mut tx = pool.begin().await?;
    Transfer::enqueue(&mut tx, 30).await?;
    tx.commit().await?;

    // Each handler with `&mut tx` uses a connection while it runs: the pool must have enough.
    Worker::builder(pool.clone())
        .queue("default", 2)
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;

    let balances = "select owner, balance from account order by owner";
    let balances: Vec<(String, i64)> = sqlx::query_as(balances).fetch_all(&pool).await?;
    for (owner, balance) in balances {
        println!("{owner} has {balance}");
    }
    Ok(())
}
