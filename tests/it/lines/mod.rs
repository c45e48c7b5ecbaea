//! The lines that handlers log: kept with the attempt, beside its transaction, and for as long as its task.

mod apart;
mod bounds;
mod failing;
mod hidden;
mod life;
mod processes;
mod shown;

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use taskq::operate::{AttemptLog, LogLine};
use taskq::{LogLayer, WorkerBuilder, task};
use tokio::time::sleep;
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Instrument, dispatcher};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{database, drain, execute, one, states, until, while_working, worker};

/// A subscriber that wants nothing. While there is only one in the process, a thread that has none and is the first to come by
/// an event turns that event off for all threads; while there are two, `tracing` asks them all.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| {
    let nothing = tracing_subscriber::registry().with(LevelFilter::OFF);
    Dispatch::new(nothing)
});

/// Has this thread keep lines.
fn keep(layer: LogLayer) -> DefaultGuard {
    LazyLock::force(&ANOTHER);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(layer.build()))
}

async fn logs(pool: &PgPool, task_id: i64) -> Vec<AttemptLog> {
    let logs = taskq::operate(pool).logs(task_id).await;
    logs.expect("readable")
}

fn messages(log: &AttemptLog) -> Vec<&str> {
    log.lines.iter().map(|line| line.message.as_str()).collect()
}

/// Waits until somebody has made a table `go`.
async fn told_to_go(pool: &PgPool) -> sqlx::Result<()> {
    while !sqlx::query_scalar("select to_regclass('go') is not null")
        .fetch_one(pool)
        .await?
    {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Works until so many tasks have failed, and what they logged is written.
async fn failed(worker: WorkerBuilder, pool: &PgPool, count: i64) {
    while_working(worker, async {
        let failed = "select count(*) from taskq.tasks where errors is not null and errors <> '[]'";
        until("failed", async || one::<i64>(pool, failed).await >= count).await;
    })
    .await;
}

fn in_a_function() {
    tracing::warn!(target: "elsewhere", "called");
}

#[task(max_attempts = 1)]
async fn logs_everywhere(pool: &PgPool) -> Result<(), String> {
    tracing::info!(
        usr_id = 7,
        ratio = 0.5,
        is_new = true,
        name = "Ada",
        "begun"
    );
    tracing::debug!("not kept");
    in_a_function();
    async { tracing::info!("in a span") }
        .instrument(tracing::info_span!("inner"))
        .await;
    let spawned = tokio::spawn(async { tracing::info!("spawned") }.in_current_span());
    spawned.await.map_err(|error| error.to_string())?;
    let dispatch = dispatcher::get_default(Clone::clone);
    let span = tracing::Span::current();
    let thread = std::thread::spawn(move || {
        dispatcher::with_default(&dispatch, || {
            span.in_scope(|| tracing::info!("in a thread"));
        });
    });
    thread.join().map_err(|_| "the thread panicked")?;
    told_to_go(pool).await.map_err(|error| error.to_string())?;
    tracing::error!("ended");
    Err("no luck".into())
}

#[tokio::test]
async fn what_a_handler_logs_is_read_while_it_runs_and_after_it_has_failed() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let before: f64 = one(&pool, "select extract(epoch from now())::float8").await;
    let task = LogsEverywhere::enqueue(&mut db).await.expect("enqueued");
    tracing::info!("outside of an attempt");
    let worker = worker(&pool)
        .state(pool.clone())
        .only::<(LogsEverywhere,)>();
    let expected = ["begun", "called", "in a span", "spawned", "in a thread"];
    while_working(worker, async {
        until("logged", async || {
            let logs = logs(&pool, task.task_id).await;
            logs.first().is_some_and(|log| messages(log) == expected)
        })
        .await;
        let log = logs(&pool, task.task_id).await.remove(0);
        assert_eq!((log.attempt, log.tasks, log.dropped), (1, 1, 0));
        let first = &log.lines[0];
        assert_eq!(
            (first.level.as_str(), first.target.as_str()),
            ("INFO", "it::lines")
        );
        let fields = serde_json::Value::Object(first.fields.clone());
        let said = serde_json::json!({"usr_id": 7, "ratio": 0.5, "is_new": true, "name": "Ada"});
        assert_eq!(fields, said);
        let second = &log.lines[1];
        assert_eq!(
            (second.level.as_str(), second.target.as_str()),
            ("WARN", "elsewhere")
        );
        let shown = taskq::operate(&pool).show(task.task_id).await;
        assert_eq!(shown.expect("answered").expect("it runs").log_lines, 5);
        execute(&pool, "create table go ()").await;
        until("failed", async || {
            states(&pool).await.contains_key("discarded")
        })
        .await;
    })
    .await;
    let log = logs(&pool, task.task_id).await.remove(0);
    assert_eq!(messages(&log)[5..], ["ended"]);
    let times: Vec<_> = log.lines.iter().map(|line| line.at).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times[0], log.begun_at);
    let after: f64 = one(
        &pool,
        "select extract(epoch from clock_timestamp())::float8",
    )
    .await;
    let at = |line: &LogLine| line.at.timestamp_micros() as f64 / 1e6;
    assert!(
        log.lines
            .iter()
            .all(|line| before <= at(line) && at(line) <= after)
    );
}

#[task(max_attempts = 1)]
async fn logs_in_a_transaction(
    tx: &mut PgConnection,
    attempt: &taskq::Attempt,
) -> anyhow::Result<()> {
    sqlx::query("create table undone ()")
        .execute(&mut *tx)
        .await?;
    tracing::info!(n = attempt.number(), "half-way");
    // Another session has written it, and this one sees it before it commits.
    let seen = "select exists (select from taskq.log_chunk)";
    while !sqlx::query_scalar(seen).fetch_one(&mut *tx).await? {
        sleep(Duration::from_millis(10)).await;
    }
    tracing::info!("at the end");
    anyhow::bail!("no luck")
}

#[tokio::test]
async fn lines_are_written_before_the_handlers_transaction_ends_and_survive_its_rollback() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let task = LogsInATransaction::enqueue(&mut db)
        .await
        .expect("enqueued");
    drain(worker(&pool).only::<(LogsInATransaction,)>(), &pool).await;
    assert!(one::<bool>(&pool, "select to_regclass('undone') is null").await);
    let log = logs(&pool, task.task_id).await.remove(0);
    assert_eq!(messages(&log), ["half-way", "at the end"]);
}

/// A filter of the whole program that leaves out the spans of taskq.
#[tokio::test]
async fn a_filter_that_leaves_out_the_spans_of_attempts_leaves_what_handlers_log() {
    let (_database, pool) = database().await;
    let filter = tracing_subscriber::EnvFilter::new("it=info");
    let subscriber = tracing_subscriber::registry()
        .with(LogLayer::new().build())
        .with(filter);
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut db = pool.acquire().await.expect("a connection");
    let task = LogsEverywhere::enqueue(&mut db).await.expect("enqueued");
    execute(&pool, "create table go ()").await;
    let worker = worker(&pool)
        .state(pool.clone())
        .only::<(LogsEverywhere,)>();
    drain(worker, &pool).await;
    let log = logs(&pool, task.task_id).await.remove(0);
    // That of another target is left out; what has nothing but the span is not found.
    assert_eq!(messages(&log), ["begun", "in a span", "ended"]);
}

#[task(max_attempts = 1)]
async fn runs_a_worker(pool: &PgPool) -> anyhow::Result<()> {
    tracing::info!("outer");
    let mut db = pool.acquire().await?;
    LogsForASecond::enqueue(&mut db).await?;
    let worker = worker(pool).only::<(LogsForASecond,)>().build().await?;
    worker.run_until(sleep(Duration::from_secs(4))).await?;
    anyhow::bail!("no luck")
}

#[task(max_attempts = 1)]
async fn logs_for_a_second() -> Result<(), String> {
    for _ in 0..30 {
        tracing::info!("inner");
        sleep(Duration::from_millis(100)).await;
    }
    Err("no luck".into())
}

#[tokio::test]
async fn what_taskq_does_to_write_lines_makes_no_lines() {
    let (_database, pool) = database().await;
    let _guard = keep(
        LogLayer::new()
            .level(tracing::Level::TRACE)
            .most_lines(100_000)
            .most_bytes(10_000_000),
    );
    let mut db = pool.acquire().await.expect("a connection");
    let task = RunsAWorker::enqueue(&mut db).await.expect("enqueued");
    let worker = worker(&pool).state(pool.clone()).only::<(RunsAWorker,)>();
    drain(worker, &pool).await;
    let log = logs(&pool, task.task_id).await.remove(0);
    let of_queries = log.lines.iter().filter(|line| line.target == "sqlx::query");
    let queries: Vec<_> = of_queries.map(ToString::to_string).collect();
    // Those of the handler and of the worker within it are there, and none that writes lines.
    assert!(
        queries.iter().any(|query| query.contains("taskq claim")),
        "{queries:?}"
    );
    assert!(
        !queries.iter().any(|query| query.contains("taskq log")),
        "{queries:?}"
    );
    // And each attempt has its own.
    assert!(!log.lines.iter().any(|line| line.message == "inner"));
}
