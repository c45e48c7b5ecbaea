//! How the end of a task is heard of: told at once where the enqueue asked for that, and found by asking in any case.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use taskq::testing::Cluster;
use taskq::{Enqueued, WaitError};
use tokio::time::{Instant, sleep, timeout};

use super::{LONG, Resize, size};
use crate::support::{LIMIT, database, drain, execute, one, until, while_working, worker};

async fn enqueue(db: &mut PgConnection, width: u32) -> Enqueued<Resize> {
    let enqueue = Resize::enqueue(db, width, "".into()).awaited();
    enqueue.await.expect("enqueued")
}

/// Whether all connections of a pool can be had, and so none of them listens.
async fn are_all_free(pool: &PgPool) -> bool {
    let all = (0..pool.options().get_max_connections()).map(|_| pool.acquire());
    timeout(Duration::from_secs(1), join_all(all)).await.is_ok()
}

#[tokio::test]
async fn ends_are_told_of_awaited_tasks_and_of_no_others() {
    let (_database, pool) = database().await;
    let mut listener = PgListener::connect_with(&pool).await.expect("listening");
    listener.listen("taskq.ended").await.expect("listening");
    let mut db = pool.acquire().await.expect("a connection");
    let completed = enqueue(&mut db, 1).await;
    let failed = Resize::enqueue(&mut db, 2, "fail".into()).max_attempts(1);
    let failed = failed.awaited().await.expect("enqueued");
    let cancelled = enqueue(&mut db, 3).await;
    let by_sql: i64 = one(
        &pool,
        r#"select task_id from taskq.enqueue('resize', '{"width": 4, "end": ""}', '{"awaited": true, "expires": "1 hour"}')"#,
    )
    .await;
    let expires =
        "select count(*) from taskq.task where metadata ?& array['task.awaited', 'task.expires']";
    assert_eq!(one::<i64>(&pool, expires).await, 1);
    for (width, end) in [(11, ""), (12, "fail"), (13, "")] {
        let quiet = Resize::enqueue(&mut db, width, end.into()).max_attempts(1);
        quiet.await.expect("enqueued");
    }
    execute(
        &pool,
        "select taskq.cancel(task_id) from taskq.task where payload ->> 'width' in ('3', '13')",
    )
    .await;
    drain(worker(&pool).only::<(Resize,)>(), &pool).await;
    execute(&pool, "select pg_notify('taskq.ended', 'that is all')").await;
    let mut told = Vec::new();
    loop {
        let next = timeout(LIMIT, listener.recv()).await.expect("in time");
        match next.expect("connected").payload().parse::<i64>() {
            Ok(task_id) => told.push(task_id),
            Err(_) => break,
        }
    }
    told.sort_unstable();
    let awaited = [completed.task_id, failed.task_id, cancelled.task_id, by_sql];
    assert_eq!(told, awaited);
}

/// What is told at once is not found by asking: after so long a wait a task is asked for every 800 ms.
#[tokio::test]
async fn an_end_is_heard_at_once_also_after_the_listener_was_cut_off() {
    let (database, pool) = database().await;
    let options = database
        .connect_options()
        .application_name("those who wait");
    let own = PgPoolOptions::new()
        .max_connections(5)
        .connect_lazy_with(options);
    let mut db = pool.acquire().await.expect("a connection");
    let mut waits = Vec::new();
    for width in 0..6 {
        let task = enqueue(&mut db, width).await;
        let own = own.clone();
        let wait = tokio::spawn(async move {
            let waited = task.wait(&own, LONG).await;
            assert!(matches!(waited, Err(WaitError::Cancelled { .. })));
            Instant::now()
        });
        waits.push((width, wait));
    }
    let began = Instant::now();
    sleep(Duration::from_secs(1)).await;
    let cut: i64 = one(
        &pool,
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'those who wait'",
    )
    .await;
    assert!(cut > 0);
    sleep(Duration::from_millis(6_600).saturating_sub(began.elapsed())).await;
    for (width, wait) in waits {
        let cancel =
            "select taskq.cancel(task_id) from taskq.task where payload -> 'width' = to_jsonb($1)";
        let cancelled = sqlx::query(cancel).bind(i64::from(width)).execute(&pool);
        cancelled.await.expect("cancelled");
        let ended = Instant::now();
        let heard = wait.await.expect("it was heard");
        let took = heard.saturating_duration_since(ended);
        assert!(took < Duration::from_millis(400), "{took:?}");
        // At another moment between two times of asking.
        sleep(Duration::from_millis(130)).await;
    }
}

#[tokio::test]
async fn somebody_listens_only_for_tasks_whose_end_is_told() {
    let (database, pool) = database().await;
    let own = database.pool_of(2);
    let mut db = pool.acquire().await.expect("a connection");
    let quiet = Resize::enqueue(&mut db, 1, "".into())
        .await
        .expect("enqueued");
    let told = enqueue(&mut db, 2).await;
    let short = Duration::from_millis(500);
    let waited = quiet.wait(&own, short).await;
    assert!(matches!(waited, Err(WaitError::TimedOut)));
    assert!(are_all_free(&own).await);
    let waited = told.wait(&own, short).await;
    assert!(matches!(waited, Err(WaitError::TimedOut)));
    assert!(!are_all_free(&own).await, "it listens for a while");
    until("it listens no more", async || are_all_free(&own).await).await;
}

/// It would have to itself what others wait for.
#[tokio::test]
async fn a_pool_of_one_connection_is_shared() {
    let (database, pool) = database().await;
    let own = database.pool_of(1);
    let mut db = pool.acquire().await.expect("a connection");
    let task = enqueue(&mut db, 7).await;
    let wait = task.wait(&own, LONG);
    let others = async {
        for _ in 0..20 {
            execute(&own, "select 1").await;
            sleep(Duration::from_millis(20)).await;
        }
        drain(worker(&pool).only::<(Resize,)>(), &pool).await;
    };
    let (waited, ()) = tokio::join!(wait, others);
    assert_eq!(waited.expect("it succeeds"), size(7));
}

#[tokio::test]
async fn a_pool_is_closed_beside_those_who_wait() {
    let (database, pool) = database().await;
    let own = database.pool_of(5);
    let mut db = pool.acquire().await.expect("a connection");
    let task = enqueue(&mut db, 7).await;
    let close = async {
        until("listening", async || own.size() > 0).await;
        sleep(Duration::from_millis(500)).await;
        timeout(LIMIT, own.close()).await.expect("it closes");
    };
    let (waited, ()) = tokio::join!(task.wait(&own, LONG), close);
    assert!(
        matches!(&waited, Err(WaitError::Database(error)) if matches!(**error, sqlx::Error::PoolClosed)),
        "{waited:?}"
    );
    let again = task.wait(&own, LONG).await;
    assert!(matches!(again, Err(WaitError::Database(_))));
    drop(pool);
}

#[tokio::test]
async fn what_postgres_refuses_is_told_at_once() {
    let database = taskq::testing::Database::empty().await.expect("a database");
    let pool = database.pool_of(5);
    let error = taskq::Handle::<Resize>::of(1).wait(&pool, LONG).await;
    let error = error.expect_err("there are no tables");
    assert!(error.to_string().contains("taskq.task"), "{error}");
    assert!(matches!(error, WaitError::Database(_)));
}

#[tokio::test]
async fn a_wait_outlives_the_server() {
    let cluster = Cluster::private_on_disk().await.expect("a server");
    let pool = cluster.pool("postgres", 20).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    let mut db = pool.acquire().await.expect("a connection");
    let task = enqueue(&mut db, 7).await;
    drop(db);
    let wait = tokio::spawn({
        let (pool, handle) = (pool.clone(), task.handle());
        async move { handle.wait(&pool, LONG).await }
    });
    sleep(Duration::from_millis(500)).await;
    cluster.kill().await.expect("killed");
    // The pool itself would try for half a minute.
    let meanwhile = task.wait(&pool, Duration::from_secs(2)).await;
    assert!(
        matches!(meanwhile, Err(WaitError::Database(_))),
        "{meanwhile:?}"
    );
    cluster.restart().await.expect("restarted");
    until("reachable", async || {
        sqlx::query("select 1").execute(&pool).await.is_ok()
    })
    .await;
    let waited = while_working(worker(&pool).only::<(Resize,)>(), wait).await;
    assert_eq!(waited.expect("not aborted").expect("it succeeds"), size(7));
}
