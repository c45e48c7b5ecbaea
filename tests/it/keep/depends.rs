//! What somebody still needs is not pruned.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool, query};
use taskq::testing::{advance, drain};
use taskq::{Group, task};

use super::{ended, left, of, pruned};
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

#[task(keep = "1h")]
async fn counts(n: i64) -> Result<i64, String> {
    Ok(n)
}

#[task]
async fn adds_up() {}

/// Puts finished members of a group there, one of each outcome, that ended so long ago.
async fn members(pool: &PgPool, group: Group, ago: &str) {
    for outcome in ["completed", "discarded"] {
        ended(pool, "counts", outcome, ago, 1).await;
    }
    for table in ["history", "dead"] {
        let join = format!(
            "with changed as (
                 update taskq.{table} set metadata = jsonb_build_object('task.group', $1) where metadata is null
                 returning task_id
             )
             insert into taskq.group_member (group_id, task_id, outcome) select $1, task_id, 'completed' from changed"
        );
        let join = query(AssertSqlSafe(join)).bind(group.group_id());
        join.execute(pool).await.expect("joined");
    }
}

#[tokio::test]
async fn a_member_of_a_group_stays_until_that_has_ended_and_its_time_counts_from_then() {
    let (_database, pool) = database().await;
    let hours = |hours: u64| advance(&pool, Duration::from_secs(hours * 60 * 60));
    let worker = || worker(&pool).only::<(Counts, AddsUp)>();
    let mut db = pool.acquire().await.expect("a connection");
    let group = Group::begin(&mut db, AddsUp {}).await.expect("begun");
    let early = Counts::enqueue(&mut db, 3).group(group);
    early.await.expect("enqueued");
    let late = Counts::enqueue(&mut db, 4).group(group);
    late.delay(Duration::from_secs(30 * 60 * 60))
        .await
        .expect("enqueued");
    group.seal(&mut db).await.expect("sealed");
    // Of the same type, and of no group.
    Counts::enqueue(&mut db, 5).await.expect("enqueued");
    execute(&pool, "select taskq.keep('counts', 'discarded', '1h')").await;
    execute(
        &pool,
        "update taskq.task_group set created_at = now() - interval '2 days'",
    )
    .await;
    members(&pool, group, "3 hours").await;
    drain(worker()).await.expect("drained");
    let spared = of([
        ("counts", "completed", 3),
        ("counts", "discarded", 1),
        ("counts", "waiting", 1),
    ]);
    assert_eq!(left(&pool).await, spared);
    assert_eq!(pruned(&pool).await, of([]));

    for _ in 0..2 {
        hours(12).await.expect("moved");
        drain(worker()).await.expect("drained");
    }
    let spared = of([
        ("counts", "completed", 2),
        ("counts", "discarded", 1),
        ("counts", "waiting", 1),
    ]);
    assert_eq!(left(&pool).await, spared, "that of no group is gone");
    assert_eq!(prunable(&pool).await, 0, "and nothing is said to go");

    // The last one runs, and the group ends.
    hours(7).await.expect("moved");
    drain(worker()).await.expect("drained");
    let pruned = taskq::operate(&pool).prune().await;
    assert_eq!(pruned.expect("pruned"), 0);
    let ended = of([("counts", "completed", 3), ("counts", "discarded", 1)]);
    assert_eq!(left(&pool).await, ended, "the group has ended just now");

    execute(
        &pool,
        "update taskq.task_group set ended_at = ended_at - interval '61 minutes'",
    )
    .await;
    assert_eq!(prunable(&pool).await, 3);
    assert_eq!(taskq::operate(&pool).prune().await.expect("pruned"), 3);
    assert_eq!(left(&pool).await, of([("counts", "completed", 1)]));
    hours(1).await.expect("moved");
    drain(worker()).await.expect("drained");
    assert_eq!(left(&pool).await, of([]));
    let listed: i64 = one(&pool, "select count(*) from taskq.keep_spared").await;
    assert_eq!(listed, 0, "nothing is left of it");
}

async fn prunable(pool: &PgPool) -> i64 {
    let prunable = taskq::operate(pool).prunable().await.expect("read");
    prunable.iter().map(|it| it.tasks as i64).sum()
}

/// What is kept for as long as the days are goes with its day, and the day waits for the group.
#[tokio::test]
async fn a_day_in_which_a_member_of_an_open_group_is_stays() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let group = Group::begin(&mut db, AddsUp {}).await.expect("begun");
    execute(
        &pool,
        "update taskq.task_group set created_at = now() - interval '30 days'",
    )
    .await;
    ended(&pool, "unsaid", "completed", "12 days", 2).await;
    let join = "update taskq.history set metadata = jsonb_build_object('task.group', 1)
                where task_id = (select min(task_id) from taskq.history)";
    execute(&pool, join).await;
    ended(&pool, "unsaid", "completed", "11 days", 2).await;
    ended(&pool, "unsaid", "completed", "10 days", 2).await;
    let prune = async || taskq::operate(&pool).prune().await.expect("pruned");
    prune().await;
    assert_eq!(left(&pool).await, of([("unsaid", "completed", 2)]));
    group.seal(&mut db).await.expect("sealed");
    prune().await;
    assert_eq!(
        left(&pool).await,
        of([("adds_up", "waiting", 1), ("unsaid", "completed", 2)])
    );
    execute(
        &pool,
        "update taskq.task_group set ended_at = ended_at - interval '8 days'",
    )
    .await;
    prune().await;
    assert_eq!(left(&pool).await, of([("adds_up", "waiting", 1)]));
}
