//! Fair turns while workers die: every task runs, whatever its key, and no tenant is forgotten.

use std::time::Duration;

use tokio::time::sleep;

use crate::stage::{Finale, ONCE, REPEATABLE, Stage, seed};

#[tokio::test]
async fn all_tasks_run_in_turns_while_workers_are_killed_and_stopped() {
    seed();
    let stage = Stage::shared().await;
    stage
        .take_turns(&["once", "once_lazily", "repeatable"])
        .await;
    let mut db = stage.pool.acquire().await.expect("a connection");
    for takes_ms in 5..35 {
        for (plan, count) in [(ONCE, 20), (REPEATABLE, 60)] {
            stage
                .enqueue_on(&mut db, plan, count, takes_ms, Finale::Commit)
                .await
                .expect("enqueued");
        }
    }
    drop(db);
    let mut workers = Vec::from_iter((0..4).map(|_| stage.worker().set("KEEP", true).start()));
    for _ in 0..10 {
        sleep(Duration::from_millis(fastrand::u64(50..500))).await;
        let victim = fastrand::usize(..workers.len());
        stage.fault("a worker is killed");
        workers[victim].kill();
        workers[victim] = stage.worker().set("KEEP", true).start();
    }
    stage.ends_well().await;
}
