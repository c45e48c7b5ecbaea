//! A database, the processes that work on it, and the history that they leave.

mod actor;
pub(crate) mod company;
mod enqueue;
mod flow;
mod tables;
mod wait;

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{PgPool, query_scalar};
use taskq::Payload;
use taskq::testing::{Cluster, Database};
use taskq_tests::checker::{Summary, verify};
use taskq_tests::history::{self, Event, Plan, Process, Recorder};
use taskq_tests::proxy::Proxy;
use taskq_tests::tasks::Once;
use tokio::time::sleep;

pub(crate) use self::actor::{Actor, Running};
pub(crate) use self::enqueue::Finale;
pub(crate) use self::wait::{LIMIT, until};

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
            "create table effect (n bigint not null);
             create table batch (first bigint not null);
             create table over (key bigint not null, task_id bigint not null);
             create index over_key on over (key);
             create table tick (schedule text not null, at timestamptz not null)",
        )
        .execute(&pool)
        .await
        .expect("tables");
        let of_company = sqlx::raw_sql(company::TABLES).execute(&pool).await;
        of_company.expect("tables");
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

    /// The address of the database.
    pub(crate) fn url(&self) -> &str {
        &self.url
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
            "TASKQ_HANG_AT",
            "TASKQ_EDITS",
        ] {
            command.env_remove(name);
        }
        Actor::new(command, log)
    }

    /// The address of the database through a proxy.
    pub(crate) fn url_through(&self, proxy: &Proxy) -> String {
        let options: PgConnectOptions = self.url.parse().expect("an address");
        let database = options.get_database().expect("a database");
        format!("postgres://postgres@{}/{database}", proxy.address())
    }

    /// Records a trouble by which no worker vanishes.
    pub(crate) fn trouble(&self, what: impl Into<String>) {
        self.history.record(Event::Trouble(what.into()));
    }

    /// Records a fault in the history.
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

    /// Counts the faults and troubles of this run, by what they were.
    pub(crate) fn faults(&self) -> BTreeMap<String, usize> {
        let mut faults = BTreeMap::new();
        for entry in self.read_history().into_iter().flatten() {
            if let Event::Fault(fault) | Event::Trouble(fault) = entry.event {
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

    /// Checks everything that has happened. Returns what must not be.
    pub(crate) async fn violations(&self) -> Result<Summary, Vec<String>> {
        let processes = self.read_history();
        let judged = verify(&processes, &tables::read(&self.pool).await, LEASE / 12);
        let mut beyond = flow::beyond_limits(&processes);
        let company = company::judge(&self.pool, &processes).await;
        beyond.extend(company.expect("looked at"));
        match judged {
            Ok(summary) if beyond.is_empty() => Ok(summary),
            judged => {
                let mut found = judged.err().unwrap_or_default();
                found.retain(|violation| !company::is_for_anothers_sake(&processes, violation));
                if found.is_empty() && beyond.is_empty() {
                    return Ok(Summary::default());
                }
                let found = found.iter().map(ToString::to_string);
                Err(found.chain(beyond).collect())
            }
        }
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
                "{} violations:\n{}\n{self}",
                found.len(),
                found[..found.len().min(20)].join("\n"),
            ),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "history and logs: {}", self.folder.display())
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
