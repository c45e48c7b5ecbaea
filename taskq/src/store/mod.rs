//! Everything that taskq says to Postgres. One file in `sql/` and one function here for each verb.

mod check;
mod copy;
mod link;
mod row;
mod schema;
mod statements;
mod transaction;

use std::borrow::Cow;
use std::time::Duration;

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{Error, PgConnection, query, query_as, query_scalar};
use uuid::Uuid;

pub(crate) use self::check::{CheckedRow, Page, check, check_last, check_running};
pub(crate) use self::copy::Copy;
pub(crate) use self::link::Link;
#[cfg(feature = "testing")]
pub(crate) use self::row::TaskOfType;
pub(crate) use self::row::{
    CensusRow, ClaimedLease, ClaimedRow, ExpiredRow, RescuedRow, ResultRow, version_of,
};
pub(crate) use self::schema::in_schema;
pub use self::schema::{InvalidSchemaName, Schema};
pub(crate) use self::transaction::{
    BEGIN, OwnCompletions, commit_and_begin, is_lease_gone, undo_attempt,
};
use crate::attempt::verdict::Settlement;
use crate::faults::crash_point;
use crate::lane::{Found, Place, Share, Stretch};
use crate::task::options::Options;

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
        .bind(saturating_i16(options.payload_version))
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
        .bind(saturating_i16(options.payload_version))
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
    query_as(include_str!("sql/operate/tasks_of_type.sql"))
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
    /// Whether the server must not be able to forget the claim in a crash.
    pub(crate) is_durable: bool,
}

/// Finds the lanes of a queue that hold tasks of the given types, in versions up to the newest
/// known of each.
pub(crate) async fn scan(
    db: &mut PgConnection,
    schema: Schema,
    queue: &str,
    known: &[(String, u16)],
    worker_id: Uuid,
) -> Result<Vec<Found>, Error> {
    query_as(schema.sql.scan)
        .bind(queue)
        .bind(column(known, |(task_type, _)| task_type.as_str()))
        .bind(column(known, |(_, newest)| saturating_i16(*newest)))
        .bind(worker_id)
        .fetch_all(db)
        .await
}

/// Sets the next tasks of lanes apart for a claim, each from where this worker knows it to have been
/// claimed. Not every lane has as many.
pub(crate) async fn reserve(
    db: &mut PgConnection,
    schema: Schema,
    queue: &str,
    shares: &[(&Share, Place)],
) -> Result<Vec<Stretch>, Error> {
    crash_point("before_reserve");
    let stretches = query_as(schema.sql.reserve)
        .bind(queue)
        .bind(column(shares, |(share, _)| share.lane.task_type.as_str()))
        .bind(column(shares, |(share, _)| share.lane.payload_version))
        .bind(column(shares, |(share, _)| share.lane.priority))
        .bind(column(shares, |(_, floor)| floor.run_at))
        .bind(column(shares, |(_, floor)| floor.task_id))
        .bind(column(shares, |(share, _)| saturating_i32(share.limit)))
        .fetch_all(db)
        .await;
    crash_point("after_reserve");
    stretches
}

/// Claims due tasks, and returns the leases on them.
pub(crate) async fn claim(
    db: &mut PgConnection,
    schema: Schema,
    request: &ClaimRequest<'_>,
) -> Result<Vec<ClaimedLease>, Error> {
    let shares = request.shares;
    crash_point("before_claim");
    let claimed = query_as(schema.sql.claim)
        .bind(request.lease_id)
        .bind(request.worker_id)
        .bind(request.lease_duration.as_secs_f64())
        .bind(request.queue)
        .bind(saturating_i64(request.limit))
        .bind(column(shares, |share| share.lane.task_type.as_str()))
        .bind(column(shares, |share| share.lane.payload_version))
        .bind(column(shares, |share| share.lane.crashes))
        .bind(column(shares, |share| share.lane.priority))
        .bind(column(shares, |share| {
            share.floor.map(|floor| floor.run_at)
        }))
        .bind(column(shares, |share| {
            share.floor.map_or(i64::MIN, |floor| floor.task_id)
        }))
        .bind(column(shares, |share| {
            share.ceiling.map(|ceiling| ceiling.run_at)
        }))
        .bind(column(shares, |share| {
            share.ceiling.map_or(i64::MAX, |ceiling| ceiling.task_id)
        }))
        .bind(column(shares, |share| saturating_i32(share.limit)))
        .bind(request.transactional)
        .bind(request.is_durable)
        .fetch_all(db)
        .await;
    crash_point("after_claim");
    claimed
}

/// Extends leases and returns those that still exist.
pub(crate) async fn heartbeat(
    db: &mut PgConnection,
    schema: Schema,
    lease_ids: &[Uuid],
    lease_duration: Duration,
) -> Result<Vec<Uuid>, Error> {
    crash_point("before_heartbeat");
    let extended = query_scalar(schema.sql.heartbeat)
        .bind(lease_ids)
        .bind(lease_duration.as_secs_f64())
        .fetch_all(db)
        .await;
    crash_point("after_heartbeat");
    extended
}

/// Completes all that is left of leases, given how much that is, and returns the leases for which
/// that was right.
pub(crate) async fn complete(
    db: &mut PgConnection,
    schema: Schema,
    leases: &[(Uuid, usize)],
) -> Result<Vec<Uuid>, Error> {
    crash_point("before_complete");
    let completed = query_scalar(schema.sql.complete)
        .bind(column(leases, |(lease_id, _)| *lease_id))
        .bind(column(leases, |(_, remaining)| saturating_i32(*remaining)))
        .fetch_all(db)
        .await;
    crash_point("after_complete");
    completed
}

/// Tells which process of the server works for a connection.
pub(crate) async fn backend(db: &mut PgConnection) -> Result<i32, Error> {
    query_scalar("select pg_backend_pid()").fetch_one(db).await
}

/// Adds to the counters of what became of tasks.
pub(crate) async fn count(
    db: &mut PgConnection,
    schema: Schema,
    counts: &[(&str, &str, u64)],
) -> Result<(), Error> {
    query(schema.sql.count)
        .bind(column(counts, |(task_type, _, _)| *task_type))
        .bind(column(counts, |(_, outcome, _)| *outcome))
        .bind(column(counts, |(_, _, total)| {
            i64::try_from(*total).unwrap_or(i64::MAX)
        }))
        .execute(db)
        .await
        .map(drop)
}

/// Completes tasks that leave others behind in their leases, given how much is left of each lease
/// with them, and returns the leases for which that was right.
pub(crate) async fn complete_some(
    db: &mut PgConnection,
    schema: Schema,
    leases: &[(Uuid, usize)],
    tasks: &[(Uuid, i64)],
) -> Result<Vec<Uuid>, Error> {
    crash_point("before_complete");
    let completed = query_scalar(schema.sql.complete_some)
        .bind(column(leases, |(lease_id, _)| *lease_id))
        .bind(column(leases, |(_, remaining)| saturating_i32(*remaining)))
        .bind(column(tasks, |(lease_id, _)| *lease_id))
        .bind(column(tasks, |(_, task_id)| *task_id))
        .fetch_all(db)
        .await;
    crash_point("after_complete");
    completed
}

/// Takes tasks out of their leases, and returns those whose outcome counted: the others were
/// rescued, and belong to somebody else.
pub(crate) async fn settle(
    db: &mut PgConnection,
    schema: Schema,
    settlements: &[Settlement],
) -> Result<Vec<(Uuid, i64)>, Error> {
    crash_point("before_settle");
    let settled = query_as(schema.sql.settle)
        .bind(column(settlements, |settlement| settlement.lease_id))
        .bind(column(settlements, |settlement| settlement.task_id))
        .bind(column(settlements, |settlement| settlement.verdict.name()))
        .bind(column(settlements, |settlement| {
            settlement.verdict.delay().as_secs_f64()
        }))
        .bind(column(settlements, |settlement| {
            settlement.verdict.error().map(storable)
        }))
        .bind(column(settlements, |settlement| settlement.keep))
        .bind(results(settlements))
        .fetch_all(db)
        .await;
    crash_point("after_settle");
    settled
}

/// Returns a column of results, if there is any: most task types have none, and send nothing.
fn results(settlements: &[Settlement]) -> Option<Vec<Option<&str>>> {
    let results = column(settlements, |settlement| settlement.verdict.result());
    results.iter().any(Option::is_some).then_some(results)
}

/// Tells where a task is, and what its handler returned.
pub(crate) async fn result(
    db: &mut PgConnection,
    schema: Schema,
    task_id: i64,
) -> Result<Option<ResultRow>, Error> {
    query_as(schema.sql.result)
        .bind(task_id)
        .fetch_optional(db)
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

/// Takes back what is left of a lease, if it has run out, and returns those tasks. With
/// `quarantine_after` crashes a task does not wait again, but is set aside.
pub(crate) async fn rescue(
    db: &mut PgConnection,
    schema: Schema,
    lease_id: Uuid,
    quarantine_after: i32,
) -> Result<Vec<RescuedRow>, Error> {
    crash_point("before_rescue");
    let rescued = query_as(schema.sql.rescue)
        .bind(lease_id)
        .bind(quarantine_after)
        .fetch_all(db)
        .await;
    crash_point("after_rescue");
    rescued
}

/// Drops the days of the history that ended longer than `keep` ago, and returns how many.
pub(crate) async fn prune(
    db: &mut PgConnection,
    schema: Schema,
    keep: Duration,
) -> Result<i32, Error> {
    query_scalar(schema.sql.prune)
        .bind(keep.as_secs_f64())
        .fetch_one(db)
        .await
}

/// Registers a worker as asleep on queues.
pub(crate) async fn listen(
    db: &mut PgConnection,
    schema: Schema,
    worker_id: Uuid,
    queues: &[&str],
    duration: Duration,
) -> Result<(), Error> {
    query(schema.sql.listen)
        .bind(worker_id)
        .bind(queues)
        .bind(duration.as_secs_f64())
        .execute(db)
        .await
        .map(drop)
}

/// Takes back a worker's registration as asleep.
pub(crate) async fn unlisten(
    db: &mut PgConnection,
    schema: Schema,
    worker_id: Uuid,
    queues: &[&str],
) -> Result<(), Error> {
    query(schema.sql.unlisten)
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

fn saturating_i16(number: u16) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

fn saturating_i32(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn saturating_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
