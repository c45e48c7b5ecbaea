//! A lease is kept while its handlers live, and what nobody starts is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskq::task;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::{LEASE, Other, brief_lease};
use crate::support::{database, drain, execute, one, states, until, while_working, worker};

#[tokio::test]
async fn a_handler_that_runs_longer_than_its_lease_keeps_it() {
    #[task]
    async fn long(runs: &AtomicUsize) {
        runs.fetch_add(1, Ordering::SeqCst);
        sleep(LEASE * 3).await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Long::enqueue(&mut db).await.expect("enqueued");
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = || brief_lease(&pool).only::<(Long,)>().state_arc(runs.clone());
    tokio::join!(drain(worker(), &pool), drain(worker(), &pool));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lease_lasts_at_least_three_heartbeats() {
    #[task]
    async fn held(release: &Notify) {
        release.notified().await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Held::enqueue(&mut db).await.expect("enqueued");
    let release = Arc::new(Notify::new());
    let lease = Duration::from_secs(2);
    let worker = worker(&pool)
        .lease(lease)
        .only::<(Held,)>()
        .state_arc(release.clone());
    while_working(worker, async {
        until("running", async || states(&pool).await.contains_key("running")).await;
        // What is left of the lease, looked at through more than a whole period of it, never
        // falls below what two more heartbeats need.
        for _ in 0..50 {
            let left: f64 = one(
                &pool,
                "select extract(epoch from min(expires_at) - clock_timestamp())::float8 from taskq.lease",
            )
            .await;
            assert!(left > LEASE.as_secs_f64() / 2.0, "{left} s left");
            sleep(LEASE / 40).await;
        }
        release.notify_one();
    })
    .await;
}

#[tokio::test]
async fn a_panic_ends_the_heartbeat_with_the_handler() {
    #[task]
    async fn panicking() {
        panic!("no");
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Panicking::enqueue(&mut db).await.expect("enqueued");
    while_working(brief_lease(&pool).only::<(Panicking,)>(), async {
        until("failed", async || {
            one::<i64>(&pool, "select count(*) from taskq.task where attempts = 1").await == 1
        })
        .await;
        assert_eq!(
            one::<i64>(&pool, "select count(*) from taskq.lease").await,
            0
        );
    })
    .await;
}

#[tokio::test]
async fn each_worker_has_an_identity_of_its_own() {
    let (_database, pool) = database().await;
    let (one, other) = (
        worker(&pool).only::<(Other,)>(),
        worker(&pool).only::<(Other,)>(),
    );
    let one = one.build().await.expect("a worker");
    let other = other.build().await.expect("a worker");
    assert_ne!(one.id(), other.id());
}

#[tokio::test]
async fn tasks_prefetched_behind_a_slow_one_are_handed_back() {
    #[task]
    async fn uneven(release: &Notify, runs: &AtomicUsize, waits: bool) {
        runs.fetch_add(1, Ordering::SeqCst);
        if waits {
            release.notified().await;
        }
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload)
         select 'uneven', jsonb_build_object('waits', n > 3000) from generate_series(1, 3400) as n order by n",
    )
    .await;
    let (release, runs) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let worker = taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(Uneven,)>()
        .state_arc(release.clone())
        .state_arc(runs.clone());
    while_working(worker, async {
        // This worker still holds the task that waits, and nothing that it had prefetched.
        until("handed back", async || {
            let states = states(&pool).await;
            runs.load(Ordering::SeqCst) == 3_001
                && states.get("running") == Some(&1)
                && states.get("waiting") == Some(&399)
        })
        .await;
        let used: i64 = one(
            &pool,
            "select count(*) from taskq.task where attempts > 0 or crashes > 0",
        )
        .await;
        assert_eq!(used, 0);
        release.notify_one();
        until("the next", async || runs.load(Ordering::SeqCst) == 3_002).await;
        execute(&pool, "delete from taskq.task").await;
        release.notify_one();
    })
    .await;
}
