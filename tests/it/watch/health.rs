//! Whether a worker is alive, and whether it is ready.

use std::time::Duration;

use taskq::error::NotReady;
use taskq::testing::Cluster;
use taskq::{Worker, task};
use tokio::sync::oneshot;

use super::{Watched, get};
use crate::support::{database, execute, until, worker};

#[task]
async fn greet() {}

#[tokio::test]
async fn a_worker_is_ready_from_its_start_until_it_is_asked_to_stop() {
    let (_database, pool) = database().await;
    let worker = worker(&pool).only::<(Greet,)>().build().await;
    let worker = worker.expect("a worker");
    let health = worker.health();
    assert_eq!(health.ready().await, Err(NotReady::NotRunning));
    assert!(health.is_live(), "nothing of it is stuck");
    let (stop, stopped) = oneshot::channel::<()>();
    let test = async {
        until("ready", async || health.ready().await.is_ok()).await;
        assert!(health.is_live());
        assert!(health.silence() < Duration::from_secs(30));
        drop(stop);
    };
    let run = worker.run_until(async {
        stopped.await.ok();
    });
    let ((), ended) = tokio::join!(test, run);
    ended.expect("stopped in order");
    assert_eq!(health.ready().await, Err(NotReady::NotRunning));
    assert!(health.is_live());
    assert_eq!(health.silence(), Duration::ZERO);
}

#[tokio::test]
async fn a_worker_whose_tables_are_of_another_version_is_not_ready() {
    let (_database, pool) = database().await;
    let worker = worker(&pool).only::<(Greet,)>().build().await;
    let worker = worker.expect("a worker");
    let health = worker.health();
    let (stop, stopped) = oneshot::channel::<()>();
    let test = async {
        until("ready", async || health.ready().await.is_ok()).await;
        execute(
            &pool,
            "insert into taskq.migration (version, name, oldest_binary) values (999, 'later', 999)",
        )
        .await;
        until("not ready", async || health.ready().await.is_err()).await;
        match health.ready().await {
            Err(NotReady::Tables { problem }) => assert!(problem.contains("999"), "{problem}"),
            other => panic!("{other:?}"),
        }
        drop(stop);
    };
    let run = worker.run_until(async {
        stopped.await.ok();
    });
    let ((), ended) = tokio::join!(test, run);
    ended.expect("stopped in order");
}

/// A restart of the worker would mend nothing.
#[tokio::test]
async fn a_worker_whose_database_is_gone_is_alive_and_not_ready() {
    let cluster = Cluster::private_on_disk().await.expect("a server");
    let pool = cluster.pool("postgres", 20).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    let worker = Worker::builder(pool)
        .queue("default", 2)
        .only::<(Greet,)>()
        .build();
    let worker = worker.await.expect("a worker");
    // The calls of its loops fail at once.
    let health = worker.health().patience(Duration::from_secs(10));
    let (stop, stopped) = oneshot::channel::<()>();
    let test = async {
        until("ready", async || health.ready().await.is_ok()).await;
        cluster.kill().await.expect("killed");
        until("not ready", async || health.ready().await.is_err()).await;
        for _ in 0..12 {
            match health.ready().await {
                Err(NotReady::Database { .. }) => {}
                other => panic!("{other:?}"),
            }
            assert!(health.is_live(), "silent for {:?}", health.silence());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        cluster.restart().await.expect("restarted");
        until("ready again", async || health.ready().await.is_ok()).await;
        drop(stop);
    };
    let run = worker.run_until(async {
        stopped.await.ok();
    });
    let ((), ended) = tokio::join!(test, run);
    ended.expect("stopped in order");
}

#[tokio::test]
async fn a_worker_whose_claims_hang_is_not_alive() {
    let (database, pool) = database().await;
    let watched = Watched::start(&database.url(), 1, &[("TASKQ_HANG_AT", "before_claim")]);
    let address = &watched.addresses[0];
    until("ready", async || get(address, "/ready").await.0 == 200).await;
    assert_eq!(get(address, "/live").await, (200, "live\n".to_owned()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(get(address, "/live").await.0, 200, "it has nothing to do");
    // The first claim.
    execute(
        &pool,
        "insert into taskq.task (task_type, queue, payload) values ('send_card', 'mail', '{\"usr_id\": 1}')",
    )
    .await;
    until("stuck", async || get(address, "/live").await.0 == 503).await;
    let (_, why) = get(address, "/live").await;
    assert!(
        why.starts_with("a loop of the worker has been silent for"),
        "{why}"
    );
}
