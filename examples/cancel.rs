//! Cancel a running task from elsewhere, and retry one that is dead.
//!
//! ```text
//! $ cargo run --example cancel
//! export 1 begins
//! task 1 was running
//! task 1 is cancelled: cancelled by ada: the wrong year
//! ada retries it
//! export 1 begins
//! task 1 was running
//! ```

use std::time::Duration;

use sqlx::PgPool;
use taskq::Worker;
use taskq::testing::Database;
use tokio::sync::oneshot;
use tokio::time::sleep;

#[taskq::task]
async fn write_export(number: u32) {
    println!("export {number} begins");
    sleep(Duration::from_secs(3600)).await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let worker = Worker::builder(pool.clone()).build().await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let story = async {
        let told = tell(&pool).await;
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

async fn tell(pool: &PgPool) -> anyhow::Result<()> {
    let mut db = pool.acquire().await?;
    let task_id = WriteExport::enqueue(&mut db, 1).await?.task_id;
    sleep(Duration::from_millis(500)).await;

    // A program would have the name of who is logged in.
    let operator = taskq::operate(pool).as_user("ada");
    let was = operator.cancel(task_id).because("the wrong year").await?;
    println!("task {task_id} was {was}");
    let row = "select format('task %s is %s: %s', task_id, state, errors -> -1 ->> 'error') from taskq.tasks";
    let row: String = sqlx::query_scalar(row).fetch_one(&mut *db).await?;
    println!("{row}");

    println!("ada retries it");
    operator.retry(task_id).await?;
    sleep(Duration::from_millis(500)).await;
    let was = operator.cancel(task_id).await?;
    println!("task {task_id} was {was}");
    Ok(())
}
