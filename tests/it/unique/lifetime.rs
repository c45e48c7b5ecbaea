//! For how long a task has its key.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::Connection;
use taskq::EnqueueOutcome;
use taskq::unique::{Unique, Until};

use super::{Digest, Fails, Gate, KEYS, Sum, WAITING, by_user, enqueue};
use crate::support::{database, drain, execute, one, until, while_working, worker};

#[tokio::test]
async fn a_rollback_gives_the_key_back() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut tx = db.begin().await.expect("a transaction");
    let first = Sum::enqueue(&mut tx, 1)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    let again = Sum::enqueue(&mut tx, 1)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    assert_eq!(
        (again.task_id, again.outcome),
        (first.task_id, EnqueueOutcome::Existing)
    );
    tx.rollback().await.expect("rolled back");
    let next = Sum::enqueue(&mut db, 1)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    assert_eq!(next.outcome, EnqueueOutcome::Created);
    assert_eq!(one::<i64>(&pool, WAITING).await, 1);
}

#[tokio::test]
async fn a_task_has_its_key_while_it_runs_and_between_attempts_and_no_longer() {
    use EnqueueOutcome::{Created, Existing};
    let (_database, pool) = database().await;
    let gate = Gate::closed();
    let (first, _) = enqueue(&pool, by_user(), 1, "a").await;
    let mut db = pool.acquire().await.expect("a connection");
    let failing = Fails::enqueue(&mut db, 1)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    while_working(
        worker(&pool)
            .only::<(Digest, Fails)>()
            .state_arc(gate.clone()),
        async {
            gate.reached().await;
            assert_eq!(enqueue(&pool, by_user(), 1, "b").await, (first, Existing));
            let started = by_user().until(Until::Started);
            // It is the task that has the key whose word counts.
            assert_eq!(enqueue(&pool, started, 1, "b").await, (first, Existing));
            until("it failed", async || {
                one::<i64>(&pool, "select count(*) from taskq.task where attempts = 1").await == 1
            })
            .await;
            let again = Fails::enqueue(&mut db, 1)
                .unique(Unique::new())
                .await
                .expect("enqueued");
            assert_eq!((again.task_id, again.outcome), (failing.task_id, Existing));
            gate.opens.add_permits(1);
            until("it ended", async || {
                one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
            })
            .await;
            let (second, outcome) = enqueue(&pool, by_user(), 1, "c").await;
            assert_eq!((outcome, second > first), (Created, true));
            gate.opens.add_permits(1);
        },
    )
    .await;
}

#[tokio::test]
async fn a_key_until_the_start_is_free_while_its_task_runs() {
    use EnqueueOutcome::{Created, Existing};
    let (_database, pool) = database().await;
    let gate = Gate::closed();
    let started = by_user().until(Until::Started);
    let (first, _) = enqueue(&pool, started, 1, "a").await;
    assert_eq!(enqueue(&pool, started, 1, "b").await, (first, Existing));
    while_working(
        worker(&pool).only::<(Digest,)>().state_arc(gate.clone()),
        async {
            gate.reached().await;
            let (second, outcome) = enqueue(&pool, started, 1, "c").await;
            assert_eq!(outcome, Created);
            assert!(second > first);
            gate.opens.add_permits(2);
            until("both ran", async || one::<i64>(&pool, WAITING).await == 0).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_key_for_a_time_outlives_its_task_and_ends() {
    use EnqueueOutcome::{Created, Existing};
    let (_database, pool) = database().await;
    let within = Unique::new().until(Until::Within(Duration::from_secs(3_600)));
    let total = Arc::new(AtomicI64::new(0));
    let mut db = pool.acquire().await.expect("a connection");
    let first = Sum::enqueue(&mut db, 1)
        .unique(within)
        .await
        .expect("enqueued");
    drain(
        worker(&pool).only::<(Sum,)>().state_arc(total.clone()),
        &pool,
    )
    .await;
    let again = Sum::enqueue(&mut db, 1)
        .unique(within)
        .await
        .expect("enqueued");
    assert_eq!((again.task_id, again.outcome), (first.task_id, Existing));
    execute(
        &pool,
        "update taskq.unique_key set ends_at = ends_at - interval '1 hour' + interval '1 minute'",
    )
    .await;
    let again = Sum::enqueue(&mut db, 1)
        .unique(within)
        .await
        .expect("enqueued");
    assert_eq!(again.outcome, Existing);
    execute(
        &pool,
        "update taskq.unique_key set ends_at = ends_at - interval '1 minute'",
    )
    .await;
    let later = Sum::enqueue(&mut db, 1)
        .unique(within)
        .await
        .expect("enqueued");
    assert_eq!(later.outcome, Created);
}

#[tokio::test]
async fn keys_of_ended_tasks_are_deleted_and_those_of_living_ones_are_not() {
    let (_database, pool) = database().await;
    let gate = Gate::closed();
    let total = Arc::new(AtomicI64::new(0));
    let mut db = pool.acquire().await.expect("a connection");
    for n in 0..10 {
        Sum::enqueue(&mut db, n)
            .unique(Unique::new())
            .await
            .expect("enqueued");
    }
    let within = Unique::new().until(Until::Within(Duration::from_secs(3_600)));
    Sum::enqueue(&mut db, 10)
        .unique(within)
        .await
        .expect("enqueued");
    enqueue(&pool, by_user(), 1, "a").await;
    let worker = worker(&pool)
        .only::<(Sum, Digest)>()
        .state_arc(gate.clone())
        .state_arc(total.clone());
    while_working(worker, async {
        gate.reached().await;
        until("they ran", async || total.load(Ordering::SeqCst) == 55).await;
        let later = Sum::enqueue(&mut db, 99)
            .unique(Unique::new())
            .delay(Duration::from_secs(3_600));
        later.await.expect("enqueued");
        until("all have ended", async || {
            one::<i64>(
                &pool,
                "select coalesce(sum(cardinality(task_ids) - cardinality(done)), 0)::bigint from taskq.lease",
            )
            .await
                == 1
        })
        .await;
        // The worker may do so too.
        until("they are deleted", async || {
            assert!(one::<i64>(&pool, "select taskq.prune_keys(4)").await <= 4);
            one::<i64>(&pool, KEYS).await <= 3
        })
        .await;
        assert_eq!(one::<i64>(&pool, "select taskq.prune_keys(100)").await, 0);
        let left = one::<i64>(&pool, KEYS).await;
        assert_eq!(left, 3, "one for a time, one that runs, one that waits");
        gate.opens.add_permits(1);
    })
    .await;
}
