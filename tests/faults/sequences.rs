//! Sequences while workers and servers die: no task starts before those in front of it have ended.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::Signal;
use taskq_tests::checker::{beyond, out_of_sequence};
use taskq_tests::history::{Event, Plan};
use tokio::time::sleep;

use crate::stage::{LEASE, REPEATABLE, Stage, seed};

/// The keys: tasks of one take the same time.
const KEYS: std::ops::Range<u64> = 10..18;

/// So many tasks of a key.
const STEPS: usize = 25;

/// Each fails once, and waits for its retry.
const FAILS_ONCE: Plan = Plan {
    failures: 1,
    max_attempts: 5,
    ..REPEATABLE
};

/// Enqueues tasks of all keys by turns, has those of a key run in sequence, and returns the key of each task.
async fn enqueue_in_sequence(stage: &Stage) -> HashMap<i64, i64> {
    stage
        .execute(
            "insert into taskq.limit_rule (scope, name, kind, fields, declared_most, on_dead)
             values ('key', 'repeatable', 'sequence', '{takes_ms}', 1, 'block')",
        )
        .await;
    for step in 0..STEPS {
        for takes_ms in KEYS {
            let plan = if step % 5 == 0 {
                FAILS_ONCE
            } else {
                REPEATABLE
            };
            stage.enqueue(plan, 1, takes_ms).await;
        }
    }
    let keys = "select (payload ->> 'n')::bigint, (payload ->> 'takes_ms')::bigint from taskq.task";
    let keys: Vec<(i64, i64)> = sqlx::query_as(keys)
        .fetch_all(&stage.pool)
        .await
        .expect("tasks");
    keys.into_iter().collect()
}

async fn is_in_sequence(stage: &Stage, keys: &HashMap<i64, i64>) {
    stage.ends_well().await;
    let history = stage.read_history();
    let margin = LEASE / 12;
    assert_eq!(
        out_of_sequence(&history, margin, |n| Some(keys[&n])),
        [].into(),
        "too early, and what had still to run"
    );
    assert_eq!(beyond(&history, margin, 1, |n| Some(keys[&n])), [].into());
}

#[tokio::test]
async fn no_task_overtakes_another_of_its_key_while_workers_are_killed_and_stopped() {
    seed();
    let stage = Stage::shared().await;
    let keys = enqueue_in_sequence(&stage).await;
    let mut workers = Vec::from_iter((0..3).map(|_| stage.worker().start()));
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
    is_in_sequence(&stage, &keys).await;
}

#[tokio::test]
async fn no_task_overtakes_another_of_its_key_while_postgres_is_killed() {
    seed();
    let stage = Stage::own().await;
    let keys = enqueue_in_sequence(&stage).await;
    let _workers = Vec::from_iter((0..3).map(|_| stage.worker().start()));
    for round in 0..3 {
        stage.at_least(30 * (round + 1)).await;
        sleep(Duration::from_millis(fastrand::u64(0..300))).await;
        stage.history.record(Event::ServerKilled);
        stage.cluster().kill().await.expect("killed");
        sleep(Duration::from_millis(fastrand::u64(0..1_000))).await;
        stage.cluster().restart().await.expect("restarted");
    }
    is_in_sequence(&stage, &keys).await;
}

#[tokio::test]
async fn a_sequence_that_a_retry_lets_pass_is_found() {
    seed();
    let stage = Stage::shared().await;
    // The head is the task that has been due longest.
    stage
        .execute(
            "do $planted$
             declare
                 held text := pg_get_functiondef('taskq.sequence_head'::regproc);
                 planted text := replace(held, 'task.key, task.task_id\n', 'task.key, task.run_at\n');
             begin
                 if planted = held then
                     raise exception 'change what is planted';
                 end if;
                 execute planted;
             end
             $planted$",
        )
        .await;
    let keys = enqueue_in_sequence(&stage).await;
    let _workers = Vec::from_iter((0..2).map(|_| stage.worker().start()));
    stage.ends_well().await;
    let found = out_of_sequence(&stage.read_history(), LEASE / 12, |n| Some(keys[&n]));
    assert!(!found.is_empty());
}
