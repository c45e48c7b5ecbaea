//! Priorities: smaller runs earlier, whatever was enqueued first.
//!
//! ```text
//! $ cargo run --example priorities
//! password reset for Ada
//! newsletter for the editor
//! newsletter for Grace
//! newsletter for Tony
//! ```

use taskq::Worker;
use taskq::testing::Database;

#[taskq::task(priority = 10)]
async fn send_newsletter(to: String) {
    println!("newsletter for {to}");
}

/// Somebody waits for this one. The priority of a type that names none is 0.
#[taskq::task(priority = -10)]
async fn send_password_reset(to: String) {
    println!("password reset for {to}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();

    let mut tx = pool.begin().await?;
    SendNewsletter::enqueue(&mut tx, "Grace".to_owned()).await?;
    SendNewsletter::enqueue(&mut tx, "Tony".to_owned()).await?;
    // One task may have another priority than its type.
    let to = "the editor".to_owned();
    taskq::enqueue(&mut tx, SendNewsletter { to })
        .priority(5)
        .await?;
    SendPasswordReset::enqueue(&mut tx, "Ada".to_owned()).await?;
    tx.commit().await?;

    Worker::builder(pool.clone())
        .queue("default", 1) // one at a time, so that the order can be seen
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    Ok(())
}
