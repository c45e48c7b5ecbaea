//! One task of each key at a time: by a field of the payload, and after a while of quiet.
//!
//! ```text
//! $ cargo run --example unique
//! digest of user 1: Created
//! digest of user 1: Replaced, the same task: true
//! digest of user 2: Created
//! document 7: Created
//! document 7: Replaced
//! digest of user 1: morning and noon
//! digest of user 2: morning
//! document 7 is indexed once
//! ```

use std::time::Duration;

use taskq::Worker;
use taskq::testing::Database;

/// A user has one digest at most that waits or is being sent; what is enqueued last is what is sent.
#[taskq::task(unique(fields(usr_id), on_conflict = "replace"))]
async fn send_digest(usr_id: i64, text: String) {
    println!("digest of user {usr_id}: {text}");
}

/// `within`, `until = "started"` and the other words are in the guide.
#[taskq::task(unique = "payload")]
async fn index_document(document_id: i64) {
    println!("document {document_id} is indexed once");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = taskq::begin(&pool).await?;

    let first = SendDigest::enqueue(&mut tx, 1, "morning".into()).await?;
    println!("digest of user 1: {:?}", first.outcome);
    let second = SendDigest::enqueue(&mut tx, 1, "morning and noon".into()).await?;
    let same = second.task_id == first.task_id;
    println!(
        "digest of user 1: {:?}, the same task: {same}",
        second.outcome
    );
    let other = SendDigest::enqueue(&mut tx, 2, "morning".into()).await?;
    println!("digest of user 2: {:?}", other.outcome);

    // Each further one puts it off by a second, but by no more than ten.
    for _ in 0..2 {
        let debounced = IndexDocument::enqueue(&mut tx, 7).debounce(Duration::from_secs(1));
        println!("document 7: {:?}", debounced.await?.outcome);
    }
    tx.commit().await?;

    Worker::builder(pool.clone())
        .queue("default", 1)
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    Ok(())
}
