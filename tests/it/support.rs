//! What the tests share: a worker beside a test, bounded waits, a look at the tables, the log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Once;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, query_as};
use taskq::testing::Database;
use taskq::{Worker, WorkerBuilder};
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything takes that goes well, on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The text of a claim, of the files that say how it takes tasks, and how these share leases.
macro_rules! claim_of {
    ($($part:literal),+) => {
        concat!(
            $crate::support::claim_part!("claim"),
            $($crate::support::claim_part!($part),)+
        )
    };
}

macro_rules! claim_part {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../taskq/src/store/sql/claim/",
            $name,
            ".sql"
        ))
    };
}

pub(crate) use {claim_of, claim_part};

/// A migrated database of its own, and a pool that is large enough for any worker here.
pub(crate) async fn database() -> (Database, PgPool) {
    let database = Database::fresh().await.expect("a database");
    let pool = database.pool_of(40);
    (database, pool)
}

/// A pool of connections whose transactions do not see what others commit meanwhile.
pub(crate) fn isolated(pool: &PgPool) -> PgPool {
    let options = pool.connect_options().as_ref().clone();
    let options = options.options([("default_transaction_isolation", "repeatable read")]);
    let pool = PgPoolOptions::new().max_connections(20);
    pool.connect_lazy_with(options)
}

/// A worker that is quick to notice everything.
pub(crate) fn worker(pool: &PgPool) -> WorkerBuilder {
    Worker::builder(pool.clone()).queue("default", 10)
}

/// Runs a worker beside `test`, and stops it gracefully afterwards.
pub(crate) async fn while_working<T>(worker: WorkerBuilder, test: impl Future<Output = T>) -> T {
    let worker = worker.build().await.expect("the worker starts");
    let (stop, stopped) = oneshot::channel::<()>();
    let test = async {
        let result = timeout(LIMIT, test).await.expect("the test ends in time");
        drop(stop);
        result
    };
    let run = worker.run_until(async {
        stopped.await.ok();
    });
    let (result, ended) = tokio::join!(test, run);
    ended.expect("the worker stops in order");
    result
}

/// Asks a process to end in order. Not by the command `kill`, which a small system has not.
pub(crate) fn terminate(process: &Child) {
    let id = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    kill_process(id.expect("it runs"), Signal::TERM).expect("told");
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a worker until the tables hold nothing but finished tasks.
pub(crate) async fn drain(worker: WorkerBuilder, pool: &PgPool) {
    while_working(
        worker,
        until("drained", async || {
            let states = states(pool).await;
            !states.contains_key("waiting") && !states.contains_key("running")
        }),
    )
    .await;
}

/// Counts all tasks by state.
pub(crate) async fn states(pool: &PgPool) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> =
        query_as("select state, count(*) from taskq.tasks group by state")
            .fetch_all(pool)
            .await
            .expect("the view is readable");
    rows.into_iter().collect()
}

/// One task, as `taskq.tasks` shows it.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct TaskRow {
    pub(crate) state: String,
    pub(crate) attempts: i32,
    pub(crate) crashes: i32,
    pub(crate) errors: Option<serde_json::Value>,
    pub(crate) due_in: Option<f64>,
}

impl TaskRow {
    /// The error of the latest failed attempt.
    pub(crate) fn error(&self) -> &str {
        self.errors
            .as_ref()
            .and_then(|errors| errors.as_array()?.last()?["error"].as_str())
            .unwrap_or_default()
    }
}

/// Looks a task up, wherever it is; `None` when it is gone.
pub(crate) async fn task(pool: &PgPool, task_id: i64) -> Option<TaskRow> {
    query_as(
        "select state, attempts, crashes, errors, extract(epoch from run_at - now())::float8 as due_in
         from taskq.tasks where task_id = $1",
    )
    .bind(task_id)
    .fetch_optional(pool)
    .await
    .expect("the view is readable")
}

/// Makes a table in which handlers leave their effects.
pub(crate) async fn effects(pool: &PgPool) {
    execute(pool, "create table effect (n bigint not null)").await;
}

pub(crate) async fn count_effects(pool: &PgPool) -> (i64, i64) {
    query_as("select count(*), count(distinct n) from effect")
        .fetch_one(pool)
        .await
        .expect("the table of effects")
}

pub(crate) async fn execute(pool: &PgPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.expect(sql);
}

pub(crate) async fn one<T>(pool: &PgPool, sql: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(sql).fetch_one(pool).await.expect(sql)
}

/// Leaves what waits in one lease of a worker that is gone.
pub(crate) async fn leave_behind(pool: &PgPool) {
    execute(
        pool,
        "with batch as (delete from taskq.task returning *)
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors, metadatas)
         select gen_random_uuid(), gen_random_uuid(), 'default', now() - interval '1 minute', array_agg(task_id), array_agg(task_type), array_agg(payload_version), array_agg(payload), array_agg(priority), array_agg(run_at), array_agg(created_at), array_agg(max_attempts), array_agg(attempts), array_agg(crashes), array_agg(errors), array_agg(metadata) from batch",
    )
    .await;
}

thread_local! {
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What is logged on this thread while it lives. Each test has a thread of its own, and so does
/// everything that its worker spawns.
pub(crate) struct Log(());

impl Log {
    pub(crate) fn capture() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(tracing::Level::INFO)
                .with_writer(|| Writer)
                .init();
        });
        LOG.set(Some(Vec::new()));
        Self(())
    }

    /// For a subscriber of a test's own.
    pub(crate) fn writer(&self) -> impl Fn() -> Writer + Send + Sync + 'static {
        || Writer
    }

    pub(crate) fn text(&self) -> String {
        LOG.with_borrow(|log| {
            String::from_utf8_lossy(log.as_deref().unwrap_or_default()).into_owned()
        })
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.text().contains(part)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LOG.set(None);
    }
}

pub(crate) struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| {
            if let Some(log) = log {
                log.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
