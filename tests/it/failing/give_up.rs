//! For how long a task is attempted.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, query_as};
use taskq::{Attempt, operate, task};

use crate::support::{database, execute, one, until, while_working, worker};

#[task(give_up_after = "1h", retry = "fixed(40m)")]
async fn push(way: String) -> Result<(), taskq::error::BoxError> {
    match &*way {
        "snooze" => Err(taskq::outcome::snooze(Duration::from_secs(40 * 60)))?,
        "retry_in" => Err(taskq::outcome::retry_in(Duration::from_secs(40 * 60)))?,
        _ => Err("no answer")?,
    }
}

#[task(give_up_after = "1h", retry = "fixed(40m)")]
async fn push_in_tx(_tx: &mut PgConnection) -> Result<(), &'static str> {
    Err("no answer")
}

async fn run_due(pool: &PgPool) {
    let left = "select exists (select from taskq.lease)
            or exists (select from taskq.task where run_at <= now())";
    while_working(worker(pool).only::<(Push, PushInTx)>(), async {
        until("nothing is due", async || !one::<bool>(pool, left).await).await;
    })
    .await;
}

/// The states, with the attempts and the last errors, in the order of enqueueing.
async fn all(pool: &PgPool) -> Vec<(String, i32, Option<String>)> {
    query_as("select state, attempts, errors -> -1 ->> 'error' from taskq.tasks order by task_id")
        .fetch_all(pool)
        .await
        .expect("rows")
}

#[tokio::test]
async fn a_task_whose_next_attempt_would_be_too_late_is_discarded_at_once() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for way in ["error", "retry_in", "snooze"] {
        Push::enqueue(&mut db, way.into()).await.expect("enqueued");
    }
    PushInTx::enqueue(&mut db).await.expect("enqueued");
    run_due(&pool).await;
    for (state, ..) in all(&pool).await {
        assert_eq!(state, "waiting", "the second attempt is within the hour");
    }
    let written = "select count(*) from taskq.task
                   where abs(extract(epoch from (metadata ->> 'task.gives_up')::timestamptz - created_at) - 3600) < 0.001";
    assert_eq!(one::<i64>(&pool, written).await, 4);

    let later = Duration::from_secs(50 * 60);
    taskq::testing::advance(&pool, later).await.expect("later");
    run_due(&pool).await;
    let rows = all(&pool).await;
    let texts = [
        "no answer; given up: the next attempt would be in ",
        "retry requested: for 2400s; given up: the next attempt would be in 2400s, and `give_up_after` ends at ",
        "given up: its handler asked for a snooze in 2400s, and `give_up_after` ends at ",
        "no answer; given up: the next attempt would be in ",
    ];
    for ((state, attempts, error), text) in rows.iter().zip(texts) {
        let error = error.as_deref().unwrap_or_default();
        assert_eq!(state, "discarded");
        assert!(error.starts_with(text), "{error}");
        assert_eq!(*attempts, if error.contains("snooze") { 1 } else { 2 });
    }
}

#[tokio::test]
async fn the_time_begins_when_the_task_is_due_and_anew_when_an_operator_retries_it() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let day = Duration::from_secs(24 * 60 * 60);
    let put_off = Push::enqueue(&mut db, "error".into()).delay(day);
    let task = put_off.await.expect("enqueued");
    execute(
        &pool,
        "insert into taskq.task (task_type, payload, run_at)
         values ('push', '{\"way\": \"error\"}', now() + interval '1 day')",
    )
    .await;
    taskq::testing::advance(&pool, day).await.expect("later");
    run_due(&pool).await;
    for (state, attempts, _) in all(&pool).await {
        assert_eq!((&*state, attempts), ("waiting", 1));
    }
    let hours = Duration::from_secs(3 * 60 * 60);
    taskq::testing::advance(&pool, hours).await.expect("later");
    run_due(&pool).await;
    // An attempt that begins late is made: there was no worker.
    for (state, attempts, _) in all(&pool).await {
        assert_eq!((&*state, attempts), ("discarded", 2));
    }

    operate(&pool).retry(task.task_id).await.expect("retried");
    run_due(&pool).await;
    let (state, attempts, _) = &all(&pool).await[0];
    assert_eq!(
        (&**state, *attempts),
        ("waiting", 1),
        "it has an hour again"
    );
    let shown = operate(&pool)
        .show(task.task_id)
        .await
        .expect("shown")
        .expect("there");
    assert!(shown.metadata.get().contains("task.gives_up"));
}

#[tokio::test]
async fn nothing_is_written_where_nothing_bounds_the_time() {
    #[task]
    async fn tries_on(_attempt: &Attempt) -> Result<(), &'static str> {
        Err("no answer")
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    TriesOn::enqueue(&mut db).await.expect("enqueued");
    while_working(worker(&pool).only::<(TriesOn,)>(), async {
        let waits = "select count(*) = 1 from taskq.task where run_at > now()";
        until("it waits", async || one::<bool>(&pool, waits).await).await;
    })
    .await;
    assert!(one::<bool>(&pool, "select metadata is null from taskq.task").await);
}
