//! Stop in the middle of a long task: it saves its progress, and the next worker goes on from there.
//!
//! ```text
//! $ cargo run --example graceful_shutdown
//! page 1 imported
//! page 2 imported
//! page 3 is slow, and a deploy begins
//! asked to stop: 2 pages are saved
//! the first worker has stopped
//! page 3 imported
//! page 4 imported
//! the second worker has stopped
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use sqlx::PgPool;
use taskq::testing::Database;
use taskq::{Attempt, Worker, outcome};
use tokio::sync::Notify;
use tokio::time::sleep;

const PAGES: i32 = 4;

#[taskq::task]
async fn import(pool: &PgPool, library: &Library, attempt: &Attempt) -> anyhow::Result<()> {
    let saved: i32 = sqlx::query_scalar("select pages from progress")
        .fetch_one(pool)
        .await?;
    for page in saved + 1..=PAGES {
        // `attempt.is_cancelled()` asks the same between two steps.
        tokio::select! {
            () = library.fetch(page) => {}
            () = attempt.cancelled() => {
                println!("asked to stop: {} pages are saved", page - 1);
                // Due at once, for whoever is there. It uses no attempt.
                Err(outcome::snooze(Duration::ZERO))?;
            }
        }
        let save = sqlx::query("update progress set pages = $1").bind(page);
        save.execute(pool).await?;
        println!("page {page} imported");
    }
    Ok(())
}

/// Stands in for a server whose third page takes a minute, the first time.
#[derive(Default)]
struct Library {
    was_slow: AtomicBool,
    slow_page: Notify,
}

impl Library {
    async fn fetch(&self, page: i32) {
        if page == 3 && !self.was_slow.swap(true, Relaxed) {
            println!("page 3 is slow, and a deploy begins");
            self.slow_page.notify_one();
            sleep(Duration::from_secs(60)).await;
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    sqlx::raw_sql("create table progress (pages int); insert into progress values (0)")
        .execute(&pool)
        .await?;
    let mut tx = pool.begin().await?;
    Import::enqueue(&mut tx).await?;
    tx.commit().await?;

    // A real program stops on Ctrl-C or SIGTERM: `run_until(taskq::shutdown_signal())`. Its handlers
    // have the grace period to come to an end; then they are dropped, and their tasks handed back.
    let library = Arc::new(Library::default());
    worker(&pool, &library)
        .await?
        .run_until(library.slow_page.notified())
        .await?;
    println!("the first worker has stopped");

    worker(&pool, &library)
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    println!("the second worker has stopped");
    Ok(())
}

async fn worker(pool: &PgPool, library: &Arc<Library>) -> Result<Worker, taskq::WorkerError> {
    let worker = Worker::builder(pool.clone())
        .state(pool.clone())
        .state_arc(library.clone());
    worker.build().await
}
