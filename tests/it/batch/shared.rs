//! Batches beside other tasks, and within limits: a batch takes one slot, and each of its tasks counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use taskq::{Worker, task};

use super::{Counted, CountsHandler, Sizes, enqueue};
use crate::support::{database, drain, effects, one, states, worker};

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(concurrency = 3)]
struct Limited {
    n: i64,
}

#[task]
async fn limited(#[batch(10, "5ms")] all: Vec<Limited>, sizes: &Sizes, pool: &PgPool) {
    assert!(all.iter().all(|it| it.n >= 0));
    let running =
        "select count(*) from taskq.tasks where state = 'running' and task_type = 'limited'";
    assert!(one::<i64>(pool, running).await <= 3);
    sizes.record(all.len());
}

#[tokio::test]
async fn a_limit_counts_tasks_and_not_batches() {
    let (_database, pool) = database().await;
    enqueue(&pool, (0..12).map(|n| Limited { n })).await;
    let sizes = Arc::new(Sizes::default());
    let limited = worker(&pool)
        .only::<(LimitedHandler,)>()
        .state(pool.clone())
        .state_arc(sizes.clone());
    drain(limited, &pool).await;
    let sizes = sizes.all();
    assert_eq!(sizes.iter().sum::<usize>(), 12);
    assert!(sizes.iter().all(|size| *size <= 3), "{sizes:?}");
    assert!(sizes.contains(&3), "{sizes:?}");
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(sequence = order)]
struct Ordered {
    order: i64,
    step: i64,
}

#[task]
async fn in_steps(
    #[batch(10, "5ms")] steps: Vec<Ordered>,
    tx: &mut PgConnection,
) -> sqlx::Result<()> {
    for Ordered { order, step } in steps {
        let insert = sqlx::query("insert into effect values ($1)").bind(order * 100 + step);
        insert.execute(&mut *tx).await?;
    }
    Ok(())
}

#[tokio::test]
async fn of_each_sequence_one_task_is_in_a_batch() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    sqlx::raw_sql("alter table effect add column at bigint generated always as identity")
        .execute(&pool)
        .await
        .expect("altered");
    let steps = (0..4).flat_map(|step| (0..5).map(move |order| Ordered { order, step }));
    enqueue(&pool, steps).await;
    drain(worker(&pool).only::<(InStepsHandler,)>(), &pool).await;
    let unordered = "select count(*) from effect one join effect other on one.n / 100 = other.n / 100 and one.n < other.n and one.at > other.at";
    assert_eq!(one::<i64>(&pool, unordered).await, 0);
    assert_eq!(one::<i64>(&pool, "select count(*) from effect").await, 20);
}

#[task]
async fn lone(ran: &AtomicUsize, n: i64) {
    let _ = n;
    ran.fetch_add(1, Ordering::SeqCst);
}

#[tokio::test]
async fn batches_and_other_tasks_of_a_queue_do_not_keep_each_other_waiting() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let lone = (0..3_000).map(|n| Lone { n });
    taskq::enqueue_many(&mut db, lone).await.expect("enqueued");
    enqueue(&pool, (0..900).map(|n| Counted { n })).await;
    let (ran, sizes) = (Arc::new(AtomicUsize::new(0)), Arc::new(Sizes::default()));
    let both = Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(CountsHandler, Lone)>()
        .state_arc(ran.clone())
        .state_arc(sizes.clone());
    drain(both, &pool).await;
    assert!(states(&pool).await.is_empty());
    assert_eq!(ran.load(Ordering::SeqCst), 3_000);
    assert_eq!(sizes.all().iter().sum::<usize>(), 900);
}
