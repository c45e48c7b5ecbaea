//! Limits while workers and servers die: an attempt ends when its process does, and never do more live than the limit.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::Signal;
use taskq_tests::checker::beyond;
use taskq_tests::history::Event;
use tokio::time::sleep;

use crate::stage::{LEASE, ONCE, REPEATABLE, Stage, seed};

/// The tenants, of which each has tasks that take another time.
const TENANTS: std::ops::Range<u64> = 20..30;

/// So many tasks of a tenant run at once.
const OF_TENANT: usize = 2;

/// So many tasks of the queue run at once.
const OF_QUEUE: usize = 12;

/// Enqueues tasks of all tenants, limits them, and returns the tenant of each task.
async fn enqueue_within_limits(stage: &Stage) -> HashMap<i64, i64> {
    stage
        .execute(
            "insert into taskq.limit_rule (scope, name, kind, fields, is_overridden, most, by) values
                 ('key', 'repeatable', 'concurrency', '{takes_ms}', true, 2, 'a test'),
                 ('key', 'once', 'concurrency', '{takes_ms}', true, 2, 'a test'),
                 ('queue', 'default', 'concurrency', null, true, 12, 'a test')",
        )
        .await;
    for takes_ms in TENANTS {
        let plan = if takes_ms % 2 == 0 { ONCE } else { REPEATABLE };
        stage.enqueue(plan, 60, takes_ms).await;
    }
    let tenants =
        "select (payload ->> 'n')::bigint, (payload ->> 'takes_ms')::bigint from taskq.task";
    let tenants: Vec<(i64, i64)> = sqlx::query_as(tenants)
        .fetch_all(&stage.pool)
        .await
        .expect("tasks");
    tenants.into_iter().collect()
}

async fn is_within_limits(stage: &Stage, tenants: &HashMap<i64, i64>) {
    stage.ends_well().await;
    let history = stage.read_history();
    let margin = LEASE / 12;
    assert_eq!(
        beyond(&history, margin, OF_TENANT, |n| Some(tenants[&n])),
        [].into()
    );
    assert_eq!(beyond(&history, margin, OF_QUEUE, |_| Some(())), [].into());
    let all = beyond(&history, margin, 0, |_| Some(()));
    println!("at once, of {OF_QUEUE}: {all:?}");
}

#[tokio::test]
async fn no_more_run_than_their_limits_while_workers_are_killed_and_stopped() {
    seed();
    let stage = Stage::shared().await;
    let tenants = enqueue_within_limits(&stage).await;
    let mut workers = Vec::from_iter((0..4).map(|_| stage.worker().start()));
    for _ in 0..8 {
        sleep(Duration::from_millis(fastrand::u64(50..500))).await;
        let victim = fastrand::usize(..workers.len());
        if fastrand::bool() {
            stage.fault("a worker is killed");
            workers[victim].kill();
            workers[victim] = stage.worker().start();
        } else {
            stage.fault("a worker is paused");
            workers[victim].signal(Signal::STOP);
            sleep(LEASE + Duration::from_millis(fastrand::u64(0..1_500))).await;
            workers[victim].signal(Signal::CONT);
        }
    }
    is_within_limits(&stage, &tenants).await;
}

#[tokio::test]
async fn no_more_run_than_their_limits_while_postgres_is_killed() {
    seed();
    let stage = Stage::own().await;
    let tenants = enqueue_within_limits(&stage).await;
    let _workers = Vec::from_iter((0..3).map(|_| stage.worker().start()));
    for round in 0..3 {
        stage.at_least(60 * (round + 1)).await;
        sleep(Duration::from_millis(fastrand::u64(0..300))).await;
        stage.history.record(Event::ServerKilled);
        stage.cluster().kill().await.expect("killed");
        sleep(Duration::from_millis(fastrand::u64(0..1_000))).await;
        stage.cluster().restart().await.expect("restarted");
    }
    is_within_limits(&stage, &tenants).await;
}
