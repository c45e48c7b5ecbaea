//! How many tasks a second: preloads tasks that do nothing, drains them, and prints the rates.
//!
//! ```text
//! cargo run --release --example drain -- 50000        this many tasks
//! cargo run --release --example drain -- 50000 100    … and this many at once
//! ```
//!
//! Once for each delivery: at least once (a handler without transaction), and in a transaction (a
//! handler with `&mut tx`, which inserts one row).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use taskq::handler::TaskSet;
use taskq::testing::Cluster;
use taskq::{Attempt, Payload, Worker};
use tokio::sync::Notify;
use tokio::time::sleep;

const TASKS: usize = 50_000;
const CONCURRENCY: usize = 50;

/// Connections beside those of the handlers: the worker's own, and this program's.
const OTHERS: usize = 8;

#[taskq::task]
async fn drain_at_least_once(progress: &Progress) {
    progress.advance();
}

#[taskq::task]
async fn drain_in_transaction(
    tx: &mut PgConnection,
    attempt: &Attempt,
    progress: &Progress,
) -> sqlx::Result<()> {
    sqlx::query("insert into drain_effect (task_id) values ($1)")
        .bind(attempt.task_id())
        .execute(tx)
        .await?;
    progress.advance();
    Ok(())
}

/// Counts handlers that have run, so that nobody need ask the database while it is busy.
struct Progress {
    tasks: usize,
    ran: AtomicUsize,
    all_ran: Notify,
}

impl Progress {
    fn of(tasks: usize) -> Self {
        Self {
            tasks,
            ran: AtomicUsize::new(0),
            all_ran: Notify::new(),
        }
    }

    fn advance(&self) {
        if self.ran.fetch_add(1, Relaxed) + 1 == self.tasks {
            self.all_ran.notify_one();
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    taskq_examples::log_warnings_to_stderr();
    let tasks = argument(1, TASKS).context("the number of tasks")?;
    let concurrency = argument(2, CONCURRENCY).context("the number of tasks at once")?;
    let cluster = Cluster::persistent("drain").await?;
    let pool = PgPoolOptions::new()
        // A connection for each handler in a transaction, and some for the worker and for us.
        .max_connections(u32::try_from(concurrency + OTHERS)?)
        .connect(&cluster.url("drain"))
        .await?;
    let ran = run(&pool, tasks, concurrency).await;
    pool.close().await;
    ran
}

fn argument(number: usize, default: usize) -> anyhow::Result<usize> {
    match std::env::args().nth(number) {
        Some(given) => {
            let value: usize = given.parse().with_context(|| format!("`{given}`"))?;
            ensure!(value > 0, "must be at least 1");
            Ok(value)
        }
        None => Ok(default),
    }
}

async fn run(pool: &PgPool, tasks: usize, concurrency: usize) -> anyhow::Result<()> {
    taskq::migrate(pool).await?;
    taskq_examples::start_afresh(pool, &["drain_at_least_once", "drain_in_transaction"]).await?;
    sqlx::raw_sql(
        "create table if not exists drain_effect (task_id bigint primary key); truncate drain_effect",
    )
    .execute(pool)
    .await?;

    check_room(pool, concurrency).await?;
    print_machine(pool).await?;
    println!("{tasks} tasks of each kind, {concurrency} at once\n");
    println!(
        "{:<24} {:>12}  {:>12}",
        "DELIVERY", "ENQUEUED/S", "DRAINED/S"
    );
    let preload = || (0..tasks).map(|_| DrainAtLeastOnce {});
    measure::<(DrainAtLeastOnce,), _>("at least once", pool, preload(), concurrency).await?;
    let preload = || (0..tasks).map(|_| DrainInTransaction {});
    measure::<(DrainInTransaction,), _>("in a transaction", pool, preload(), concurrency).await?;

    let effects: i64 = sqlx::query_scalar("select count(*) from drain_effect")
        .fetch_one(pool)
        .await?;
    println!("\n{effects} rows inserted by {tasks} handlers in a transaction");
    Ok(())
}

async fn measure<S: TaskSet, P: Payload>(
    delivery: &str,
    pool: &PgPool,
    payloads: impl ExactSizeIterator<Item = P>,
    concurrency: usize,
) -> anyhow::Result<()> {
    let progress = Arc::new(Progress::of(payloads.len()));
    let began = Instant::now();
    let mut tx = pool.begin().await?;
    taskq::enqueue_many(&mut tx, payloads).await?;
    tx.commit().await?;
    let enqueued_in = began.elapsed();
    // What autovacuum would have done had the tasks arrived over some minutes.
    sqlx::raw_sql("vacuum analyze taskq.task")
        .execute(pool)
        .await?;

    let worker = Worker::builder(pool.clone())
        .only::<S>()
        .state_arc(progress.clone())
        .queue("default", concurrency)
        .build()
        .await?;
    let began = Instant::now();
    let mut drained_in = Duration::ZERO;
    worker
        .run_until(async {
            progress.all_ran.notified().await;
            until_empty(pool).await;
            drained_in = began.elapsed();
        })
        .await?;

    let rate = |time: Duration| progress.tasks as f64 / time.as_secs_f64();
    println!(
        "{delivery:<24} {:>12.0}  {:>12.0}",
        rate(enqueued_in),
        rate(drained_in)
    );
    Ok(())
}

/// Ends when the completion of every task is on disk.
async fn until_empty(pool: &PgPool) {
    let unfinished = "select exists (select from taskq.tasks where state <> 'completed')";
    while sqlx::query_scalar(unfinished)
        .fetch_one(pool)
        .await
        .unwrap_or(true)
    {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Makes sure that the server lets this program have all the connections of its pool.
async fn check_room(pool: &PgPool, concurrency: usize) -> anyhow::Result<()> {
    let free: i64 = sqlx::query_scalar(
        "select current_setting('max_connections')::bigint
              - current_setting('superuser_reserved_connections')::bigint
              - (select count(*) from pg_stat_activity
                 where backend_type = 'client backend' and pid <> pg_backend_pid())",
    )
    .fetch_one(pool)
    .await?;
    let most = usize::try_from(free)?.saturating_sub(OTHERS);
    ensure!(
        concurrency <= most,
        "this server has connections for {most} tasks at once, not for {concurrency}"
    );
    Ok(())
}

async fn print_machine(pool: &PgPool) -> anyhow::Result<()> {
    let (version, fsync): (String, String) =
        sqlx::query_as("select current_setting('server_version'), current_setting('fsync')")
            .fetch_one(pool)
            .await?;
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores, shared with Postgres {version}, fsync {fsync}");
    if cfg!(debug_assertions) {
        println!("This is a debug build; `cargo run --release` is the one to measure.");
    }
    Ok(())
}
