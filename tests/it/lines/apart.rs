//! Lines of batches, and of attempts beside each other.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use taskq::{LogLayer, enqueue_many, task};

use super::{keep, logs, messages, told_to_go};
use crate::support::{database, drain, execute, one, states, until, while_working, worker};

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 1)]
struct Push {
    n: i64,
}

#[task]
async fn push(#[batch(10, "50ms")] all: Vec<Push>, pool: &PgPool) -> Vec<Result<(), String>> {
    tracing::info!(pushes = all.len(), "pushing");
    let told = told_to_go(pool).await;
    tracing::info!(is_told = told.is_ok(), "pushed");
    let outcome = |it: Push| {
        if it.n < 2 {
            Err("no luck".into())
        } else {
            Ok(())
        }
    };
    all.into_iter().map(outcome).collect()
}

#[tokio::test]
async fn the_lines_of_a_batch_are_stored_once_and_shown_with_each_of_its_tasks_that_stays() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    enqueue_many(&mut db, (0..4).map(|n| Push { n }))
        .await
        .expect("enqueued");
    let worker = worker(&pool).state(pool.clone()).only::<(PushHandler,)>();
    while_working(worker, async {
        until("told", async || {
            one::<i64>(&pool, "select count(*) from taskq.attempt_log").await == 4
        })
        .await;
        execute(&pool, "create table go ()").await;
        until("done", async || {
            states(&pool).await.get("discarded") == Some(&2)
        })
        .await;
    })
    .await;
    let left: Vec<i64> = one(
        &pool,
        "select array_agg(task_id order by task_id) from taskq.dead",
    )
    .await;
    let told = "select array_agg(task_id order by task_id) from taskq.attempt_log";
    assert_eq!(one::<Vec<i64>>(&pool, told).await, left);
    assert_eq!(
        one::<i64>(&pool, "select count(distinct log_id) from taskq.log_chunk").await,
        1
    );
    for task_id in left {
        let log = logs(&pool, task_id).await.remove(0);
        assert_eq!((log.tasks, log.attempt), (4, 1));
        assert_eq!(messages(&log), ["pushing", "pushed"]);
    }
    // With the last of them the lines go too.
    execute(&pool, "update taskq.attempt_log set begun_at = now() - interval '1 hour'; delete from taskq.dead; update taskq.log_chunk set begun_at = now() - interval '1 hour'").await;
    execute(&pool, "select taskq.prune_log(0, '00000000-0000-0000-0000-000000000000', 100); select taskq.prune_log(1000, '00000000-0000-0000-0000-000000000000', 100)").await;
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.log_chunk").await,
        0
    );
}

#[task(max_attempts = 1)]
async fn names_itself(n: i64) -> Result<(), String> {
    for line in 0..20 {
        tracing::info!("{n}: {line}");
        tokio::task::yield_now().await;
    }
    Err("no luck".into())
}

#[tokio::test]
async fn attempts_beside_each_other_in_two_workers_keep_their_lines_apart() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let many = (0..100).map(|n| NamesItself { n });
    enqueue_many(&mut db, many).await.expect("enqueued");
    let one_worker = || worker(&pool).only::<(NamesItself,)>();
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    let tasks: Vec<(i64, i64)> =
        sqlx::query_as("select task_id, (payload ->> 'n')::bigint from taskq.dead")
            .fetch_all(&pool)
            .await
            .expect("read");
    assert_eq!(tasks.len(), 100);
    for (task_id, n) in tasks {
        let log = logs(&pool, task_id).await.remove(0);
        let expected: Vec<_> = (0..20).map(|line| format!("{n}: {line}")).collect();
        assert_eq!(messages(&log), expected);
    }
}

#[task(max_attempts = 1)]
async fn lends_its_span(
    n: i64,
    lent: &Mutex<Option<tracing::Span>>,
    pool: &PgPool,
) -> Result<(), String> {
    let lend = |span| lent.lock().expect("no panic").replace(span);
    if n == 1 {
        lend(tracing::Span::current());
        told_to_go(pool).await.map_err(|error| error.to_string())?;
        return Err("no luck".into());
    }
    let of_other = lent.lock().expect("no panic").take().ok_or("too early")?;
    of_other.in_scope(|| tracing::info!("for the other"));
    tracing::info!("for itself");
    Err("no luck".into())
}

/// As somebody does who works for many, in the span of each.
#[tokio::test]
async fn a_line_in_the_span_of_another_attempt_is_its_line() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let lent = Arc::new(Mutex::new(None::<tracing::Span>));
    let mut db = pool.acquire().await.expect("a connection");
    let worker = worker(&pool).state(pool.clone()).state_arc(lent.clone());
    while_working(worker.only::<(LendsItsSpan,)>(), async {
        let first = LendsItsSpan::enqueue(&mut db, 1).await.expect("enqueued");
        until("it is lent", async || {
            lent.lock().expect("no panic").is_some()
        })
        .await;
        let second = LendsItsSpan::enqueue(&mut db, 2).await.expect("enqueued");
        for (task_id, expected) in [
            (first.task_id, "for the other"),
            (second.task_id, "for itself"),
        ] {
            until("written", async || !logs(&pool, task_id).await.is_empty()).await;
            assert_eq!(messages(&logs(&pool, task_id).await[0]), [expected]);
        }
        execute(&pool, "create table go ()").await;
    })
    .await;
}
