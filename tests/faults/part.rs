//! A background loop of a worker that ends by itself, which is a bug: a panic ends it here.

use crate::stage::{ONCE, REPEATABLE, Stage};

#[tokio::test]
async fn a_worker_whose_background_loop_ends_says_so_and_hands_its_tasks_back() {
    let stage = Stage::shared().await;
    stage.enqueue(REPEATABLE, 3, 60_000).await;
    stage.enqueue(ONCE, 3, 60_000).await;
    let mut worker = stage
        .worker()
        // At the start the rescue, the census and how long tasks are kept, and the rescue again after half a lease.
        .set("TASKQ_PANIC_AT", "before_duty:5")
        .set("GRACE_MS", 60_000)
        .start();
    stage.at_least(6).await;
    let status = worker.ended().await;
    assert_eq!(status.code(), Some(1));
    let log = stage.log(0);
    assert!(log.contains("PartEnded"), "{log}");
    let untouched =
        "select count(*) from taskq.task where attempts = 0 and crashes = 0 and run_at <= now()";
    assert_eq!(stage.count(untouched).await, 6, "handed back at once");
    stage
        .execute(r#"update taskq.task set payload = payload || '{"takes_ms": 1}'"#)
        .await;
    let _successor = stage.worker().start();
    stage.ends_well().await;
}
