//! Processes that are stopped and killed: workers by signal, and Postgres under load.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::PgPool;
use taskq::testing::Cluster;
use tokio::time::timeout;

use crate::support::{LIMIT, count_effects, database, effects, execute, one, states, until};

/// A worker process, killed with the test if it is still there.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(url: &str, grace: Duration) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_worker"))
            .env("DATABASE_URL", url)
            .env("GRACE_MS", grace.as_millis().to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the worker starts");
        Self(child)
    }

    pub(crate) fn of(child: Child) -> Self {
        Self(child)
    }

    /// Returns the first line of what it logs, from now on, that has this text.
    pub(crate) async fn line_of_stderr(mut self, part: &'static str) -> (Self, String) {
        let stderr = self.0.stderr.take().expect("a pipe");
        let line = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.find(|line| line.contains(part)).unwrap_or_default()
        });
        let line = timeout(LIMIT, line).await.expect("in time");
        (self, line.expect("read"))
    }

    /// Starts one with these variables in its environment.
    pub(crate) fn start_with(url: &str, variables: &[(&str, &str)]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_worker"))
            .env("DATABASE_URL", url)
            .env("GRACE_MS", "1000")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the worker starts");
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs");
    }

    async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("ended", async || {
            status = self.0.try_wait().expect("a child");
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn enqueue(pool: &PgPool, task_type: &str, count: i32, takes_ms: i32) {
    sqlx::query(
        "insert into taskq.task (task_type, payload)
         select $1, jsonb_build_object('n', n, 'takes_ms', $3) from generate_series(1, $2) as n",
    )
    .bind(task_type)
    .bind(count)
    .bind(takes_ms)
    .execute(pool)
    .await
    .expect("enqueued");
}

async fn at_least(pool: &PgPool, count: i64) {
    until("some have run", async || {
        count_effects(pool).await.0 >= count
    })
    .await;
}

async fn all_over(pool: &PgPool) {
    until("all over", async || states(pool).await.is_empty()).await;
}

#[tokio::test]
async fn nothing_is_lost_when_a_worker_is_killed_among_slow_tasks() {
    let (database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, "record", 200, 50).await;
    let first = Process::start(&database.url(), Duration::ZERO);
    at_least(&pool, 50).await;
    first.signal(Signal::KILL);
    assert!(
        states(&pool).await.contains_key("running"),
        "it left tasks in its leases"
    );
    let _second = Process::start(&database.url(), Duration::ZERO);
    all_over(&pool).await;
    let (runs, tasks) = count_effects(&pool).await;
    assert_eq!(tasks, 200);
    assert!(
        runs <= 220,
        "at most those that ran when it was killed ran twice: {runs}"
    );
}

#[tokio::test]
async fn transactional_effects_happen_once_when_a_worker_is_killed() {
    let (database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, "record_once", 200, 50).await;
    let mut worker = Process::start(&database.url(), Duration::ZERO);
    for seen in [40, 80, 120] {
        at_least(&pool, seen).await;
        worker.signal(Signal::KILL);
        worker = Process::start(&database.url(), Duration::ZERO);
    }
    all_over(&pool).await;
    assert_eq!(count_effects(&pool).await, (200, 200));
}

#[tokio::test]
async fn nothing_is_lost_when_postgres_is_killed_under_load() {
    let cluster = Cluster::private_on_disk()
        .await
        .expect("a server of its own");
    let pool = cluster.pool("postgres", 10).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    effects(&pool).await;
    enqueue(&pool, "record_once", 200, 20).await;
    let _worker = Process::start(&cluster.url("postgres"), Duration::ZERO);
    for seen in [50, 100] {
        at_least(&pool, seen).await;
        cluster.kill().await.expect("killed");
        cluster.restart().await.expect("restarted");
        until("reachable", async || {
            sqlx::query("select 1").execute(&pool).await.is_ok()
        })
        .await;
    }
    all_over(&pool).await;
    assert_eq!(count_effects(&pool).await, (200, 200));
}

#[tokio::test]
async fn sigint_gives_handlers_their_grace_period_and_hands_the_rest_back() {
    let (database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, "record", 10, 60_000).await;
    enqueue(&pool, "record_once", 10, 60_000).await;
    let mut worker = Process::start(&database.url(), Duration::from_secs(1));
    until("full", async || {
        one::<i64>(
            &pool,
            "select count(*) from taskq.tasks where state = 'running'",
        )
        .await
            == 10
    })
    .await;
    // Claimed is not begun: a worker that runs no handler yet has nothing to wait for.
    at_least(&pool, 1).await;
    let began = Instant::now();
    worker.signal(Signal::INT);
    assert!(worker.ended().await.success());
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(10),
        "{took:?}"
    );
    let claimable: i64 = one(
        &pool,
        "select count(*) from taskq.task where run_at <= now() and attempts = 0 and crashes = 0",
    )
    .await;
    assert_eq!(claimable, 20);
}

#[tokio::test]
async fn sigterm_lets_handlers_end() {
    let (database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, "record", 10, 1_000).await;
    let mut worker = Process::start(&database.url(), Duration::from_secs(60));
    at_least(&pool, 10).await;
    worker.signal(Signal::TERM);
    assert!(worker.ended().await.success());
    assert!(states(&pool).await.is_empty());
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.worker").await,
        0
    );
}

#[tokio::test]
async fn a_second_signal_stops_now() {
    let (database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, "record", 5, 600_000).await;
    let mut worker = Process::start(&database.url(), Duration::from_secs(3_600));
    at_least(&pool, 5).await;
    worker.signal(Signal::INT);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        worker.0.try_wait().expect("a child").is_none(),
        "it waits for its handlers"
    );
    worker.signal(Signal::INT);
    assert!(worker.ended().await.success());
    execute(&pool, "select 1").await;
    assert_eq!(states(&pool).await["waiting"], 5);
}
