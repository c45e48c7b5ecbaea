//! Everything that taskq says to Postgres. One file in `sql/` and one function here for each verb.

mod link;
mod row;
mod schema;

use std::borrow::Cow;
use std::time::Duration;

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{Error, PgConnection, query, query_as, query_scalar};
use uuid::Uuid;

pub(crate) use self::link::Link;
#[cfg(feature = "testing")]
pub(crate) use self::row::TaskOfType;
pub(crate) use self::row::{CensusRow, ClaimedRow, ExpiredRow};
pub(crate) use self::schema::in_schema;
pub use self::schema::{InvalidSchemaName, Schema};
use crate::lanes::{Found, Share};
use crate::options::Options;
use crate::verdict::Settlement;

/// Inserts one task.
pub(crate) async fn enqueue(
    db: &mut PgConnection,
    schema: Schema,
    options: &Options,
    payload: &RawValue,
) -> Result<i64, Error> {
    let (run_at, delay) = options.start.run_at_and_delay();
    query_scalar(schema.sql.enqueue)
        .bind(options.task_type)
        .bind(Json(payload))
        .bind(&*options.queue)
        .bind(options.priority)
        .bind(i32::from(options.max_attempts))
        .bind(run_at)
        .bind(delay)
        .fetch_one(db)
        .await
}

/// Inserts tasks of one type and returns their ids in the order given.
pub(crate) async fn enqueue_many(
    db: &mut PgConnection,
    schema: Schema,
    options: &Options,
    payloads: &[Box<RawValue>],
) -> Result<Vec<i64>, Error> {
    let (run_at, delay) = options.start.run_at_and_delay();
    let payloads: Vec<Json<&RawValue>> = payloads.iter().map(|payload| Json(&**payload)).collect();
    query_scalar(schema.sql.enqueue_many)
        .bind(options.task_type)
        .bind(payloads)
        .bind(&*options.queue)
        .bind(options.priority)
        .bind(i32::from(options.max_attempts))
        .bind(run_at)
        .bind(delay)
        .fetch_all(db)
        .await
}

/// Shows the tasks of one type, wherever they are, in the schema `taskq`.
#[cfg(feature = "testing")]
pub(crate) async fn tasks_of_type(
    db: &mut PgConnection,
    task_type: &str,
    limit: i64,
) -> Result<Vec<TaskOfType>, Error> {
    query_as(include_str!("sql/tasks_of_type.sql"))
        .bind(task_type)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// What a claim asks for.
#[derive(Debug)]
pub(crate) struct ClaimRequest<'a> {
    /// The lease of those tasks that share one. Random, and made anew for each claim.
    pub(crate) lease_id: Uuid,
    pub(crate) worker_id: Uuid,
    pub(crate) lease_duration: Duration,
    pub(crate) queue: &'a str,
    pub(crate) limit: usize,
    /// From where, best first, and how many at the most from each.
    pub(crate) shares: &'a [Share],
    /// Task types whose handler completes its task in its own transaction.
    pub(crate) transactional: &'a [String],
}

/// Finds the lanes of a queue that hold tasks of the given types.
pub(crate) async fn lanes(
    db: &mut PgConnection,
    schema: Schema,
    queue: &str,
    task_types: &[String],
) -> Result<Vec<Found>, Error> {
    query_as(schema.sql.lanes)
        .bind(queue)
        .bind(task_types)
        .fetch_all(db)
        .await
}

/// Claims due tasks.
pub(crate) async fn claim(
    db: &mut PgConnection,
    schema: Schema,
    request: &ClaimRequest<'_>,
) -> Result<Vec<ClaimedRow>, Error> {
    let shares = request.shares;
    query_as(schema.sql.claim)
        .bind(request.lease_id)
        .bind(request.worker_id)
        .bind(request.lease_duration.as_secs_f64())
        .bind(request.queue)
        .bind(saturating_i64(request.limit))
        .bind(column(shares, |share| share.task_type.as_str()))
        .bind(column(shares, |share| share.priority))
        .bind(column(shares, |share| {
            share.floor.map(|floor| floor.run_at)
        }))
        .bind(column(shares, |share| {
            share.floor.map_or(i64::MIN, |floor| floor.task_id)
        }))
        .bind(column(shares, |share| saturating_i32(share.limit)))
        .bind(request.transactional)
        .fetch_all(db)
        .await
}

/// Extends leases and returns those that still exist.
pub(crate) async fn heartbeat(
    db: &mut PgConnection,
    schema: Schema,
    lease_ids: &[Uuid],
    lease_duration: Duration,
) -> Result<Vec<Uuid>, Error> {
    query_scalar(schema.sql.heartbeat)
        .bind(lease_ids)
        .bind(lease_duration.as_secs_f64())
        .fetch_all(db)
        .await
}

/// Completes all that is left of leases, given how much that is, and returns the leases for which
/// that was right.
pub(crate) async fn complete(
    db: &mut PgConnection,
    schema: Schema,
    leases: &[(Uuid, usize)],
) -> Result<Vec<Uuid>, Error> {
    query_scalar(schema.sql.complete)
        .bind(column(leases, |(lease_id, _)| *lease_id))
        .bind(column(leases, |(_, remaining)| saturating_i32(*remaining)))
        .fetch_all(db)
        .await
}

/// Takes tasks out of their leases, and returns those whose outcome counted: the others were
/// rescued, and belong to somebody else.
pub(crate) async fn settle(
    db: &mut PgConnection,
    schema: Schema,
    settlements: &[Settlement],
    keep_completed: bool,
) -> Result<Vec<(Uuid, i64)>, Error> {
    query_as(schema.sql.settle)
        .bind(column(settlements, |settlement| settlement.lease_id))
        .bind(column(settlements, |settlement| settlement.task_id))
        .bind(column(settlements, |settlement| settlement.verdict.name()))
        .bind(column(settlements, |settlement| {
            settlement.verdict.delay().as_secs_f64()
        }))
        .bind(column(settlements, |settlement| {
            settlement.verdict.error().map(storable)
        }))
        .bind(keep_completed)
        .fetch_all(db)
        .await
}

/// Finds leases that have run out, oldest first, from where the last page ended.
pub(crate) async fn expired(
    db: &mut PgConnection,
    schema: Schema,
    after: Option<&ExpiredRow>,
    limit: usize,
) -> Result<Vec<ExpiredRow>, Error> {
    query_as(schema.sql.expired)
        .bind(after.map(|row| row.expires_at))
        .bind(after.map_or(Uuid::nil(), |row| row.lease_id))
        .bind(saturating_i64(limit))
        .fetch_all(db)
        .await
}

/// Takes back what is left of a lease, if it has run out, and returns how many tasks that was.
pub(crate) async fn rescue(
    db: &mut PgConnection,
    schema: Schema,
    lease_id: Uuid,
) -> Result<u64, Error> {
    let rescued = query(schema.sql.rescue).bind(lease_id).execute(db).await?;
    Ok(rescued.rows_affected())
}

/// Registers a worker as asleep on queues.
pub(crate) async fn sleep(
    db: &mut PgConnection,
    schema: Schema,
    worker_id: Uuid,
    queues: &[&str],
    duration: Duration,
) -> Result<(), Error> {
    query(schema.sql.sleep)
        .bind(worker_id)
        .bind(queues)
        .bind(duration.as_secs_f64())
        .execute(db)
        .await
        .map(drop)
}

/// Takes back a worker's registration as asleep.
pub(crate) async fn wake(
    db: &mut PgConnection,
    schema: Schema,
    worker_id: Uuid,
    queues: &[&str],
) -> Result<(), Error> {
    query(schema.sql.wake)
        .bind(worker_id)
        .bind(queues)
        .execute(db)
        .await
        .map(drop)
}

/// What a worker says of itself.
#[derive(Debug)]
pub(crate) struct WorkerRow {
    pub(crate) worker_id: Uuid,
    pub(crate) host: String,
    pub(crate) process_id: i32,
    pub(crate) queues: Vec<String>,
    pub(crate) task_types: Vec<String>,
}

/// Says that a worker is alive, and for how long it may be taken to be.
pub(crate) async fn register(
    db: &mut PgConnection,
    schema: Schema,
    worker: &WorkerRow,
    duration: Duration,
) -> Result<(), Error> {
    query(schema.sql.register)
        .bind(worker.worker_id)
        .bind(&worker.host)
        .bind(worker.process_id)
        .bind(&worker.queues)
        .bind(&worker.task_types)
        .bind(duration.as_secs_f64())
        .execute(db)
        .await
        .map(drop)
}

/// Says that a worker has stopped.
pub(crate) async fn unregister(
    db: &mut PgConnection,
    schema: Schema,
    worker_id: Uuid,
) -> Result<(), Error> {
    query(schema.sql.unregister)
        .bind(worker_id)
        .execute(db)
        .await
        .map(drop)
}

/// Counts the waiting tasks that no living worker serves.
pub(crate) async fn census(
    db: &mut PgConnection,
    schema: Schema,
    count_limit: usize,
    kind_limit: usize,
) -> Result<Vec<CensusRow>, Error> {
    query_as(schema.sql.census)
        .bind(saturating_i64(count_limit))
        .bind(saturating_i32(kind_limit))
        .fetch_all(db)
        .await
}

/// Stops the query that another connection's backend is running.
pub(crate) async fn cancel_backend(
    db: &mut PgConnection,
    schema: Schema,
    process_id: i32,
) -> Result<(), Error> {
    query(schema.sql.cancel_backend)
        .bind(process_id)
        .execute(db)
        .await
        .map(drop)
}

/// Tells whether the task tables are there.
pub(crate) async fn schema_exists(db: &mut PgConnection, schema: Schema) -> Result<bool, Error> {
    query_scalar(schema.sql.schema_exists).fetch_one(db).await
}

/// Returns the version of the schema and the oldest binary that can run on it.
pub(crate) async fn schema_version(
    db: &mut PgConnection,
    schema: Schema,
) -> Result<(Option<i32>, Option<i32>), Error> {
    query_as(schema.sql.schema_version).fetch_one(db).await
}

fn column<'a, T, C>(rows: &'a [T], value: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}

// Text in Postgres holds no zero byte.
fn storable(error: &str) -> Cow<'_, str> {
    match error.contains('\0') {
        true => Cow::Owned(error.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(error),
    }
}

fn saturating_i32(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn saturating_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
