//! Processes that stand still for longer than their lease.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use crate::kill::enqueue_a_mixture;
use crate::stage::{LEASE, Stage, seed};

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
