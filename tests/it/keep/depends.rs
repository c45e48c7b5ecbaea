//! What somebody still needs is not pruned.

use std::time::Duration;

use sqlx::query;
use taskq::task;
use taskq::testing::drain;

use super::{ended, left, of};
use crate::support::{database, execute, one, worker};

#[task(sequence = order_id, max_attempts = 1, keep(discarded = "1d"))]
async fn ships(order_id: i64, fails: bool) -> Result<(), &'static str> {
    let _ = order_id;
    if fails { Err("lost") } else { Ok(()) }
}

#[task(keep(discarded = "1d"))]
async fn charges() {}

#[tokio::test]
async fn a_dead_task_at_which_a_sequence_waits_stays_until_somebody_decides() {
    let (_database, pool) = database().await;
    let worker = || worker(&pool).only::<(Ships,)>();
    let mut db = pool.acquire().await.expect("a connection");
    let dead = Ships::enqueue(&mut db, 1, true).await.expect("enqueued");
    Ships::enqueue(&mut db, 2, true).await.expect("enqueued");
    drain(worker()).allow_failures().await.expect("drained");
    Ships::enqueue(&mut db, 1, false).await.expect("enqueued");
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    taskq::testing::advance(&pool, week).await.expect("moved");
    drain(worker()).await.expect("drained");
    let stays = of([("ships", "discarded", 2), ("ships", "waiting", 1)]);
    assert_eq!(left(&pool).await, stays);
    let skip = query("select taskq.skip_dead($1, 1)").bind(dead.task_id);
    skip.execute(&pool).await.expect("skipped");
    drain(worker()).await.expect("drained");
    assert_eq!(left(&pool).await, of([("ships", "discarded", 1)]));
}

#[tokio::test]
async fn a_dead_task_in_the_list_of_a_bulk_operation_stays_until_that_is_done() {
    let (_database, pool) = database().await;
    ended(&pool, "charges", "discarded", "3 days", 4).await;
    let operator = taskq::operate(&pool);
    let filter = "state:dead type:charges".parse().expect("a filter");
    let frozen = operator.retry_all(&filter).await.expect("frozen");
    ended(&pool, "charges", "discarded", "2 days", 1).await;
    drain(worker(&pool).only::<(Charges,)>())
        .await
        .expect("drained");
    assert_eq!(left(&pool).await, of([("charges", "discarded", 4)]));
    query("select taskq.drop_bulk($1)")
        .bind(frozen.bulk_id)
        .execute(&pool)
        .await
        .expect("dropped");
    drain(worker(&pool).only::<(Charges,)>())
        .await
        .expect("drained");
    assert_eq!(left(&pool).await, of([]));
}

#[tokio::test]
async fn a_dead_task_that_somebody_is_retrying_is_skipped() {
    let (_database, pool) = database().await;
    ended(&pool, "charges", "discarded", "3 days", 3).await;
    let first: i64 = one(&pool, "select min(task_id) from taskq.dead").await;
    let mut retrying = pool.begin().await.expect("a transaction");
    let retry = query("select taskq.retry($1)").bind(first);
    retry.execute(&mut *retrying).await.expect("retried");
    let prune = taskq::operate(&pool);
    execute(&pool, "select taskq.keep('charges', 'discarded', '1d')").await;
    assert_eq!(prune.prune().await.expect("pruned"), 2);
    retrying.commit().await.expect("committed");
    assert_eq!(prune.prune().await.expect("pruned"), 0);
    assert_eq!(left(&pool).await, of([("charges", "waiting", 1)]));
}
