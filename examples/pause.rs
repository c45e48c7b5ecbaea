//! Pause a queue while workers run, and resume it: what waits is kept, and other queues go on.
//!
//! ```text
//! $ cargo run --example pause
//! mail: 1
//! ada pauses the queue mail: SMTP is down
//! export: 2
//! mails that wait: 2
//! mail: 3
//! mail: 4
//! resumed; it was paused by ada
//! ```

use std::time::Duration;

use sqlx::PgPool;
use taskq::Worker;
use taskq::operate::Queue;
use taskq::testing::Database;
use tokio::sync::oneshot;
use tokio::time::sleep;

#[taskq::task(queue = "mail")]
async fn send_mail(number: u32) {
    println!("mail: {number}");
}

#[taskq::task(queue = "export")]
async fn write_export(number: u32) {
    println!("export: {number}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let worker = Worker::builder(pool.clone())
        .queue("mail", 1)
        .queue("export", 1)
        .build()
        .await?;
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
    SendMail::enqueue(&mut db, 1).await?;
    taskq_examples::all_finished(pool).await;

    // A program would have the name of who is logged in.
    let operator = taskq::operate(pool).as_user("ada");
    operator
        .pause(Queue("mail"))
        .because("SMTP is down")
        .await?;
    println!("ada pauses the queue mail: SMTP is down");

    WriteExport::enqueue(&mut db, 2).await?;
    SendMail::enqueue(&mut db, 3).await?;
    SendMail::enqueue(&mut db, 4).await?;
    sleep(Duration::from_millis(500)).await;
    let waiting = "select count(*) from taskq.task where queue = 'mail'";
    let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *db).await?;
    println!("mails that wait: {waiting}");

    // Anybody may resume. What held before comes back. The worker begins at once, so this says so
    // when the mails are out.
    let former = operator.resume(Queue("mail")).await?;
    taskq_examples::all_finished(pool).await;
    if let Some(former) = former {
        println!("resumed; it was paused by {}", former.by);
    }
    Ok(())
}
