//! `kill -9`: of workers, at random, and of Postgres.

use std::time::Duration;

use taskq_tests::history::{Event, Plan};
use tokio::time::sleep;

use crate::stage::{Finale, ONCE, REPEATABLE, Stage, seed};

/// A plan, mostly of a success. So many are to work in their transactions.
pub(crate) fn any_plan(once: f32) -> Plan {
    let plan = Plan {
        once: fastrand::f32() < once,
        ..ONCE
    };
    match fastrand::u8(..10) {
        0 => Plan {
            failures: 1,
            ..plan
        },
        1 => Plan {
            failures: 3,
            max_attempts: 3,
            ..plan
        },
        _ => plan,
    }
}

/// Tasks of all kinds, some of transactions that roll back.
pub(crate) async fn enqueue_a_mixture(stage: &Stage, batches: usize, takes_ms: u64) {
    let mut db = stage.pool.acquire().await.expect("a connection");
    for _ in 0..batches {
        let plan = any_plan(0.5);
        let finale = fastrand::choice([Finale::Commit, Finale::Commit, Finale::RollBack]);
        let finale = finale.unwrap_or(Finale::Commit);
        let count = fastrand::i64(1..=20);
        stage
            .enqueue_on(&mut db, plan, count, takes_ms, finale)
            .await
            .expect("enqueued");
    }
}

#[tokio::test]
async fn all_is_well_while_workers_are_killed_at_random() {
    seed();
    let stage = Stage::shared().await;
    enqueue_a_mixture(&stage, 60, 20).await;
    let mut workers = Vec::from_iter((0..3).map(|_| stage.worker().start()));
    for _ in 0..8 {
        sleep(Duration::from_millis(fastrand::u64(50..600))).await;
        let victim = fastrand::usize(..workers.len());
        stage.fault("a worker is killed");
        workers[victim].kill();
        workers[victim] = stage.worker().start();
    }
    let summary = stage.ends_well().await;
    assert!(
        summary.committed > 0 && summary.rolled_back > 0,
        "{summary:?}"
    );
}

#[tokio::test]
async fn all_is_well_while_postgres_is_killed_and_restarted() {
    seed();
    let stage = Stage::own().await;
    enqueue_a_mixture(&stage, 20, 20).await;
    let _workers = Vec::from_iter((0..2).map(|_| stage.worker().start()));
    for round in 0..3 {
        stage.at_least(60 * (round + 1)).await;
        enqueue_a_mixture(&stage, 20, 20).await;
        sleep(Duration::from_millis(fastrand::u64(0..300))).await;
        stage.history.record(Event::ServerKilled);
        stage.cluster().kill().await.expect("killed");
        sleep(Duration::from_millis(fastrand::u64(0..2_000))).await;
        stage.cluster().restart().await.expect("restarted");
    }
    stage.ends_well().await;
}

#[tokio::test]
async fn all_is_well_while_connections_are_ended_by_the_server() {
    seed();
    let stage = Stage::shared().await;
    enqueue_a_mixture(&stage, 40, 20).await;
    let _workers = Vec::from_iter((0..2).map(|_| stage.worker().start()));
    for _ in 0..40 {
        sleep(Duration::from_millis(fastrand::u64(20..150))).await;
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and random() < 0.3",
        )
        .execute(&stage.pool)
        .await
        .ok();
    }
    stage.ends_well().await;
}

#[tokio::test]
async fn nothing_runs_of_a_transaction_whose_client_vanished_before_its_commit() {
    let stage = Stage::shared().await;
    stage.enqueue(REPEATABLE, 5, 0).await;
    let mut db = stage.pool.acquire().await.expect("a connection").detach();
    stage
        .enqueue_on(&mut db, ONCE, 5, 0, Finale::Vanish)
        .await
        .expect("inserted");
    drop(db);
    let _worker = stage.worker().start();
    let summary = stage.ends_well().await;
    assert_eq!((summary.committed, summary.in_doubt), (5, 5));
    assert_eq!(summary.attempts, 5);
}
