//! Bugs of claims, leases and outcomes.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use taskq_tests::checker::Summary;
use taskq_tests::history::{Event, Plan};
use taskq_tests::proxy::{Proxy, Weather};
use tokio::time::sleep;

use super::plants::Plant;
use super::{is_found, plants};
use crate::stage::{ONCE, REPEATABLE, Running, Stage, until};

/// How long to wait for something that a bug keeps from happening.
const LONG_ENOUGH: Duration = Duration::from_secs(6);

/// A worker stands still between its handler and the completion, until another has done the task.
#[tokio::test]
async fn a_missing_fence_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        stage.enqueue(ONCE, 1, 0).await;
        let late = stage
            .worker()
            .with_bug(plant)
            .set("TASKQ_PAUSE_AT", "before_commit")
            .start();
        late.stopped().await;
        let _other = stage.worker().start();
        stage.over().await;
        late.signal(Signal::CONT);
        sleep(Duration::from_secs(1)).await;
        stage.judged().await
    };
    is_found(plants::NO_FENCE, scenario, "2 effects in place of 1").await;
}

/// The server forgets a claim and, with it, the last value of the sequence; the next lease gets
/// the same number, and the worker of the first one completes the second.
#[tokio::test]
async fn a_lease_numbered_by_a_sequence_is_found() {
    let scenario = async |plant| {
        let mut forgotten = None;
        for _ in 0..5 {
            forgotten = with_a_forgotten_claim(plant).await;
            if forgotten.is_some() {
                break;
            }
        }
        let (stage, _first) = forgotten.expect("the claim is forgotten");
        let fails_once = Plan {
            failures: 1,
            ..REPEATABLE
        };
        // Elsewhere, so that these are what the second worker claims.
        stage.enqueue_in("other", fails_once, 5, 4_000).await;
        let _second = numbering_worker(&stage, plant, "other");
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::SEQUENCE, scenario, "is lost").await;
}

fn numbering_worker(stage: &Stage, plant: Option<Plant>, queue: &str) -> Running {
    let worker = stage.worker().with_bug(plant).set("QUEUE", queue);
    worker.set("CONCURRENCY", 5).set("LEASE_MS", 40_000).start()
}

/// Returns a server that has forgotten a claim, and the worker that believes in it. Nothing if somebody's commit has
/// brought the claim to the disk.
async fn with_a_forgotten_claim(plant: Option<Plant>) -> Option<(Stage, Running)> {
    let stage = Stage::own().await;
    stage.execute("create sequence lease_sequence").await;
    let first = numbering_worker(&stage, plant, "default");
    // Its registration waits for the disk, and what was written before with it.
    until("registered", async || {
        stage.count("select count(*) from taskq.worker").await == 1
    })
    .await;
    // Which would bring the claim to the disk within moments.
    let wal_writer = stage
        .count("select pid::bigint from pg_stat_activity where backend_type = 'walwriter'")
        .await;
    let wal_writer = i32::try_from(wal_writer).ok().and_then(Pid::from_raw);
    let wal_writer = wal_writer.expect("the process that writes asynchronous commits");
    kill_process(wal_writer, Signal::STOP).expect("stopped");
    stage.enqueue(REPEATABLE, 5, 4_000).await;
    stage.at_least(5).await;
    stage.history.record(Event::ServerKilled);
    stage.cluster().kill().await.expect("killed");
    kill_process(wal_writer, Signal::KILL).expect("killed");
    stage.cluster().restart().await.expect("restarted");
    until("reachable", async || {
        sqlx::query("select 1").execute(&stage.pool).await.is_ok()
    })
    .await;
    let leases = stage.count("select count(*) from taskq.lease").await;
    (leases == 0).then_some((stage, first))
}

/// A lease has run out when the rescuer looks, and is extended before it rescues.
#[tokio::test]
async fn a_rescue_without_the_expiry_check_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        stage.enqueue(REPEATABLE, 1, 5_000).await;
        // Its heartbeats come every two seconds, and its next rescue after four.
        let _holder = stage.worker().set("LEASE_MS", 8_000).start();
        stage.at_least(1).await;
        let rescuer = stage
            .worker()
            .with_bug(plant)
            .set("QUEUE", "nothing")
            .set("TASKQ_PAUSE_AT", "before_rescue")
            .start();
        // By then the holder has looked for expired leases, which it does when it starts.
        until("registered", async || {
            stage.count("select count(*) from taskq.worker").await == 2
        })
        .await;
        while !rescuer.is_stopped() {
            stage.run_leases_out().await;
            sleep(Duration::from_millis(20)).await;
        }
        until("extended", async || {
            stage
                .count("select count(*) from taskq.lease where expires_at > now()")
                .await
                == 1
        })
        .await;
        let _other = stage.worker().start();
        sleep(Duration::from_millis(300)).await;
        rescuer.signal(Signal::CONT);
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::RESCUE_UNEXPIRED, scenario, "had two live attempts").await;
}

#[tokio::test]
async fn a_failure_that_undoes_nothing_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        let fails_once = Plan {
            failures: 1,
            ..ONCE
        };
        stage.enqueue(fails_once, 8, 0).await;
        let _worker = stage.worker().with_bug(plant).start();
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::NOTHING_UNDONE, scenario, "2 effects in place of 1").await;
}

/// A worker dies between reserving a range and claiming it.
#[tokio::test]
async fn a_range_that_is_taken_for_claimed_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        // More than one claim may take: a range that the lane cannot fill is not reserved.
        stage.enqueue(REPEATABLE, 3_000, 1).await;
        stage.add_absent_worker().await;
        // The first makes the lane's frontier, and the second moves it.
        for _ in 0..2 {
            let mut reserving = stage
                .worker()
                .set("CONCURRENCY", 250)
                .set("TASKQ_CRASH_AT", "after_reserve")
                .start();
            reserving.ended().await;
        }
        let reserved =
            "select count(*) from taskq.task join taskq.frontier using (queue, task_type)
                        where (task.run_at, task.task_id) <= (frontier.run_at, frontier.task_id)";
        assert!(stage.count(reserved).await > 0, "{stage}");
        stage.run_leases_out().await;
        let _other = stage
            .worker()
            .with_bug(plant)
            .set("CONCURRENCY", 100)
            .set("POLL_MS", 3_600_000)
            .start();
        stage.over_within(LONG_ENOUGH).await;
        stage.judged().await
    };
    is_found(plants::RESERVED_IS_CLAIMED, scenario, "is not over").await;
}

/// The answer to an outcome is lost, and the outcome is sent again.
#[tokio::test]
async fn an_outcome_for_a_task_that_has_left_its_lease_is_found() {
    let scenario = async |plant| {
        let stage = Stage::own().await;
        let proxy = Proxy::start(stage.socket()).await.expect("a proxy");
        let fails_once = Plan {
            failures: 1,
            ..REPEATABLE
        };
        // Three in one lease: the first lets the statement be prepared, the second's outcome is
        // sent twice, before the worker asks for new plans, and the third fails later.
        stage.enqueue(REPEATABLE, 1, 100).await;
        stage.enqueue(REPEATABLE, 1, 400).await;
        stage.enqueue(fails_once, 1, 4_000).await;
        let worker = stage
            .worker()
            .with_bug(plant)
            .set("DATABASE_URL", stage.url_through(&proxy))
            .set("CONCURRENCY", 3)
            .set("LEASE_MS", 8_000)
            // Completed tasks that are kept go one by one, unless their whole lease goes.
            .set("KEEP", true)
            .set("TASKQ_PAUSE_AT", "before_settle:2")
            .start();
        worker.stopped().await;
        proxy.set(Weather::AnswersLost);
        worker.signal(Signal::CONT);
        until("settled", async || {
            stage
                .count("select count(*) from taskq.lease where cardinality(done) = 2")
                .await
                == 1
        })
        .await;
        proxy.cut_and_clear();
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::OUTCOME_TWICE, scenario, "is lost").await;
}

/// The answer to a claim is lost: the lease is in nobody's memory, and has to run out.
#[tokio::test]
async fn a_heartbeat_by_worker_is_found() {
    let scenario = async |plant| {
        let stage = Stage::own().await;
        let proxy = Proxy::start(stage.socket()).await.expect("a proxy");
        stage.enqueue(REPEATABLE, 1, 30_000).await;
        let worker = stage
            .worker()
            .with_bug(plant)
            .set("DATABASE_URL", stage.url_through(&proxy))
            .set("TASKQ_PAUSE_AT", "before_claim:2")
            .start();
        stage.at_least(1).await;
        // Its second claim may come to nothing, before this one is there.
        stage.enqueue(REPEATABLE, 1, 0).await;
        worker.stopped().await;
        proxy.set(Weather::AnswersLost);
        worker.signal(Signal::CONT);
        until("claimed", async || {
            stage.count("select count(*) from taskq.lease").await == 2
        })
        .await;
        proxy.cut_and_clear();
        let began = std::time::Instant::now();
        while began.elapsed() < LONG_ENOUGH && stage.attempts() < 2 {
            sleep(Duration::from_millis(50)).await;
        }
        sleep(Duration::from_millis(200)).await;
        let (stage, found) = stage.judged().await;
        let found = found.or_else(|mut found| {
            found.retain(|violation| !violation.starts_with("task 1 "));
            if found.is_empty() {
                Ok(Summary::default())
            } else {
                Err(found)
            }
        });
        (stage, found)
    };
    is_found(plants::BEAT_BY_WORKER, scenario, "task 2 is not over").await;
}
