//! Connections that hang: packets are dropped, in both directions or in one, and nobody is told.

use std::time::Duration;

use taskq_tests::proxy::{Proxy, Weather};
use tokio::time::sleep;

use crate::kill::enqueue_a_mixture;
use crate::stage::{LEASE, REPEATABLE, Stage, seed};

#[tokio::test]
async fn all_is_well_while_connections_hang_behind_a_proxy() {
    seed();
    let stage = Stage::own().await;
    let proxy = Proxy::start(stage.socket()).await.expect("a proxy");
    enqueue_a_mixture(&stage, 60, 30).await;
    let _cut_off = Vec::from_iter((0..2).map(|_| {
        let url = stage.url_through(&proxy);
        stage.worker().set("DATABASE_URL", url).start()
    }));
    let _other = stage.worker().start();
    for weather in [
        Weather::Hanging,
        Weather::Slow(Duration::from_millis(20)),
        Weather::AnswersLost,
        Weather::Hanging,
    ] {
        sleep(Duration::from_millis(fastrand::u64(100..800))).await;
        stage.fault(format!("{weather:?}"));
        proxy.set(weather);
        sleep(Duration::from_millis(fastrand::u64(500..3_000))).await;
        proxy.set(Weather::Fair);
        if weather == Weather::AnswersLost || fastrand::bool() {
            proxy.cut();
        }
    }
    stage.ends_well().await;
}

/// An outcome is being written for a part of a lease, and is not answered: the rest of the lease
/// cannot be extended either, so its handlers must stop before others start them.
#[tokio::test]
async fn handlers_stop_before_their_lease_ends_though_the_write_of_an_outcome_hangs() {
    let stage = Stage::own().await;
    let proxy = Proxy::start(stage.socket()).await.expect("a proxy");
    stage.enqueue(REPEATABLE, 1, 500).await;
    stage.enqueue(REPEATABLE, 1, 8_000).await;
    let _cut_off = stage
        .worker()
        .set("DATABASE_URL", stage.url_through(&proxy))
        .set("CONCURRENCY", 2)
        .start();
    stage.at_least(2).await;
    let _other = stage.worker().start();
    stage.fault("hanging");
    proxy.set(Weather::Hanging);
    sleep(LEASE * 4).await;
    proxy.set(Weather::Fair);
    stage.ends_well().await;
}
