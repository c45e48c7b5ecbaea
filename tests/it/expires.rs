//! Tasks that are worth nothing after a time: one that has not started by then is not run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use sqlx::{PgConnection, PgPool, query_as, query_scalar};
use taskq::unique::{OnConflict, Unique};
use taskq::{EnqueueError, EnqueueOutcome, task};

use crate::support::{database, execute, one, until, while_working, worker};

type Runs = AtomicUsize;

#[task(expires = "1h")]
async fn send_code(runs: &Runs, _usr_id: i64) {
    runs.fetch_add(1, Ordering::SeqCst);
}

#[task(expires = "1h")]
async fn send_code_in_tx(tx: &mut PgConnection, _usr_id: i64) -> Result<(), sqlx::Error> {
    query_scalar("select 1").fetch_one(tx).await
}

#[task]
async fn remind(runs: &Runs, _usr_id: i64) {
    runs.fetch_add(1, Ordering::SeqCst);
}

#[task]
async fn fails(runs: &Runs) -> Result<(), &'static str> {
    runs.fetch_add(1, Ordering::SeqCst);
    Err("no")
}

#[task]
async fn takes_a_second() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

type All = (SendCode, SendCodeInTx, Remind, Fails, TakesASecond);

/// Has everything run that is due. Returns how many handlers of `Runs` began.
async fn run_due(pool: &PgPool) -> usize {
    let runs = Arc::new(Runs::default());
    let work = worker(pool).only::<All>().state_arc(Arc::clone(&runs));
    let left = "select exists (select from taskq.lease)
            or exists (select from taskq.task where run_at <= now())";
    while_working(work, async {
        until("nothing is due", async || !one::<bool>(pool, left).await).await;
    })
    .await;
    runs.load(Ordering::SeqCst)
}

async fn count(pool: &PgPool, state: &str) -> i64 {
    query_scalar("select count(*) from taskq.tasks where state = $1")
        .bind(state)
        .fetch_one(pool)
        .await
        .expect("a count")
}

/// Lets the waiting tasks be older.
async fn age(pool: &PgPool, time: &str) {
    let older = "update taskq.task set created_at = created_at - $1::interval, run_at = run_at - $1::interval";
    let query = sqlx::query(older).bind(time);
    query.execute(pool).await.expect("older");
}

#[tokio::test]
async fn a_task_that_has_waited_too_long_is_not_run_and_is_no_failure() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    SendCode::enqueue(&mut db, 1).await.expect("enqueued");
    SendCodeInTx::enqueue(&mut db, 2).await.expect("enqueued");
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) values ('send_code', '{\"usr_id\": 3}')",
    )
    .await;
    age(&pool, "61 minutes").await;
    SendCode::enqueue(&mut db, 4).await.expect("enqueued");
    age(&pool, "58 minutes").await;
    assert_eq!(run_due(&pool).await, 1, "the one that is 58 minutes old");
    let dead: Vec<(String, i32, bool)> =
        query_as("select state, attempts, errors is null from taskq.dead")
            .fetch_all(&pool)
            .await
            .expect("rows");
    let expired = ("expired".to_owned(), 0, true);
    assert_eq!(dead, vec![expired; 3]);
    let counted = "select sum(total)::bigint from taskq.counter where outcome = 'expired'";
    assert_eq!(one::<i64>(&pool, counted).await, 3);
}

#[tokio::test]
async fn an_enqueue_may_say_it_for_one_task_in_rust_and_in_sql() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let minute = Duration::from_secs(60);
    let remind = |usr_id| Remind { usr_id };
    let enqueue = taskq::enqueue(&mut db, remind(1)).expires(minute);
    enqueue.await.expect("enqueued");
    // Counted from when it is due.
    let enqueue = taskq::enqueue(&mut db, remind(2)).expires(minute);
    let enqueue = enqueue.delay(Duration::from_secs(3600));
    enqueue.await.expect("enqueued");
    let hour_ago = Utc::now() - TimeDelta::hours(1);
    let enqueue = taskq::enqueue(&mut db, remind(3)).expires(minute);
    enqueue.run_at(hour_ago).await.expect("enqueued");
    let sql = "select task_id from taskq.enqueue('remind', '{\"usr_id\": 4}', $1::jsonb)";
    for options in [
        r#"{"expires": 60}"#,
        r#"{"expires": "1 minute", "delay": "1 hour"}"#,
    ] {
        let query = query_scalar::<_, i64>(sql).bind(options);
        query.fetch_one(&pool).await.expect("enqueued");
    }
    age(&pool, "2 minutes").await;
    assert_eq!(run_due(&pool).await, 0);
    assert_eq!(count(&pool, "expired").await, 3);
    age(&pool, "58 minutes").await;
    assert_eq!(
        run_due(&pool).await,
        2,
        "due an hour after they were enqueued"
    );
    // The type's own is overruled.
    let enqueue = taskq::enqueue(&mut db, SendCode { usr_id: 5 }).expires(120 * minute);
    enqueue.await.expect("enqueued");
    age(&pool, "90 minutes").await;
    assert_eq!(run_due(&pool).await, 1);
}

#[tokio::test]
async fn what_a_type_declares_is_counted_from_when_a_delayed_task_is_due() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for usr_id in [1, 2] {
        let enqueue = taskq::enqueue(&mut db, SendCode { usr_id });
        let delay = Duration::from_secs(24 * 3600);
        enqueue.delay(delay).await.expect("enqueued");
    }
    execute(
        &pool,
        "insert into taskq.task (task_type, payload, run_at)
         values ('send_code', '{\"usr_id\": 3}', now() + interval '1 day')",
    )
    .await;
    age(&pool, "24 hours 1 minute").await;
    assert_eq!(run_due(&pool).await, 3);
    assert_eq!(count(&pool, "expired").await, 0);
}

#[tokio::test]
async fn a_retry_that_comes_too_late_is_not_made() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let enqueue = taskq::enqueue(&mut db, Fails {});
    let enqueue = enqueue.expires(Duration::from_secs(60));
    enqueue.await.expect("enqueued");
    assert_eq!(run_due(&pool).await, 1);
    // It waits for its next attempt.
    execute(
        &pool,
        "update taskq.task set run_at = now(), created_at = created_at - interval '2 minutes'",
    )
    .await;
    assert_eq!(run_due(&pool).await, 0);
    let dead: (String, i32, String) =
        query_as("select state, attempts, errors -> 0 ->> 'error' from taskq.dead")
            .fetch_one(&pool)
            .await
            .expect("a row");
    assert_eq!(dead, ("expired".to_owned(), 1, "no".to_owned()));
}

#[tokio::test]
async fn a_task_that_was_claimed_ahead_expires_behind_a_slow_one() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..3 {
        TakesASecond::enqueue(&mut db).await.expect("enqueued");
    }
    let enqueue = taskq::enqueue(&mut db, Remind { usr_id: 1 }).priority(1);
    let enqueue = enqueue.expires(Duration::from_secs(1));
    enqueue.await.expect("enqueued");
    let runs = Arc::new(Runs::default());
    let work = taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<All>()
        .state_arc(Arc::clone(&runs));
    while_working(work, async {
        until("expired", async || count(&pool, "expired").await == 1).await;
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn two_workers_set_each_expired_task_aside_once_and_run_the_others() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let old = (0..2_000).map(|usr_id| SendCode { usr_id });
    taskq::enqueue_many(&mut db, old).await.expect("enqueued");
    age(&pool, "2 hours").await;
    let new = (0..200).map(|usr_id| SendCode { usr_id });
    taskq::enqueue_many(&mut db, new).await.expect("enqueued");
    let (one, other) = tokio::join!(run_due(&pool), run_due(&pool));
    assert_eq!(one + other, 200);
    assert_eq!(count(&pool, "expired").await, 2_000);
}

#[tokio::test]
async fn a_replaced_task_expires_as_its_last_enqueue_says() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let unique = Unique::new().on_conflict(OnConflict::Replace);
    let minute = Duration::from_secs(60);
    let enqueue = taskq::enqueue(&mut db, Remind { usr_id: 1 }).unique(unique);
    enqueue.expires(minute).await.expect("enqueued");
    age(&pool, "50 seconds").await;
    let enqueue = taskq::enqueue(&mut db, Remind { usr_id: 1 }).unique(unique);
    let enqueued = enqueue.expires(minute).await.expect("enqueued");
    assert_eq!(enqueued.outcome, EnqueueOutcome::Replaced);
    age(&pool, "50 seconds").await;
    assert_eq!(run_due(&pool).await, 1);
}

#[tokio::test]
async fn a_time_that_cannot_be_is_refused() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for expires in [Duration::ZERO, Duration::MAX] {
        let enqueue = taskq::enqueue(&mut db, Remind { usr_id: 1 });
        let refused = enqueue.expires(expires).await;
        assert!(
            matches!(
                &refused,
                Err(EnqueueError::Option {
                    option: "expires",
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    for (expires, problem) in [
        ("0", "the option \"expires\" must be longer than nothing"),
        ("-1", "the option \"expires\" must not be negative: -1"),
        (
            "\"soon\"",
            "the option \"expires\" is no length of time: \"soon\"",
        ),
        ("true", "the option \"expires\" is no length of time: true"),
    ] {
        let options = format!("{{\"expires\": {expires}}}");
        let sql = "select task_id from taskq.enqueue('remind', '{}', $1::jsonb)";
        let query = query_scalar::<_, i64>(sql).bind(options);
        let error = query.fetch_one(&pool).await.expect_err("refused");
        let error = error.into_database_error().expect("of Postgres");
        assert_eq!(error.message(), problem);
    }
    assert_eq!(count(&pool, "waiting").await, 0);
}
