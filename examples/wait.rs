//! Wait for what a handler returns.
//!
//! ```text
//! $ cargo run --example wait
//! image 1: 800 x 600
//! image 2: the task is discarded: discarded: no such image
//! again, by its id: 800 x 600
//! image 3: the task has not ended in time
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};
use taskq::testing::Database;
use taskq::{Handle, Worker, outcome};
use tokio::sync::oneshot;

#[derive(Debug, Serialize, Deserialize)]
struct Size {
    width: u32,
    height: u32,
}

/// The type keeps its result, so that somebody can wait for it.
#[taskq::task(result = "keep")]
async fn resize(image: i64) -> anyhow::Result<Size> {
    if image == 2 {
        Err(outcome::discard("no such image"))?;
    }
    Ok(Size {
        width: 800,
        height: 600,
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();

    // As in another process.
    let worker = Worker::builder(pool.clone()).build().await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let working = tokio::spawn(worker.run_until(async {
        stopped.await.ok();
    }));

    let mut tx = pool.begin().await?;
    let good = Resize::enqueue(&mut tx, 1).awaited().await?;
    let bad = Resize::enqueue(&mut tx, 2).awaited().await?;
    let later = Resize::enqueue(&mut tx, 3);
    let later = later.delay(Duration::from_secs(3_600)).await?;
    tx.commit().await?;

    let limit = Duration::from_secs(30);
    let Size { width, height } = good.wait(&pool, limit).await?;
    println!("image 1: {width} x {height}");
    if let Err(error) = bad.wait(&pool, limit).await {
        println!("image 2: {error}");
    }

    // Whoever has the id can wait, also after the end.
    let size = Handle::<Resize>::of(good.task_id)
        .wait(&pool, limit)
        .await?;
    println!("again, by its id: {} x {}", size.width, size.height);

    if let Err(error) = later.wait(&pool, Duration::from_millis(100)).await {
        println!("image 3: {error}");
    }
    drop(stop);
    working.await??;
    Ok(())
}
