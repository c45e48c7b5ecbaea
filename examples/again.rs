//! A document changes a thousand times while it is indexed: it is indexed once more, as it is then.
//!
//! ```text
//! $ cargo run --example again
//! version 1 is indexed
//! version 2: Created
//! version 3: Replaced
//! version 1001: Replaced
//! version 1 is done
//! version 1001 is indexed
//! version 1001 is done
//! ```

use std::sync::Arc;

use sqlx::PgPool;
use taskq::Worker;
use taskq::testing::Database;
use tokio::sync::{Notify, Semaphore, oneshot};

/// Of each document one task runs and at most one waits, with the newest version.
#[taskq::task(unique(fields(document_id), until = "again"))]
async fn index_document(begun: &Notify, slow: &Semaphore, _document_id: i64, version: u32) {
    println!("version {version} is indexed");
    begun.notify_one();
    // It takes as long as the changes do.
    let _permit = slow.acquire().await;
    println!("version {version} is done");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let begun = Arc::new(Notify::new());
    let slow = Arc::new(Semaphore::new(0));
    let worker = Worker::builder(pool.clone())
        .queue("default", 10)
        .state_arc(begun.clone())
        .state_arc(slow.clone())
        .build()
        .await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let story = async {
        let told = change(&pool, &begun, &slow).await;
        drop(stop);
        told
    };
    let work = worker.run_until(async {
        stopped.await.ok();
    });
    let (told, worked) = tokio::join!(story, work);
    told?;
    worked?;
    Ok(())
}

async fn change(pool: &PgPool, begun: &Notify, slow: &Semaphore) -> anyhow::Result<()> {
    let mut db = pool.acquire().await?;
    IndexDocument::enqueue(&mut db, 7, 1).await?;
    begun.notified().await;
    let mut tx = taskq::begin(pool).await?;
    for version in 2..=1_001 {
        let task = IndexDocument::enqueue(&mut tx, 7, version).await?;
        if matches!(version, 2 | 3 | 1_001) {
            println!("version {version}: {:?}", task.outcome);
        }
    }
    tx.commit().await?;
    slow.add_permits(1);
    taskq_examples::all_finished(pool).await;
    Ok(())
}
