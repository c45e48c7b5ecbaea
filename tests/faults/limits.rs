//! Limits while workers and servers die: an attempt ends when its process does, and never do more live than the limit.

use std::collections::HashMap;
use std::env;
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use taskq::error::BoxError;
use taskq_tests::checker::beyond;
use taskq_tests::history::{Event, Plan};
use tokio::time::sleep;

use crate::stage::{Finale, LEASE, ONCE, REPEATABLE, Running, Stage, seed};

/// How many tasks are to run at once.
struct Limits {
    /// The tenants, of which each has tasks that take another time.
    tenants: Range<u64>,
    /// The plans of even and of odd tenants.
    plans: [Plan; 2],
    of_tenant: usize,
    of_queue: usize,
}

const SMALL: Limits = Limits {
    tenants: 20..30,
    plans: [ONCE, REPEATABLE],
    of_tenant: 2,
    of_queue: 12,
};

/// There are more slots than may run.
const LARGE: Limits = Limits {
    tenants: 500..550,
    plans: [REPEATABLE; 2],
    of_tenant: 5,
    of_queue: 250,
};

/// Far below it, workers claim without regard to keys; there are half as many slots again as may run.
const FAR_AND_NEAR: Limits = Limits {
    tenants: 40..41,
    plans: [REPEATABLE; 2],
    of_tenant: 20,
    of_queue: 1_000,
};

/// How long the large ones are tried, unless `TASKQ_LIMITS_SECONDS` says otherwise.
const SECONDS: u64 = 5;

/// Tasks that wait at the most, so that the last of them are soon over.
const BACKLOG: i64 = 1_000;

impl Limits {
    async fn set(&self, stage: &Stage) {
        let limits = [
            ("key", "repeatable", self.of_tenant),
            ("key", "once", self.of_tenant),
            ("key", "once_lazily", self.of_tenant),
            ("queue", "default", self.of_queue),
        ];
        for (scope, name, most) in limits {
            sqlx::query(
                "insert into taskq.limit_rule (scope, name, kind, fields, is_overridden, most, by)
                 values ($1, $2, 'concurrency', case $1 when 'key' then '{takes_ms}'::text[] end, true, $3, 'a test')",
            )
            .bind(scope)
            .bind(name)
            .bind(i32::try_from(most).expect("few"))
            .execute(&stage.pool)
            .await
            .expect("limited");
        }
    }

    /// Enqueues so many tasks of each tenant.
    async fn enqueue(&self, stage: &Stage, count: i64) -> Result<(), BoxError> {
        let mut db = stage.pool.acquire().await?;
        for takes_ms in self.tenants.clone() {
            let [even, odd] = self.plans;
            let plan = if takes_ms % 2 == 0 { even } else { odd };
            stage
                .enqueue_on(&mut db, plan, count, takes_ms, Finale::Commit)
                .await?;
        }
        Ok(())
    }

    async fn hold(&self, stage: &Stage) {
        stage.ends_well().await;
        // Each type has tenants of its own.
        let tenants: Vec<(i64, String)> = sqlx::query_as(
            "select (payload ->> 'n')::bigint, task_type || (payload ->> 'takes_ms') from taskq.tasks",
        )
        .fetch_all(&stage.pool)
        .await
        .expect("tasks");
        let tenants: HashMap<i64, String> = tenants.into_iter().collect();
        let history = stage.read_history();
        let margin = LEASE / 12;
        let of_tenant = |n| tenants.get(&n).cloned();
        assert_eq!(
            beyond(&history, margin, self.of_tenant, of_tenant),
            [].into()
        );
        assert_eq!(
            beyond(&history, margin, self.of_queue, |_| Some(())),
            [].into()
        );
        let all = beyond(&history, margin, 0, |_| Some(()));
        println!("at once, of {}: {all:?}", self.of_queue);
        let most = beyond(&history, margin, self.of_tenant - 1, of_tenant);
        println!("tenants that used all of their places: {}", most.len());
    }
}

#[tokio::test]
async fn no_more_run_than_their_limits_while_workers_are_killed_and_stopped() {
    seed();
    let stage = Stage::shared().await;
    SMALL.set(&stage).await;
    SMALL.enqueue(&stage, 60).await.expect("enqueued");
    kill_and_stop(&stage, 4, || stage.worker().set("KEEP", true).start()).await;
    SMALL.hold(&stage).await;
}

#[tokio::test]
async fn no_more_run_than_their_limits_though_claims_far_below_them_regard_no_keys() {
    seed();
    let stage = Stage::shared().await;
    FAR_AND_NEAR.set(&stage).await;
    FAR_AND_NEAR.enqueue(&stage, 2_000).await.expect("enqueued");
    let start = || {
        let worker = stage.worker().set("KEEP", true);
        worker.set("CONCURRENCY", 5).start()
    };
    kill_and_stop(&stage, 6, start).await;
    FAR_AND_NEAR.hold(&stage).await;
}

/// Runs so many workers, kills and stops some of them, and leaves as many running.
async fn kill_and_stop(stage: &Stage, count: usize, start: impl Fn() -> Running) {
    let mut workers = Vec::from_iter((0..count).map(|_| start()));
    for _ in 0..8 {
        sleep(Duration::from_millis(fastrand::u64(50..500))).await;
        let victim = fastrand::usize(..workers.len());
        if fastrand::bool() {
            stage.fault("a worker is killed");
            workers[victim].kill();
            workers[victim] = start();
        } else {
            stage.fault("a worker is paused");
            workers[victim].signal(Signal::STOP);
            sleep(LEASE + Duration::from_millis(fastrand::u64(0..1_500))).await;
            workers[victim].signal(Signal::CONT);
        }
    }
    stage.over().await;
}

#[tokio::test]
async fn no_more_run_than_their_limits_while_postgres_is_killed() {
    seed();
    let stage = Stage::own().await;
    SMALL.set(&stage).await;
    SMALL.enqueue(&stage, 60).await.expect("enqueued");
    let _workers = Vec::from_iter((0..3).map(|_| stage.worker().set("KEEP", true).start()));
    for round in 0..3 {
        stage.at_least(60 * (round + 1)).await;
        sleep(Duration::from_millis(fastrand::u64(0..300))).await;
        stage.history.record(Event::ServerKilled);
        stage.cluster().kill().await.expect("killed");
        sleep(Duration::from_millis(fastrand::u64(0..1_000))).await;
        stage.cluster().restart().await.expect("restarted");
    }
    SMALL.hold(&stage).await;
}

/// Four processes of eighty slots, and more tasks than may run.
#[tokio::test]
async fn no_more_run_than_their_limits_through_all_of_it() {
    let seconds = env::var("TASKQ_LIMITS_SECONDS")
        .ok()
        .map(|text| text.parse().expect("TASKQ_LIMITS_SECONDS is a number"))
        .unwrap_or(SECONDS);
    seed();
    let stage = Stage::own().await;
    LARGE.set(&stage).await;
    LARGE.enqueue(&stage, 10).await.expect("enqueued");
    let start = || {
        stage
            .worker()
            .set("CONCURRENCY", 80)
            .set("KEEP", true)
            .start()
    };
    let mut workers = Vec::from_iter((0..4).map(|_| start()));
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        sleep(Duration::from_millis(fastrand::u64(100..2_000))).await;
        let victim = fastrand::usize(..workers.len());
        match fastrand::u8(..4) {
            0 => {
                stage.fault("a worker is paused");
                workers[victim].signal(Signal::STOP);
                sleep(LEASE + Duration::from_millis(fastrand::u64(0..1_500))).await;
                workers[victim].signal(Signal::CONT);
            }
            1 => {
                stage.history.record(Event::ServerKilled);
                stage.cluster().kill().await.expect("killed");
                sleep(Duration::from_millis(fastrand::u64(0..1_000))).await;
                stage.cluster().restart().await.expect("restarted");
            }
            _ => {
                stage.fault("a worker is killed");
                workers[victim].kill();
                workers[victim] = start();
            }
        }
        let waiting = sqlx::query_scalar("select count(*) from taskq.task");
        let waiting: Result<i64, _> = waiting.fetch_one(&stage.pool).await;
        if waiting.is_ok_and(|waiting| waiting < BACKLOG) {
            // A server that was just killed may refuse it.
            let _ = LARGE.enqueue(&stage, 5).await;
        }
    }
    LARGE.hold(&stage).await;
}
