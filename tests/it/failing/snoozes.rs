//! How often a task may put itself off.

use std::time::Duration;

use serde_json::Value;
use sqlx::{PgConnection, PgPool, query_as, query_scalar};
use taskq::{Attempt, operate, task};

use crate::support::{database, drain, execute, one, states, until, while_working, worker};

/// What `max_snoozes` leaves behind: attempts, the counted snoozes, the errors and the size of the row.
async fn stored(pool: &PgPool) -> (i32, Option<i64>, i64, i32) {
    query_as(
        "select attempts, (metadata ->> 'task.snoozes')::bigint,
                coalesce(jsonb_array_length(errors), 0)::bigint, pg_column_size(task.*)
         from taskq.task",
    )
    .fetch_one(pool)
    .await
    .expect("it waits")
}

#[tokio::test]
async fn a_snooze_uses_no_attempt_and_ten_thousand_do_not_grow_the_row() {
    #[task(max_snoozes = 20_000)]
    async fn naps(attempt: &Attempt) {
        let enough = match attempt.snoozes() {
            0..10 => 10,
            10..510 => 510,
            _ => 10_000,
        };
        let rests = attempt.snoozes() + 1 == enough;
        attempt.snooze(Duration::from_secs(if rests { 3600 } else { 0 }));
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Naps::enqueue(&mut db).await.expect("enqueued");
    let mut sizes = Vec::new();
    let rest = "select count(*) = 1 from taskq.task where run_at > now() + interval '30 minutes'";
    for snoozes in [10, 510, 10_000] {
        while_working(worker(&pool).only::<(Naps,)>(), async {
            until("it rests", async || one::<bool>(&pool, rest).await).await;
        })
        .await;
        let (attempts, counted, errors, size) = stored(&pool).await;
        assert_eq!((attempts, counted, errors), (0, Some(snoozes), 0));
        sizes.push(size);
        // The handler does nothing that differs between these, so they are not all made.
        let near = "update taskq.task set run_at = now(), metadata = case
                        when metadata -> 'task.snoozes' = '510' then '{\"task.snoozes\": 9990}' else metadata end";
        execute(&pool, near).await;
    }
    let grown = sizes[2] - sizes[0];
    assert!((-8..=8).contains(&grown), "{sizes:?}");
    let shown = operate(&pool)
        .show(task.task_id)
        .await
        .expect("shown")
        .expect("there");
    let metadata: Value = serde_json::from_str(shown.metadata.get()).expect("JSON");
    assert_eq!(metadata["task.snoozes"], 10_000);
}

#[task(max_snoozes = 3)]
async fn dawdles(_attempt: &Attempt) -> Result<(), taskq::error::BoxError> {
    Err(taskq::outcome::snooze(Duration::ZERO))?
}

#[task(max_snoozes = 3, max_attempts = 2)]
async fn dawdles_in_tx(tx: &mut PgConnection) -> Result<(), taskq::error::BoxError> {
    sqlx::query("insert into effect values (1)")
        .execute(tx)
        .await?;
    Err(taskq::outcome::snooze(Duration::ZERO))?
}

#[tokio::test]
async fn one_snooze_too_many_discards_the_task_and_says_so() {
    let (_database, pool) = database().await;
    crate::support::effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    Dawdles::enqueue(&mut db).await.expect("enqueued");
    DawdlesInTx::enqueue(&mut db).await.expect("enqueued");
    let work = || worker(&pool).only::<(Dawdles, DawdlesInTx)>();
    let dead =
        "select state || ', ' || attempts || ': ' || jsonb_path_query_array(errors, '$[*].error')
                from taskq.dead order by task_type";
    let said = "given up: it was snoozed 3 times, and `max_snoozes` allows 3";
    drain(work(), &pool).await;
    let rows: Vec<String> = query_scalar(dead).fetch_all(&pool).await.expect("rows");
    assert_eq!(
        rows,
        [
            format!("discarded, 1: [\"{said}\"]"),
            format!("discarded, 1: [\"{said}\"]")
        ]
    );
    assert_eq!(one::<i64>(&pool, "select count(*) from effect").await, 0);

    // An operator's retry begins the count anew.
    execute(&pool, "select taskq.retry(task_id) from taskq.dead").await;
    let marked = "select count(*) from taskq.task where metadata is not null";
    assert_eq!(one::<i64>(&pool, marked).await, 0);
    drain(work(), &pool).await;
    assert_eq!(states(&pool).await, [("discarded".to_owned(), 2)].into());
    let errors = "select sum(jsonb_array_length(errors)) from taskq.dead";
    assert_eq!(one::<i64>(&pool, errors).await, 4);
}

#[tokio::test]
async fn nothing_is_counted_where_nothing_bounds_the_snoozes() {
    #[task]
    async fn naps_on(attempt: &Attempt) {
        assert_eq!(attempt.snoozes(), 0);
        attempt.snooze(Duration::from_secs(3600));
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    NapsOn::enqueue(&mut db).await.expect("enqueued");
    while_working(worker(&pool).only::<(NapsOn,)>(), async {
        let rests = "select count(*) = 1 from taskq.task where run_at > now()";
        until("it rests", async || one::<bool>(&pool, rests).await).await;
    })
    .await;
    assert!(one::<bool>(&pool, "select metadata is null from taskq.task").await);
}
