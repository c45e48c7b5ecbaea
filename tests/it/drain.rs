//! Running what is due in a test, by the worker's own path.

use std::future::IntoFuture;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Timelike, Utc};
use sqlx::{PgConnection, PgPool};
use taskq::testing::{AttemptOutcome, DrainError, EndedAttempt, advance, drain, run_one};
use taskq::{Attempt, EnqueueError, WorkerBuilder, outcome, task};

use crate::support::{
    count_effects, database, effects, execute, leave_behind, one, states, worker,
};

/// Leaves an effect, and enqueues a chain of others.
#[task]
async fn chain(tx: &mut PgConnection, left: i64) -> Result<(), sqlx::Error> {
    sqlx::query("insert into effect values ($1)")
        .bind(left)
        .execute(&mut *tx)
        .await?;
    if left > 1 {
        Chain::enqueue(tx, left - 1).await.expect("enqueued");
    }
    Ok(())
}

#[task(max_attempts = 2)]
async fn push(usr_id: i64) -> Result<(), String> {
    Err(format!("user {usr_id} has no device"))
}

#[task]
async fn burst() {
    panic!("out of paper");
}

#[task(queue = "drain_other")]
async fn elsewhere(n: i64) -> Result<(), taskq::outcome::Decision> {
    match n {
        0 => Ok(()),
        1 => Err(outcome::snooze(Duration::from_secs(60))),
        2 => Err(outcome::discard("too late")),
        _ => Err(outcome::cancel("nobody wants it")),
    }
}

fn all(pool: &PgPool) -> WorkerBuilder {
    worker(pool)
        .queue("drain_other", 3)
        .only::<(Chain, Push, Burst, Elsewhere)>()
}

/// On a slow machine no backoff is over before the end.
const PUT_OFF: &str = "
    create function put_off() returns trigger language plpgsql as
        $$ begin new.run_at := new.run_at + interval '1 hour'; return new; end $$;
    create trigger put_off before insert on taskq.task for each row when (new.attempts > 0) execute function put_off()";

async fn ran(pool: &PgPool) -> Option<EndedAttempt> {
    run_one(all(pool)).await.expect("it runs one")
}

#[tokio::test]
async fn all_that_is_due_runs_and_all_that_becomes_due_by_it() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tx = pool.begin().await.expect("a transaction");
    for n in [7, 3] {
        Chain::enqueue(&mut tx, n).await.expect("enqueued");
    }
    let later = Chain::enqueue(&mut tx, 1).delay(Duration::from_secs(3600));
    later.await.expect("enqueued");
    Elsewhere::enqueue(&mut tx, 0).await.expect("enqueued");
    tx.commit().await.expect("committed");

    let counts = drain(all(&pool)).await.expect("it drains");
    assert_eq!((counts.completed, counts.total()), (11, 11), "{counts:?}");
    assert_eq!(count_effects(&pool).await.0, 10);
    assert_eq!(
        states(&pool).await.get("waiting"),
        Some(&1),
        "the delayed one"
    );

    advance(&pool, Duration::from_secs(3600))
        .await
        .expect("time moves");
    let counts = drain(all(&pool)).await.expect("it drains");
    assert_eq!((counts.completed, counts.total()), (1, 1), "{counts:?}");
    assert!(states(&pool).await.is_empty());
}

#[tokio::test]
async fn nothing_due_is_no_attempt() {
    let (_database, pool) = database().await;
    assert_eq!(ran(&pool).await, None);
    assert_eq!(drain(all(&pool)).await.expect("it drains").total(), 0);
}

#[tokio::test]
async fn one_task_runs_and_it_is_the_one_that_a_worker_would_run_first() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tx = pool.begin().await.expect("a transaction");
    for priority in [3, 1, 2] {
        let task = Chain::enqueue(&mut tx, 0).priority(priority);
        task.await.expect("enqueued");
    }
    tx.commit().await.expect("committed");
    let attempt = ran(&pool).await.expect("one is due");
    assert_eq!((attempt.task_type, attempt.number), ("chain", 1));
    assert_eq!(attempt.outcome, AttemptOutcome::Completed);
    let left = "select array_agg(priority order by priority) from taskq.task where attempts = 0";
    assert_eq!(one::<Vec<i16>>(&pool, left).await, [2, 3]);
}

#[tokio::test]
async fn a_failure_is_told_and_its_retry_waits_until_it_is_due() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Push::enqueue(&mut db, 42).await.expect("enqueued");
    drop(db);

    let first = ran(&pool).await.expect("it is due");
    assert_eq!((first.task_id, first.number), (task.task_id, 1));
    let AttemptOutcome::Retried { delay, error } = first.outcome else {
        panic!("{first:?}");
    };
    assert_eq!(error, "user 42 has no device");
    assert!(delay > Duration::ZERO);

    // A busy machine takes seconds to look.
    execute(
        &pool,
        "update taskq.task set run_at = run_at + interval '1 hour'",
    )
    .await;
    assert_eq!(ran(&pool).await, None, "the retry is not due");
    assert_eq!(drain(all(&pool)).await.expect("it drains").total(), 0);

    let hour = Duration::from_secs(3600);
    advance(&pool, hour + delay).await.expect("time moves");
    let second = ran(&pool).await.expect("the retry is due");
    assert_eq!(second.number, 2);
    let discarded = AttemptOutcome::Discarded { error };
    assert_eq!(second.outcome, discarded, "it was the last attempt");
    assert_eq!(states(&pool).await.get("discarded"), Some(&1));
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Burst::enqueue(&mut db).await.expect("enqueued");
    drop(db);
    let attempt = ran(&pool).await.expect("it is due");
    let AttemptOutcome::Retried { error, .. } = &attempt.outcome else {
        panic!("{attempt:?}");
    };
    assert!(error.contains("out of paper"), "{error}");
}

#[tokio::test]
async fn each_outcome_is_counted_apart() {
    let (_database, pool) = database().await;
    execute(&pool, PUT_OFF).await;
    let mut tx = pool.begin().await.expect("a transaction");
    for n in [0, 1, 2, 2, 3] {
        Elsewhere::enqueue(&mut tx, n).await.expect("enqueued");
    }
    Push::enqueue(&mut tx, 1).await.expect("enqueued");
    Burst::enqueue(&mut tx).await.expect("enqueued");
    tx.commit().await.expect("committed");
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) values ('push', '{"usr_id": "none"}');
           insert into taskq.task (task_type, payload, metadata)
           values ('push', '{"usr_id": 1}', jsonb_build_object('task.expires', now() - interval '1 second'))"#,
    )
    .await;
    let counts = drain(all(&pool)).allow_failures().await.expect("it drains");
    let of = [
        counts.completed,
        counts.retried,
        counts.snoozed,
        counts.discarded,
        counts.cancelled,
        counts.invalid,
        counts.expired,
        counts.handed_back,
    ];
    assert_eq!(of, [1, 2, 1, 2, 1, 1, 1, 0], "{counts:?}");
    assert_eq!(counts.total(), 9);
}

#[tokio::test]
async fn what_a_vanished_worker_left_runs_too() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    Chain::enqueue(&mut db, 1).await.expect("enqueued");
    drop(db);
    leave_behind(&pool).await;
    let counts = drain(all(&pool)).await.expect("it drains");
    assert_eq!((counts.completed, counts.total()), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn what_is_paused_stays() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Elsewhere::enqueue(&mut db, 0).await.expect("enqueued");
    drop(db);
    execute(&pool, "select taskq.pause_queue('drain_other')").await;
    assert_eq!(drain(all(&pool)).await.expect("it drains").total(), 0);
    execute(&pool, "select taskq.resume_queue('drain_other')").await;
    assert_eq!(drain(all(&pool)).await.expect("it drains").completed, 1);
}

#[tokio::test]
async fn a_worker_that_cannot_start_says_why() {
    #[task]
    async fn counts(_count: &AtomicUsize) {}
    let (_database, pool) = database().await;
    let error = drain(worker(&pool).only::<(Counts,)>()).await;
    let DrainError::Worker(error) = error.expect_err("it has no state") else {
        panic!("it did not start");
    };
    assert!(error.to_string().contains("AtomicUsize"), "{error}");
}

#[task]
async fn pay(#[secret] card: String, cents: i64) -> Result<(), String> {
    Err(format!("{card} has no {cents} cents"))
}

#[tokio::test]
async fn a_failure_that_the_test_does_not_allow_is_an_error_that_says_what_failed_and_why() {
    let (_database, pool) = database().await;
    execute(&pool, PUT_OFF).await;
    let mut tx = pool.begin().await.expect("a transaction");
    for n in [0, 1, 2, 3] {
        Elsewhere::enqueue(&mut tx, n).await.expect("enqueued");
    }
    Push::enqueue(&mut tx, 42).await.expect("enqueued");
    let last = Push::enqueue(&mut tx, 43).max_attempts(1);
    last.await.expect("enqueued");
    let secret = Pay::enqueue(&mut tx, "4000-0000-1234".into(), 5);
    secret.await.expect("enqueued");
    tx.commit().await.expect("committed");
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) values ('push', '{"usr_id": "none"}')"#,
    )
    .await;

    let workers = all(&pool).only::<(Chain, Push, Burst, Elsewhere, Pay)>();
    let error = drain(workers).await;
    let error = error.expect_err("some fail");
    let DrainError::Failed { attempts, counts } = &error else {
        panic!("{error:?}");
    };
    let ids: Vec<_> = attempts.iter().map(|attempt| attempt.task_id).collect();
    assert_eq!(ids.len(), 5);
    assert_eq!(
        (counts.snoozed, counts.cancelled, counts.total()),
        (1, 1, 8)
    );
    let text = error.to_string();
    for line in [
        "5 of 8 attempts failed\n",
        "\n  task 3, `elsewhere` {\"n\": 2}, attempt 1 of 25, discarded: too late\n",
        "\n  task 5, `push` {\"usr_id\": 42}, attempt 1 of 2, to be retried: user 42 has no device\n",
        "\n  task 6, `push` {\"usr_id\": 43}, attempt 1 of 1, discarded: user 43 has no device\n",
        "\n  task 7, `pay` {\"card\":\"***\",\"cents\":5}, attempt 1 of 25, to be retried: *** has no 5 cents\n",
        "\n  task 8, `push` {\"usr_id\": \"none\"}, attempt 1 of 2, invalid: ",
        "\nif the test expects failures, write `drain(…).allow_failures()`",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(format!("{error:?}"), text, "a test prints this");
}

#[tokio::test]
async fn an_error_is_shown_with_its_sources() {
    #[task]
    async fn divides() -> anyhow::Result<()> {
        let error = std::io::Error::other("by zero");
        Err(anyhow::Error::new(error).context("cannot divide"))
    }
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Divides::enqueue(&mut db).await.expect("enqueued");
    let error = drain(worker(&pool).only::<(Divides,)>()).await;
    let text = format!("{:?}", error.expect_err("it fails"));
    assert!(text.contains("cannot divide: by zero"), "{text}");
}

/// Two tests' processes on one database.
#[tokio::test]
async fn two_that_drain_at_once_share_the_work() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = (0..200).map(|_| Chain { left: 1 });
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    drop(db);
    let (one, other) = tokio::join!(
        drain(all(&pool)).into_future(),
        drain(all(&pool)).into_future()
    );
    let (one, other) = (one.expect("it drains"), other.expect("it drains"));
    assert_eq!(one.completed + other.completed, 200);
    assert_eq!(one.total() + other.total(), 200);
    assert_eq!(count_effects(&pool).await.0, 200);
}

/// Enqueues another one like itself.
#[task]
async fn endless(tx: &mut PgConnection) -> Result<(), EnqueueError> {
    Endless::enqueue(tx).await.map(drop)
}

#[tokio::test]
async fn what_never_ends_is_given_up_and_the_next_call_begins_anew() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Endless::enqueue(&mut db).await.expect("enqueued");
    drop(db);
    let limit = Duration::from_secs(2);
    taskq::faults::drain_no_longer_than(limit);
    let error = drain(worker(&pool).only::<(Endless,)>()).await;
    let error = error.expect_err("it never ends");
    let DrainError::Endless {
        limit: said,
        counts,
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*said, limit);
    assert!(counts.completed > 1, "{counts:?}");
    let text = error.to_string();
    assert!(text.contains("still something to do after 2s"), "{text}");
    assert_eq!(states(&pool).await, [("waiting".to_owned(), 1)].into());
    let one = run_one(worker(&pool).only::<(Endless,)>()).await;
    assert!(one.expect("it runs one").is_some());
}

#[task(cron = "0 9 * * *")]
async fn each_morning(ticks: &Mutex<Vec<DateTime<Utc>>>, attempt: &Attempt) {
    let tick = attempt.tick().expect("a tick");
    ticks.lock().expect("noted").push(tick.at);
}

#[tokio::test]
async fn ticks_that_have_come_are_taken_and_run() {
    let (_database, pool) = database().await;
    let ticks = Arc::new(Mutex::new(Vec::<DateTime<Utc>>::new()));
    let mornings = || {
        let worker = worker(&pool).only::<(EachMorning,)>();
        worker.state_arc(ticks.clone())
    };
    assert_eq!(
        drain(mornings()).await.expect("it drains").total(),
        0,
        "nothing is owed"
    );
    let day = Duration::from_secs(24 * 3_600);
    for _ in 0..2 {
        advance(&pool, day).await.expect("time moves");
        let counts = drain(mornings()).await.expect("it drains");
        assert_eq!((counts.completed, counts.total()), (1, 1), "{counts:?}");
    }
    advance(&pool, day).await.expect("time moves");
    let attempt = run_one(mornings()).await.expect("it runs one");
    let attempt = attempt.expect("a tick has come");
    assert_eq!(
        (attempt.task_type, attempt.outcome),
        ("each_morning", AttemptOutcome::Completed)
    );
    let ticks = ticks.lock().expect("noted").clone();
    assert_eq!(ticks.len(), 3);
    assert!(
        ticks
            .iter()
            .all(|tick| (tick.hour(), tick.minute()) == (9, 0)),
        "{ticks:?}"
    );
}

#[task(concurrency(1, key = tenant_id))]
async fn one_by_one(tenant_id: i64) {
    let _ = tenant_id;
}

#[task(rate("1/h", burst = 2))]
async fn two_an_hour() {}

#[tokio::test]
async fn limits_hold_and_what_may_not_start_yet_is_left() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = (0..30).map(|n| OneByOne { tenant_id: n % 3 });
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    let tasks = (0..5).map(|_| TwoAnHour {});
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    let limited = || worker(&pool).only::<(OneByOne, TwoAnHour)>();
    let ran = run_one(limited()).await.expect("it runs one");
    assert!(ran.is_some());
    let counts = drain(limited()).await.expect("it drains");
    assert_eq!(counts.completed, 31, "{counts:?}");
    assert_eq!(states(&pool).await["waiting"], 3);
}
