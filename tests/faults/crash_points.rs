//! Each named place in the code at which a worker may die.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::process::Signal;
use taskq::faults::CRASH_POINTS;
use taskq_tests::history::Plan;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::stage::{ONCE, REPEATABLE, Stage, until};

#[tokio::test]
async fn all_is_well_when_a_worker_dies_at_any_crash_point() {
    // A few at once: most of the time is spent waiting for leases to run out.
    // Those of ticks have their own tests: `schedules`.
    let points = CRASH_POINTS
        .iter()
        .filter(|point| !point.ends_with("_tick"));
    for points in Vec::from_iter(points).chunks(6) {
        let deaths = LocalSet::new();
        let dead = Vec::from_iter(points.iter().map(|point| deaths.spawn_local(die_at(point))));
        deaths.await;
        for (point, dead) in points.iter().zip(dead) {
            assert!(dead.await.is_ok(), "{point}: see above");
        }
    }
}

async fn die_at(point: &'static str) {
    let stage = Stage::shared().await;
    let fails_once = |plan| Plan {
        failures: 1,
        ..plan
    };
    for plan in [ONCE, REPEATABLE, fails_once(ONCE), fails_once(REPEATABLE)] {
        stage.enqueue(plan, 5, 10).await;
    }
    // Leases of a process that is dead, for the victim to rescue.
    for _ in 0..2 {
        let mut predecessor = stage
            .worker()
            .set("TASKQ_CRASH_AT", "after_claim")
            .set("CONCURRENCY", 4)
            .start();
        predecessor.ended().await;
    }
    stage.run_leases_out().await;
    if point.ends_with("_heartbeat") {
        // Something must be held for so long that a heartbeat is due.
        stage.enqueue(REPEATABLE, 2, 3_000).await;
    }
    let mut victim = stage.worker().set("TASKQ_CRASH_AT", point);
    if point.ends_with("_reserve") {
        // The victim claims much, from a lane from which somebody else claims too.
        stage.enqueue(REPEATABLE, 400, 1).await;
        stage.add_absent_worker().await;
        victim = victim.set("CONCURRENCY", 400);
    }
    if point == "after_prune" {
        // It prunes as it starts if its types are kept for a time.
        victim = victim.set("KEEP", true);
    }
    let mut victim = victim.start();
    if point == "before_hand_back" {
        stage.enqueue(REPEATABLE, 3, 60_000).await;
        stage.enqueue(ONCE, 3, 60_000).await;
        stage.at_least(15).await;
        sleep(Duration::from_millis(200)).await;
        victim.signal(Signal::INT);
    }
    let status = victim.ended().await;
    assert_eq!(status.signal(), Some(9), "{point}: {status}");
    // The slow ones need not be waited for.
    stage.run_leases_out().await;
    until("rescued", async || {
        let _rescuer = stage.worker().set("QUEUE", "nothing").start();
        sleep(Duration::from_millis(300)).await;
        stage.count("select count(*) from taskq.lease").await == 0
    })
    .await;
    stage
        .execute(r#"update taskq.task set payload = payload || '{"takes_ms": 1}'"#)
        .await;
    let _successor = stage.worker().start();
    stage.ends_well().await;
}
