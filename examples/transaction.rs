//! Enqueue in your transaction: the task commits with your data, or rolls back with it.
//!
//! ```text
//! $ cargo run --example transaction
//! rolled back: orders 0, tasks 0
//! committed: orders 1, tasks 1
//! sending the invoice for a telescope
//! ```

use sqlx::{PgConnection, PgPool};
use taskq::Worker;
use taskq::testing::Database;

#[taskq::task]
async fn send_invoice(item: String) {
    println!("sending the invoice for {item}");
}

/// The order and its task are inserted in the transaction of the caller, who decides about both.
async fn place_order(tx: &mut PgConnection, item: &str) -> anyhow::Result<()> {
    let order = sqlx::query("insert into orders (item) values ($1)").bind(item);
    order.execute(&mut *tx).await?;
    SendInvoice::enqueue(tx, item.to_owned()).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    sqlx::raw_sql("create table orders (item text)")
        .execute(&pool)
        .await?;

    let mut tx = pool.begin().await?;
    place_order(&mut tx, "a microscope").await?;
    tx.rollback().await?;
    println!("rolled back: {}", counts(&pool).await?);

    let mut tx = pool.begin().await?;
    place_order(&mut tx, "a telescope").await?;
    tx.commit().await?;
    println!("committed: {}", counts(&pool).await?);

    Worker::builder(pool.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    Ok(())
}

async fn counts(pool: &PgPool) -> sqlx::Result<String> {
    let counts = "select format(
        'orders %s, tasks %s', (select count(*) from orders), (select count(*) from taskq.tasks)
    )";
    sqlx::query_scalar(counts).fetch_one(pool).await
}
