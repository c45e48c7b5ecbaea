//! Traces: what the OpenTelemetry layer of a program sees of enqueues and attempts.

mod kept;
mod otlp;
mod receiver;
mod secrets;

use std::time::Duration;

use sqlx::PgPool;
use taskq::testing::Database;
use taskq::{Worker, WorkerBuilder};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything takes that goes well, on the slowest machine.
const LIMIT: Duration = Duration::from_secs(30);

async fn database() -> (Database, PgPool) {
    let database = Database::fresh().await.expect("a database");
    let pool = database.pool_of(20);
    (database, pool)
}

fn worker(pool: &PgPool) -> WorkerBuilder {
    Worker::builder(pool.clone()).queue("default", 4)
}

/// Runs a worker until no task waits or runs.
async fn drain(worker: WorkerBuilder, pool: &PgPool) {
    let worker = worker.build().await.expect("the worker starts");
    let (stop, stopped) = oneshot::channel::<()>();
    let drained = async {
        let drained = timeout(LIMIT, until_drained(pool)).await;
        drop(stop);
        drained.expect("drained in time");
    };
    let run = worker.run_until(async {
        stopped.await.ok();
    });
    let ((), ended) = tokio::join!(drained, run);
    ended.expect("the worker stops in order");
}

async fn until_drained(pool: &PgPool) {
    loop {
        let left: i64 = sqlx::query_scalar(
            "select count(*) from taskq.tasks where state in ('waiting', 'running') and run_at < now() + interval '1 minute'",
        )
        .fetch_one(pool)
        .await
        .expect("readable");
        if left == 0 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        sleep(Duration::from_millis(10)).await;
    }
}
