//! What fails for all: each is charged, and attempted again among half as many.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use taskq::{WorkerBuilder, task};
use tokio::sync::oneshot;

use super::{Sizes, enqueue, errors};
use crate::support::{database, drain, execute, one, states, worker};

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 12)]
struct Row {
    n: i64,
}

const POISON: i64 = 613;

/// Inserts all rows by one statement, which the table refuses where one of them is poisoned.
#[task(retry = "fixed(5ms)")]
async fn insert_rows(
    #[batch(1000, "20ms")] rows: Vec<Row>,
    tx: &mut PgConnection,
    sizes: &Sizes,
) -> sqlx::Result<()> {
    sizes.record(rows.len());
    let numbers: Vec<i64> = rows.iter().map(|row| row.n).collect();
    sqlx::query("insert into effect select * from unnest($1::bigint[])")
        .bind(numbers)
        .execute(tx)
        .await?;
    Ok(())
}

fn inserting(pool: &PgPool, sizes: &Arc<Sizes>) -> WorkerBuilder {
    worker(pool)
        .only::<(InsertRowsHandler,)>()
        .state_arc(sizes.clone())
}

async fn poisoned_table(pool: &PgPool) {
    execute(
        pool,
        "create table effect (n bigint not null primary key check (n <> 613))",
    )
    .await;
}

#[tokio::test]
async fn one_poisoned_payload_of_a_thousand_fails_alone_whichever_worker_has_it() {
    let (_database, pool) = database().await;
    poisoned_table(&pool).await;
    enqueue(&pool, (0..1_000).map(|n| Row { n })).await;
    let (sizes, others) = (Arc::new(Sizes::default()), Arc::new(Sizes::default()));
    let other = inserting(&pool, &others).build().await.expect("it starts");
    let (stop, stopped) = oneshot::channel::<()>();
    let other = other.run_until(async {
        stopped.await.ok();
    });
    let drained = async {
        drain(inserting(&pool, &sizes), &pool).await;
        drop(stop);
    };
    let ((), ended) = tokio::join!(drained, other);
    ended.expect("it stops in order");

    let left: Vec<(i64, String, i32)> =
        sqlx::query_as("select (payload ->> 'n')::bigint, state, attempts from taskq.tasks")
            .fetch_all(&pool)
            .await
            .expect("the view is readable");
    assert_eq!(left, [(POISON, "discarded".to_owned(), 12)]);
    let (all, distinct) = crate::support::count_effects(&pool).await;
    assert_eq!((all, distinct), (999, 999));
    let mut sizes = [sizes.all(), others.all()].concat();
    sizes.sort_unstable();
    assert_eq!(sizes[0], 1, "it was alone at last");
    // No task is attempted among more than half as many as before.
    assert!(
        sizes.iter().filter(|size| **size > 500).count() <= 1,
        "{sizes:?}"
    );
}

#[tokio::test]
async fn the_last_attempt_is_made_alone_so_that_nobody_is_discarded_for_anothers_sake() {
    let (_database, pool) = database().await;
    poisoned_table(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    for n in 600..640 {
        let row = taskq::enqueue(&mut db, Row { n });
        row.max_attempts(2).await.expect("enqueued");
    }
    let sizes = Arc::new(Sizes::default());
    drain(inserting(&pool, &sizes), &pool).await;
    assert_eq!(states(&pool).await.get("discarded"), Some(&1));
    assert_eq!(one::<i64>(&pool, "select count(*) from effect").await, 39);
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 2)]
struct Ends {
    n: i64,
}

#[task(retry = "fixed(1ms)", timeout = "300ms")]
async fn ends_badly(#[batch(4, "20ms")] all: Vec<Ends>, sizes: &Sizes) {
    sizes.record(all.len());
    match all.iter().map(|it| it.n).max() {
        Some(10) => panic!("out of paper"),
        Some(20) => std::future::pending().await,
        _ => {}
    }
}

#[tokio::test]
async fn a_panic_and_a_timeout_charge_all_and_then_only_their_cause() {
    for (cause, said) in [(10, "out of paper"), (20, "timed out")] {
        let (_database, pool) = database().await;
        enqueue(&pool, [1, 2, 3, cause].map(|n| Ends { n })).await;
        let sizes = Arc::new(Sizes::default());
        let ending = worker(&pool)
            .only::<(EndsBadlyHandler,)>()
            .state_arc(sizes.clone());
        drain(ending, &pool).await;
        let left = errors(&pool).await;
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].0, cause.to_string());
        assert_eq!(left[0].1.matches(said).count(), 2, "{left:?}");
        assert_eq!(sizes.all(), [4, 1, 1, 1, 1]);
    }
}

#[tokio::test]
async fn as_many_outcomes_as_payloads_are_asked_for() {
    #[derive(Serialize, Deserialize, taskq::Payload)]
    #[taskq(max_attempts = 1)]
    struct Short {
        n: i64,
    }
    #[task]
    async fn short(#[batch(5, "1s")] all: Vec<Short>) -> Vec<Result<(), String>> {
        all.iter().skip(2).map(|_| Ok(())).collect()
    }
    let (_database, pool) = database().await;
    enqueue(&pool, (0..5).map(|n| Short { n })).await;
    drain(worker(&pool).only::<(ShortHandler,)>(), &pool).await;
    let said = "the handler was given 5 payloads and returned 3 outcomes: return one for each payload, in their order";
    let errors = errors(&pool).await;
    assert_eq!(errors.len(), 5, "no silent success");
    assert!(errors.iter().all(|(_, error)| error == said), "{errors:?}");
}

#[tokio::test]
async fn what_the_handler_asks_for_all_halves_nothing() {
    #[derive(Serialize, Deserialize, taskq::Payload)]
    struct Asked {
        n: i64,
    }
    #[task]
    async fn asks(
        #[batch(4, "1s")] all: Vec<Asked>,
        batch: &taskq::Batch,
        sizes: &Sizes,
    ) -> anyhow::Result<()> {
        assert!(all[0].n >= 0);
        sizes.record(all.len());
        match batch[0].number() {
            1 => Err(taskq::outcome::retry_in(std::time::Duration::ZERO).into()),
            _ => Ok(()),
        }
    }
    let (_database, pool) = database().await;
    enqueue(&pool, (0..4).map(|n| Asked { n })).await;
    let sizes = Arc::new(Sizes::default());
    let asking = worker(&pool)
        .only::<(AsksHandler,)>()
        .state_arc(sizes.clone());
    drain(asking, &pool).await;
    assert_eq!(sizes.all(), [4, 4]);
}

#[tokio::test]
async fn an_operator_who_retries_what_failed_has_batches_as_large_as_before() {
    let (_database, pool) = database().await;
    enqueue(&pool, [1, 2, 3, 10].map(|n| Ends { n })).await;
    let sizes = Arc::new(Sizes::default());
    let ending = || {
        worker(&pool)
            .only::<(EndsBadlyHandler,)>()
            .state_arc(sizes.clone())
    };
    drain(ending(), &pool).await;
    execute(
        &pool,
        "update taskq.dead set payload = '{\"n\": 5}'; select taskq.retry(task_id) from taskq.dead",
    )
    .await;
    let most: Option<i64> = one(
        &pool,
        "select (metadata ->> 'task.batch')::bigint from taskq.task",
    )
    .await;
    assert_eq!(most, None);
    drain(ending(), &pool).await;
    assert!(states(&pool).await.is_empty());
}
