//! A database, the processes that work on it, and the history that they leave.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction, query_as, query_scalar};
use taskq::Payload;
use taskq::error::BoxError;
use taskq::testing::{Cluster, Database};
use taskq_tests::checker::{Summary, Tables, verify};
use taskq_tests::history::{self, Batch, Event, Plan, Process, Recorder};
use taskq_tests::proxy::Proxy;
use taskq_tests::tasks::{Once, Repeatable};
use tokio::time::sleep;

/// Longer than anything takes that goes well, on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The lease of workers here: short enough to wait for.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// Without failures, in the transaction of the task.
pub(crate) const ONCE: Plan = Plan {
    once: true,
    failures: 0,
    max_attempts: Once::OPTIONS.max_attempts,
};

/// Without failures, and without a transaction.
pub(crate) const REPEATABLE: Plan = Plan {
    once: false,
    ..ONCE
};

/// A database of a test's own, and everything that happens on it.
pub(crate) struct Stage {
    pub(crate) pool: PgPool,
    pub(crate) history: Arc<Recorder>,
    pub(crate) url: String,
    folder: PathBuf,
    next: AtomicI64,
    processes: AtomicI64,
    server: Server,
}

#[expect(clippy::large_enum_variant, reason = "there is one for each test")]
enum Server {
    /// A database on the server that the tests share.
    Shared { _database: Database },
    /// A server of the test's own.
    Own(Cluster),
}

/// How a transaction that enqueues ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finale {
    Commit,
    RollBack,
    /// Its connection is closed in the middle.
    Vanish,
}

impl Stage {
    /// A database on the server that all tests share.
    pub(crate) async fn shared() -> Self {
        let database = Database::fresh().await.expect("a database");
        let (pool, url) = (database.pool_of(20), database.url());
        let server = Server::Shared {
            _database: database,
        };
        Self::new(pool, url, server).await
    }

    /// A server of its own, which may be killed.
    pub(crate) async fn own() -> Self {
        let cluster = Cluster::private_on_disk().await.expect("a server");
        let pool = cluster.pool("postgres", 20).await.expect("a pool");
        taskq::migrate(&pool).await.expect("migrated");
        let url = cluster.url("postgres");
        Self::new(pool, url, Server::Own(cluster)).await
    }

    async fn new(pool: PgPool, url: String, server: Server) -> Self {
        let id: u64 = fastrand::u64(..);
        let folder = env::temp_dir().join(format!("taskq-faults-{id:016x}"));
        fs::create_dir_all(folder.join("history")).expect("a folder");
        fs::create_dir_all(folder.join("log")).expect("a folder");
        sqlx::raw_sql(
            "create table effect (n bigint not null); create table batch (first bigint not null)",
        )
        .execute(&pool)
        .await
        .expect("tables");
        let history = Recorder::open(&folder.join("history/client")).expect("a file");
        Self {
            pool,
            url,
            history: Arc::new(history),
            folder,
            next: AtomicI64::new(1),
            processes: AtomicI64::new(0),
            server,
        }
    }

    /// Returns the server, if it is this test's own.
    pub(crate) fn cluster(&self) -> &Cluster {
        match &self.server {
            Server::Own(cluster) => cluster,
            Server::Shared { .. } => panic!("the server belongs to all tests"),
        }
    }

    /// Returns the path of the socket of a server of this test's own.
    pub(crate) fn socket(&self) -> PathBuf {
        let options: PgConnectOptions = self.url.parse().expect("an address");
        options
            .get_socket()
            .expect("a server of our own listens on a socket")
            .join(format!(".s.PGSQL.{}", options.get_port()))
    }

    /// Enqueues tasks in a transaction that commits.
    pub(crate) async fn enqueue(&self, plan: Plan, count: i64, takes_ms: u64) {
        let mut db = self.pool.acquire().await.expect("a connection");
        self.enqueue_on(&mut db, plan, count, takes_ms, Finale::Commit)
            .await
            .expect("enqueued");
    }

    /// Enqueues tasks of the other queue in a transaction that commits.
    pub(crate) async fn enqueue_in(&self, queue: &str, plan: Plan, count: i64, takes_ms: u64) {
        // Together with the update, so that no worker sees them before.
        let mut tx = self.pool.begin().await.expect("begun");
        self.enqueue_on(&mut tx, plan, count, takes_ms, Finale::Commit)
            .await
            .expect("enqueued");
        sqlx::query("update taskq.task set queue = $1 where (payload ->> 'n')::bigint >= (select max(first) from batch)")
            .bind(queue)
            .execute(&mut *tx)
            .await
            .expect("moved");
        tx.commit().await.expect("committed");
    }

    /// Enqueues tasks in a transaction on this connection, and records how it ends. What becomes of
    /// a transaction whose commit fails is not known; one that fails before never commits.
    pub(crate) async fn enqueue_on(
        &self,
        db: &mut PgConnection,
        plan: Plan,
        count: i64,
        takes_ms: u64,
        finale: Finale,
    ) -> Result<(), BoxError> {
        let first = self.next.fetch_add(count, Ordering::SeqCst);
        let batch = Batch { first, count, plan };
        self.history.record(Event::Intended(batch));
        let tx = match insert(db, batch, takes_ms).await {
            Ok(tx) => tx,
            Err(error) => {
                self.history.record(Event::RolledBack { first });
                return Err(error);
            }
        };
        match finale {
            Finale::Commit => {
                tx.commit().await?;
                self.history.record(Event::Committed { first });
            }
            Finale::RollBack => {
                tx.rollback().await?;
                self.history.record(Event::RolledBack { first });
            }
            Finale::Vanish => {}
        }
        Ok(())
    }

    /// Prepares a worker in a process of its own.
    pub(crate) fn worker(&self) -> Actor {
        let id = self.processes.fetch_add(1, Ordering::SeqCst);
        let log = File::create(self.folder.join(format!("log/{id}"))).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_actor"));
        command
            .env("DATABASE_URL", &self.url)
            .env("HISTORY", self.folder.join(format!("history/{id}")))
            .env("LEASE_MS", LEASE.as_millis().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        for name in [
            "TASKQ_CRASH_AT",
            "TASKQ_PAUSE_AT",
            "TASKQ_PANIC_AT",
            "TASKQ_EDITS",
        ] {
            command.env_remove(name);
        }
        Actor(command, log)
    }

    /// The address of the database through a proxy.
    pub(crate) fn url_through(&self, proxy: &Proxy) -> String {
        let options: PgConnectOptions = self.url.parse().expect("an address");
        let database = options.get_database().expect("a database");
        format!("postgres://postgres@{}/{database}", proxy.address())
    }

    /// Says what was done to the system, in the history.
    pub(crate) fn fault(&self, what: impl Into<String>) {
        self.history.record(Event::Fault(what.into()));
    }

    pub(crate) fn read_history(&self) -> Vec<Process> {
        history::read(&self.folder.join("history"))
    }

    /// What a worker process has logged, counted from 0.
    pub(crate) fn log(&self, process: usize) -> String {
        fs::read_to_string(self.folder.join(format!("log/{process}"))).expect("a log")
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.expect(sql);
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        query_scalar(sql).fetch_one(&self.pool).await.expect(sql)
    }

    /// Registers a worker that is not there, so that the queue is one from which several claim.
    pub(crate) async fn add_absent_worker(&self) {
        self.execute(
            "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
             values (gen_random_uuid(), '', 0, '{default}', '{repeatable}', now() + interval '1 hour')",
        )
        .await;
    }

    /// Moves the end of all leases into the past.
    pub(crate) async fn run_leases_out(&self) {
        self.execute("update taskq.lease set expires_at = now() - interval '1 second'")
            .await;
    }

    /// Counts what was done to the system.
    pub(crate) fn faults(&self) -> BTreeMap<String, usize> {
        let mut faults = BTreeMap::new();
        for entry in self.read_history().into_iter().flatten() {
            if let Event::Fault(fault) = entry.event {
                *faults.entry(fault).or_default() += 1;
            }
        }
        faults
    }

    /// Counts attempts that have begun.
    pub(crate) fn attempts(&self) -> usize {
        let processes = self.read_history();
        let events = processes.iter().flatten();
        events
            .filter(|entry| matches!(entry.event, Event::Started { .. }))
            .count()
    }

    /// Waits until so many attempts have begun.
    pub(crate) async fn at_least(&self, attempts: usize) {
        until("attempts", async || self.attempts() >= attempts).await;
    }

    /// Waits until no task waits or runs.
    pub(crate) async fn over(&self) {
        self.over_within(LIMIT).await;
    }

    /// Waits until no task waits or runs, for a while.
    pub(crate) async fn over_within(&self, limit: Duration) {
        let began = Instant::now();
        while began.elapsed() < limit {
            let left = query_scalar::<_, i64>(
                "select count(*) from taskq.tasks where state in ('waiting', 'running')",
            )
            .fetch_one(&self.pool)
            .await;
            if matches!(left, Ok(0)) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reads what the tables hold.
    pub(crate) async fn tables(&self) -> Tables {
        let effects: Vec<(i64, i64)> = query_as("select n, count(*) from effect group by n")
            .fetch_all(&self.pool)
            .await
            .expect("effects");
        let committed: Vec<i64> = query_scalar("select first from batch")
            .fetch_all(&self.pool)
            .await
            .expect("batches");
        let discarded: Vec<(i64, i32)> = query_as(
            "select (payload ->> 'n')::bigint, attempts from taskq.dead where state = 'discarded'",
        )
        .fetch_all(&self.pool)
        .await
        .expect("dead tasks");
        let quarantined: Vec<i64> = query_scalar(
            "select (payload ->> 'n')::bigint from taskq.dead where state = 'quarantined'",
        )
        .fetch_all(&self.pool)
        .await
        .expect("dead tasks");
        let left: Vec<i64> = query_scalar(
            "select (payload ->> 'n')::bigint from taskq.tasks
             where state not in ('completed', 'discarded', 'quarantined')",
        )
        .fetch_all(&self.pool)
        .await
        .expect("tasks");
        Tables {
            effects: effects.into_iter().collect(),
            committed: committed.into_iter().collect(),
            discarded: discarded
                .into_iter()
                .map(|(n, attempts)| (n, u16::try_from(attempts).unwrap_or(u16::MAX)))
                .collect::<HashMap<_, _>>(),
            quarantined: quarantined.into_iter().collect(),
            left: left.into_iter().collect(),
        }
    }

    /// Checks everything that has happened. Returns what must not be.
    pub(crate) async fn violations(&self) -> Result<Summary, Vec<String>> {
        verify(&self.read_history(), &self.tables().await, LEASE / 12)
            .map_err(|found| found.iter().map(ToString::to_string).collect())
    }

    /// Waits until all is over, and makes sure that all is well.
    pub(crate) async fn ends_well(&self) -> Summary {
        self.over().await;
        self.is_well().await
    }

    pub(crate) async fn is_well(&self) -> Summary {
        match self.violations().await {
            Ok(summary) => summary,
            Err(found) => panic!(
                "{} violations:\n{}\nhistory and logs: {}",
                found.len(),
                found[..found.len().min(20)].join("\n"),
                self.folder.display()
            ),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What a failed test has left behind is to be read.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A worker process, not started yet.
pub(crate) struct Actor(Command, File);

impl Actor {
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.0.env(name, value.to_string());
        self
    }

    pub(crate) fn start(mut self) -> Running {
        Running(self.0.stderr(self.1).spawn().expect("the worker starts"))
    }

    /// Starts it through another program, such as one that changes its surroundings.
    pub(crate) fn start_through(self, program: &[&str]) -> Running {
        let mut outer = Command::new(program[0]);
        outer.args(&program[1..]).arg(self.0.get_program());
        for (name, value) in self.0.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.1);
        Running(outer.spawn().expect("the worker starts"))
    }
}

/// A worker process, killed with the test if it is still there.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        // It may have ended.
        let _ = kill_process(pid, signal);
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child")
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("ended", async || {
            status = self.has_ended();
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }

    /// Waits until the process has been stopped by SIGSTOP.
    pub(crate) async fn stopped(&self) {
        until("stopped", async || self.is_stopped()).await;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        let path = format!("/proc/{}/stat", self.0.id());
        let stat = fs::read_to_string(path).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default();
        state.trim_start().starts_with('T')
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Inserts tasks, and what the application writes beside them, which is there if and only if the
/// tasks are.
async fn insert(
    db: &mut PgConnection,
    batch: Batch,
    takes_ms: u64,
) -> Result<Transaction<'_, Postgres>, BoxError> {
    let mut tx = db.begin().await?;
    sqlx::query("insert into batch (first) values ($1)")
        .bind(batch.first)
        .execute(&mut *tx)
        .await?;
    let Plan {
        once,
        failures,
        max_attempts,
    } = batch.plan;
    let transactional = |n| Once {
        n,
        failures,
        takes_ms,
    };
    let repeatable = |n| Repeatable {
        n,
        failures,
        takes_ms,
    };
    match (once, max_attempts == Once::OPTIONS.max_attempts) {
        (true, true) => {
            taskq::enqueue_many(&mut tx, batch.numbers().map(transactional)).await?;
        }
        (false, true) => {
            taskq::enqueue_many(&mut tx, batch.numbers().map(repeatable)).await?;
        }
        (true, false) => {
            for n in batch.numbers() {
                let task = taskq::enqueue(&mut tx, transactional(n));
                task.max_attempts(max_attempts).await?;
            }
        }
        (false, false) => {
            for n in batch.numbers() {
                let task = taskq::enqueue(&mut tx, repeatable(n));
                task.max_attempts(max_attempts).await?;
            }
        }
    }
    Ok(tx)
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Returns a random seed, or the one that `TASKQ_SEED` gives, and says which.
pub(crate) fn seed() -> u64 {
    let seed = env::var("TASKQ_SEED")
        .ok()
        .map(|text| text.parse().expect("TASKQ_SEED is a number"))
        .unwrap_or_else(|| fastrand::u64(..));
    println!("TASKQ_SEED={seed}");
    fastrand::seed(seed);
    seed
}

/// Says why a test, or a part of one, did not take place. Past the test harness, which would swallow it.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(io::stderr(), "skipped: {why}");
}
