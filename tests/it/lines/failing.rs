//! Lines that cannot be written: they hold up nobody, and other attempts' are written.

use std::time::Duration;

use sqlx::PgPool;
use taskq::{LogLayer, task};
use tokio::time::sleep;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{keep, logs, messages};
use crate::support::{Log, database, drain, execute, one, states, until, while_working, worker};

#[task(max_attempts = 1)]
async fn logs_poison(n: i64) -> Result<(), String> {
    match n {
        13 => tracing::info!("poison"),
        _ => tracing::info!("{n}"),
    }
    Err("no luck".into())
}

#[tokio::test]
async fn lines_that_are_refused_are_lost_alone() {
    let (_database, pool) = database().await;
    let log = Log::capture();
    let told = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(log.writer());
    let subscriber = tracing_subscriber::registry()
        .with(told)
        .with(LogLayer::new().build());
    let _guard = tracing::subscriber::set_default(subscriber);
    execute(
        &pool,
        "alter table taskq.log_chunk add constraint no_poison check (lines::text not like '%poison%')",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    for n in 0..40 {
        LogsPoison::enqueue(&mut db, n).await.expect("enqueued");
    }
    drain(worker(&pool).only::<(LogsPoison,)>(), &pool).await;
    assert_eq!(states(&pool).await["discarded"], 40);
    let missing = "select array_agg(payload ->> 'n') from taskq.dead where not exists (select from taskq.attempt_log where attempt_log.task_id = dead.task_id)";
    assert_eq!(one::<Vec<String>>(&pool, missing).await, ["13"]);
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.log_chunk").await,
        39
    );
    assert!(
        log.has("log lines of an attempt are refused, and lost"),
        "{}",
        log.text()
    );
}

#[task(max_attempts = 1)]
async fn logs_slowly(pool: &PgPool) -> Result<(), String> {
    let mut n = 0;
    let gone = "select to_regclass('go') is not null";
    while let Ok(false) = sqlx::query_scalar(gone).fetch_one(pool).await {
        n += 1;
        tracing::info!("{n}");
        sleep(Duration::from_millis(100)).await;
    }
    Err("no luck".into())
}

#[task]
async fn quick() {
    tracing::info!("quick");
}

#[tokio::test]
async fn a_table_that_cannot_be_written_holds_nobody_up_and_lines_come_when_it_can() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let task = LogsSlowly::enqueue(&mut db).await.expect("enqueued");
    let worker = worker(&pool)
        .state(pool.clone())
        .only::<(LogsSlowly, Quick)>();
    while_working(worker, async {
        until("written", async || {
            !logs(&pool, task.task_id).await.is_empty()
        })
        .await;
        execute(&pool, "alter table taskq.log_chunk rename to away").await;
        sleep(Duration::from_millis(2_500)).await;
        for _ in 0..50 {
            Quick::enqueue(&mut db).await.expect("enqueued");
        }
        until("done meanwhile", async || {
            !states(&pool).await.contains_key("waiting")
        })
        .await;
        // A writer that waits for a lock is no better.
        execute(&pool, "alter table taskq.away rename to log_chunk").await;
        let mut lock = pool.begin().await.expect("begun");
        sqlx::raw_sql("lock table taskq.log_chunk")
            .execute(&mut *lock)
            .await
            .expect("locked");
        for _ in 0..50 {
            Quick::enqueue(&mut db).await.expect("enqueued");
        }
        until("done meanwhile", async || {
            !states(&pool).await.contains_key("waiting")
        })
        .await;
        sleep(Duration::from_millis(1_500)).await;
        lock.rollback().await.expect("rolled back");
        execute(&pool, "create table go ()").await;
        until("dead", async || {
            states(&pool).await.contains_key("discarded")
        })
        .await;
    })
    .await;
    let log = logs(&pool, task.task_id).await.remove(0);
    let numbers: Vec<_> = (1..=log.kept).map(|n| n.to_string()).collect();
    assert_eq!(messages(&log), numbers, "each once, in order");
    assert!(log.kept >= 30 && log.dropped == 0, "{}", log.kept);
}

#[tokio::test]
async fn one_session_writes_the_lines_of_all_attempts() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..8 {
        LogsSlowly::enqueue(&mut db).await.expect("enqueued");
    }
    // Each write takes a while, so that it is seen.
    execute(
        &pool,
        "create function slowly() returns trigger language plpgsql as
             $$ begin perform pg_sleep(0.3); return null; end $$;
         create trigger slowly after insert on taskq.log_chunk for each statement execute function slowly()",
    )
    .await;
    let worker = worker(&pool).state(pool.clone()).only::<(LogsSlowly,)>();
    while_working(worker, async {
        let mut most = 0;
        for _ in 0..200 {
            let writing = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' and query like '/* taskq log */%'";
            most = most.max(one::<i64>(&pool, writing).await);
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(most, 1);
        execute(&pool, "create table go ()").await;
        until("dead", async || states(&pool).await.get("discarded") == Some(&8)).await;
    })
    .await;
    let of_all = "select count(distinct log_id) from taskq.log_chunk";
    assert_eq!(one::<i64>(&pool, of_all).await, 8);
}
