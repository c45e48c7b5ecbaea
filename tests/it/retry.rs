//! What becomes of a task whose attempt did not succeed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskq::{Attempt, task};
use tokio::time::sleep;

use crate::support::{
    Log, TaskRow, database, drain, execute, one, states, task as find, until, while_working, worker,
};

/// Runs one attempt of the only task, and returns the task as it then stands.
async fn after_one_attempt(
    worker: taskq::WorkerBuilder,
    pool: &sqlx::PgPool,
    task_id: i64,
) -> TaskRow {
    while_working(worker, until("attempted", async || {
        let untouched: i64 = one(
            pool,
            "select (select count(*) from taskq.task where attempts = 0 and run_at <= now()) + (select count(*) from taskq.lease)",
        )
        .await;
        untouched == 0
    }))
    .await;
    find(pool, task_id).await.expect("the task is kept")
}

#[tokio::test]
async fn a_failed_task_waits_in_its_table_for_its_next_attempt() {
    #[task]
    async fn failing() -> anyhow::Result<()> {
        Err(anyhow::anyhow!("connection refused").context("could not reach the mail server"))
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Failing::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_one_attempt(worker(&pool).only::<(Failing,)>(), &pool, task_id).await;
    assert_eq!(
        (row.state.as_str(), row.attempts, row.crashes),
        ("waiting", 1, 0)
    );
    assert_eq!(
        row.error(),
        "could not reach the mail server: connection refused"
    );
    // The one schedule of its retries is the column, so that it outlives every worker.
    let due_in = row.due_in.expect("it has a time");
    assert!((2.0..=6.0).contains(&due_in), "due in {due_in} s");
}

#[tokio::test]
async fn a_task_is_attempted_so_often_and_then_kept_as_dead_with_its_errors() {
    #[task(max_attempts = 3)]
    async fn hopeless(attempt: &Attempt) -> Result<(), String> {
        let number = attempt.number();
        assert_eq!(attempt.previous_errors().len(), usize::from(number) - 1);
        assert_eq!(attempt.is_last(), number == 3);
        Err(format!("failure {number}"))
    }

    let log = Log::capture();
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Hopeless::enqueue(&mut db).await.expect("enqueued").task_id;
    while_working(worker(&pool).only::<(Hopeless,)>(), async {
        until("discarded", async || {
            execute(
                &pool,
                "update taskq.task set run_at = now() where attempts > 0",
            )
            .await;
            states(&pool).await.contains_key("discarded")
        })
        .await;
    })
    .await;
    let row = find(&pool, task_id).await.expect("kept");
    assert_eq!(row.attempts, 3);
    let errors = row.errors.expect("a history");
    let texts: Vec<&str> = errors
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["error"].as_str())
        .collect();
    assert_eq!(texts, ["failure 1", "failure 2", "failure 3"]);
    assert_eq!(errors[0]["attempt"], 1);
    assert!(errors[0]["at"].is_string());
    let text = log.text();
    let line = text.lines().find(|line| line.contains("task discarded"));
    assert!(
        line.is_some_and(|it| it.contains("ERROR") && it.contains("no attempt is left")),
        "{text}"
    );
}

#[tokio::test]
async fn a_task_that_its_handler_discards_is_no_error_in_the_log() {
    #[task]
    async fn picky() -> Result<(), taskq::error::BoxError> {
        Err(taskq::outcome::discard("no such user"))?
    }
    #[task]
    async fn picky_too(attempt: &Attempt) {
        attempt.discard("no such invoice");
    }

    let log = Log::capture();
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Picky::enqueue(&mut db).await.expect("enqueued");
    PickyToo::enqueue(&mut db).await.expect("enqueued");
    drain(worker(&pool).only::<(Picky, PickyToo)>(), &pool).await;
    assert_eq!(states(&pool).await["discarded"], 2);
    let text = log.text();
    assert_eq!(
        text.matches("task discarded by its handler").count(),
        2,
        "{text}"
    );
    assert!(!text.contains("ERROR"), "{text}");
}

#[tokio::test]
async fn a_task_from_sql_has_as_many_attempts_as_its_type_declares() {
    #[task(max_attempts = 1)]
    async fn once() -> Result<(), &'static str> {
        Err("no")
    }

    let (_database, pool) = database().await;
    execute(&pool, "insert into taskq.task (task_type) values ('once')").await;
    drain(worker(&pool).only::<(Once,)>(), &pool).await;
    assert_eq!(states(&pool).await["discarded"], 1);
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_with_its_message() {
    #[task]
    async fn unfinished() {
        todo!("send the invoice");
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Unfinished::enqueue(&mut db)
        .await
        .expect("enqueued")
        .task_id;
    let row = after_one_attempt(worker(&pool).only::<(Unfinished,)>(), &pool, task_id).await;
    assert_eq!((row.state.as_str(), row.attempts), ("waiting", 1));
    // With the place of the `todo!`, for whoever reads the row.
    let (place, what) = row.error().rsplit_once(": not yet").expect("a panic");
    assert!(
        place.starts_with("panicked at tests/it/retry.rs:"),
        "{place}"
    );
    assert_eq!(what, " implemented: send the invoice");
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_stopped_and_has_failed() {
    #[task(timeout = "100ms")]
    async fn sluggish() {
        sleep(Duration::from_secs(3600)).await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Sluggish::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_one_attempt(worker(&pool).only::<(Sluggish,)>(), &pool, task_id).await;
    assert_eq!(row.error(), "timed out after 100ms");
    assert_eq!(row.attempts, 1);
}

#[tokio::test]
async fn a_snooze_uses_no_attempt_and_leaves_no_error() {
    #[task]
    async fn early() -> anyhow::Result<()> {
        Err(taskq::outcome::snooze(Duration::from_secs(600)))?
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Early::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_one_attempt(worker(&pool).only::<(Early,)>(), &pool, task_id).await;
    assert_eq!((row.state.as_str(), row.attempts), ("waiting", 0));
    assert!(row.errors.is_none());
    assert!(row.due_in.is_some_and(|due_in| due_in > 500.0));
}

#[tokio::test]
async fn a_handler_can_choose_when_to_be_retried() {
    #[task]
    async fn patient(attempt: &Attempt) -> Result<(), String> {
        attempt.retry_in(Duration::from_secs(600));
        Err("rate limited".into())
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Patient::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_one_attempt(worker(&pool).only::<(Patient,)>(), &pool, task_id).await;
    assert_eq!((row.attempts, row.error()), (1, "rate limited"));
    assert!(row.due_in.is_some_and(|due_in| due_in > 500.0));
}

#[tokio::test]
async fn a_handler_can_give_its_task_up() {
    #[derive(Debug, thiserror::Error)]
    #[error("charging failed")]
    struct Charge(#[from] taskq::outcome::Decision);

    #[task]
    async fn fruitless() -> Result<(), Charge> {
        Err(taskq::outcome::discard("no such customer"))?
    }
    #[task]
    async fn unwanted() -> anyhow::Result<()> {
        Err(
            anyhow::Error::new(taskq::outcome::cancel("the order was withdrawn"))
                .context("shipping"),
        )
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let fruitless = Fruitless::enqueue(&mut db).await.expect("enqueued").task_id;
    let unwanted = Unwanted::enqueue(&mut db).await.expect("enqueued").task_id;
    drain(worker(&pool).only::<(Fruitless, Unwanted)>(), &pool).await;
    let fruitless = find(&pool, fruitless).await.expect("kept");
    assert_eq!(fruitless.state, "discarded");
    assert_eq!(
        fruitless.error(),
        "charging failed: discarded: no such customer"
    );
    let unwanted = find(&pool, unwanted).await.expect("kept");
    assert_eq!(unwanted.state, "cancelled");
    assert_eq!(
        unwanted.error(),
        "shipping: cancelled: the order was withdrawn"
    );
}

#[tokio::test]
async fn an_error_that_text_in_postgres_cannot_hold_is_recorded_all_the_same() {
    #[task(max_attempts = 1)]
    async fn binary() -> Result<(), String> {
        Err("a zero \0 byte".into())
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Binary::enqueue(&mut db).await.expect("enqueued").task_id;
    drain(worker(&pool).only::<(Binary,)>(), &pool).await;
    assert_eq!(
        find(&pool, task_id).await.expect("kept").error(),
        "a zero \u{fffd} byte"
    );
}

#[tokio::test]
async fn many_outcomes_of_one_batch_each_find_their_place() {
    #[task]
    async fn diverse(done: &AtomicUsize, n: i64) -> anyhow::Result<()> {
        done.fetch_add(1, Ordering::SeqCst);
        match n % 4 {
            0 => Ok(()),
            1 => Err(taskq::outcome::snooze(Duration::from_secs(3600)))?,
            2 => Err(taskq::outcome::discard("even"))?,
            _ => anyhow::bail!("odd"),
        }
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut db, (0..400).map(|n| Diverse { n }))
        .await
        .expect("enqueued");
    let done = Arc::new(AtomicUsize::new(0));
    let worker = taskq::Worker::builder(pool.clone())
        .queue("default", 200)
        .only::<(Diverse,)>()
        .state_arc(done.clone())
        .keep_completed(true);
    while_working(
        worker,
        until("settled", async || {
            done.load(Ordering::SeqCst) == 400
                && one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
        }),
    )
    .await;
    let states = states(&pool).await;
    assert_eq!(
        (states["completed"], states["discarded"], states["waiting"]),
        (100, 100, 200)
    );
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.task where attempts = 1").await,
        100
    );
    assert_eq!(
        one::<i64>(
            &pool,
            "select count(*) from taskq.history where attempts = 1"
        )
        .await,
        100
    );
}

#[tokio::test]
async fn an_error_whose_text_panics_is_a_failed_attempt_too() {
    #[derive(Debug)]
    struct Mute;
    impl std::fmt::Display for Mute {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no words")
        }
    }
    impl std::error::Error for Mute {}

    #[task(payload = MuteTask)]
    async fn mute() -> Result<(), Mute> {
        Err(Mute)
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = MuteTask::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_one_attempt(worker(&pool).only::<(MuteTask,)>(), &pool, task_id).await;
    assert_eq!(row.attempts, 1);
    assert!(row.error().ends_with(": no words"), "{}", row.error());
}
