//! Which workers there are, and having one of them stop.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::act::Act;
use super::pause::Operator;
use crate::error::OperateError;
use crate::store::WorkerStatusRow;

impl Operator {
    /// Tells which workers there are, those that live first: what they serve, what they hold, and when they were last heard
    /// of. A worker that has stopped is not among them; one that vanished is, for an hour. 1,000 at the most.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// for worker in taskq::operate(&pool).workers().await? {
    ///     println!("{} {}: {} running", worker.host, worker.process_id, worker.running);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn workers(&self) -> Result<Vec<WorkerStatus>, OperateError> {
        let rows = self.store().workers().await;
        let rows = rows.map_err(|error| self.error(error))?;
        Ok(rows.into_iter().map(WorkerStatus::of).collect())
    }

    /// Tells which attempts are perhaps stuck, the oldest first: those of living workers that have run for over a minute, and
    /// four times as long as 99 of 100 of their type took in the last day. Of a type with fewer than twenty attempts in that
    /// day nothing is known. Of any type it tells those that block their threads: whose handlers have not come to an `await` for
    /// ten seconds. A hundred at the most.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// for it in taskq::operate(&pool).stuck().await? {
    ///     println!("task {} runs since {}: {:?}", it.task_id, it.claimed_at, it.doing);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn stuck(&self) -> Result<Vec<Stuck>, OperateError> {
        let stuck = self.store().stuck().await;
        stuck.map_err(|error| self.error(error))
    }

    /// Asks one worker to stop gracefully, as SIGTERM does, and returns since when it is asked. It claims nothing more, lets
    /// its handlers end for as long as its
    /// grace period is, hands the rest back, and ends. [`Worker::run_until`](crate::Worker::run_until) returns `Ok` then,
    /// and usually the process ends; if its supervisor starts another, that one works.
    ///
    /// The worker hears of it at once. If it misses that, its next heartbeat tells it: within a quarter of its lease, and fifteen
    /// seconds at most. To ask again is no error. It is recorded in `taskq.audit`: who, when and why.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool, worker_id: uuid::Uuid) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// operator.stop_worker(worker_id).because("its host is being changed").await?;
    /// # Ok(()) }
    /// ```
    pub fn stop_worker(&self, worker_id: Uuid) -> Act<DateTime<Utc>> {
        self.act(async move |mut store, signed| store.stop_worker(worker_id, &signed).await)
    }

    /// Forgets a worker that vanished, once somebody knows why: an hour later it is forgotten anyway. Returns whether there was
    /// one. A worker that lives is refused, and so is one whose tasks no other has rescued yet.
    pub fn forget_worker(&self, worker_id: Uuid) -> Act<bool> {
        self.act(async move |mut store, signed| store.forget_worker(worker_id, &signed).await)
    }
}

/// A worker: see [`Operator::workers`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Made anew for each worker: [`Worker::id`](crate::Worker::id).
    #[serde(serialize_with = "as_text")]
    pub worker_id: Uuid,
    /// On which host its process is.
    pub host: String,
    /// The id of its process there.
    pub process_id: i32,
    /// What its program calls this version of itself: [`WorkerBuilder::release`](crate::WorkerBuilder::release).
    pub release: Option<String>,
    /// The queues that it works on.
    pub queues: Vec<String>,
    /// The task types that it knows, with their aliases.
    pub task_types: Vec<String>,
    /// How many tasks it runs at once, of all its queues; `None` if it is of a version that does not say so.
    pub slots: Option<i32>,
    /// How many tasks it has: those that run, and those that wait in it for a slot.
    pub running: i64,
    /// In how many leases.
    pub leases: i64,
    /// When it claimed the oldest of these.
    pub oldest_claimed_at: Option<DateTime<Utc>>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When its last heartbeat came.
    pub seen_at: DateTime<Utc>,
    /// Until when it is taken to be alive.
    pub expires_at: DateTime<Utc>,
    /// Since when it is asked to stop.
    pub stop_asked_at: Option<DateTime<Utc>>,
    /// Whether it is taken to be alive now.
    pub is_alive: bool,
}

/// An attempt that is perhaps stuck: see [`Operator::stuck`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stuck {
    /// The task.
    pub task_id: i64,
    /// Its task type.
    pub task_type: String,
    /// Its queue.
    pub queue: String,
    /// When the worker claimed it.
    pub claimed_at: DateTime<Utc>,
    /// How long 99 of 100 attempts of its type took at the most; `None` where it is here because it blocks its thread.
    pub usual_seconds: Option<f64>,
    /// The worker that runs it.
    pub worker_id: String,
    /// Where that worker is.
    pub host: String,
    /// Its process there.
    pub process_id: i32,
    /// What is known of it: for how long it has blocked its thread; what it said last by
    /// [`Attempt::progress`](crate::Attempt::progress); and what the session does in which it has a transaction. Other roles'
    /// sessions show that to members of `pg_monitor` alone.
    pub doing: Option<String>,
    /// The thread that it blocks.
    pub thread: Option<String>,
}

impl WorkerStatus {
    fn of(row: WorkerStatusRow) -> Self {
        Self {
            worker_id: row.worker_id,
            host: row.host,
            process_id: row.process_id,
            release: row.release,
            queues: row.queues,
            task_types: row.task_types,
            slots: row.slots,
            running: row.running,
            leases: row.leases,
            oldest_claimed_at: row.oldest_claimed_at,
            started_at: row.started_at,
            seen_at: row.seen_at,
            expires_at: row.expires_at,
            stop_asked_at: row.stop_asked_at,
            is_alive: row.is_alive,
        }
    }
}

fn as_text<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
