//! Processes that stand still for longer than their lease.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use crate::kill::enqueue_a_mixture;
use crate::stage::{LEASE, ONCE, REPEATABLE, Stage, seed, until};

#[tokio::test]
async fn all_is_well_while_workers_are_paused_longer_than_their_lease() {
    seed();
    let stage = Stage::shared().await;
    enqueue_a_mixture(&stage, 60, 50).await;
    let workers = Vec::from_iter((0..3).map(|_| stage.worker().start()));
    for _ in 0..3 {
        sleep(Duration::from_millis(fastrand::u64(50..500))).await;
        let victim = &workers[fastrand::usize(..workers.len())];
        stage.fault("a worker is paused");
        victim.signal(Signal::STOP);
        sleep(LEASE + Duration::from_millis(fastrand::u64(0..1_500))).await;
        victim.signal(Signal::CONT);
    }
    stage.ends_well().await;
}

/// A laptop whose lid is closed, again and again, with one long task.
#[tokio::test]
async fn a_worker_that_stood_still_is_not_charged_for_its_own_lease() {
    let stage = Stage::shared().await;
    let worker = stage.worker().start();
    stage.enqueue(REPEATABLE, 1, 5_000).await;
    stage.enqueue(ONCE, 1, 5_000).await;
    stage.at_least(2).await;
    for _ in 0..5 {
        stage.fault("the worker is paused");
        worker.signal(Signal::STOP);
        sleep(LEASE + Duration::from_millis(500)).await;
        worker.signal(Signal::CONT);
        sleep(Duration::from_millis(700)).await;
    }
    let charged = "select count(*) from taskq.tasks where crashes > 0 or attempts > 0";
    until("over", async || {
        assert_eq!(stage.count(charged).await, 0);
        stage.count("select count(*) from taskq.tasks").await == 0
    })
    .await;
    stage.ends_well().await;
}
