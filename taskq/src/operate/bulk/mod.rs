//! All that match: what an operator does to one task, done to all that a filter means.

mod progress;

use std::future::IntoFuture;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

pub use self::progress::{Bulk, BulkFailure, BulkVerb, Retried};
use super::act::Act;
use super::filter::Filter;
use super::pause::Operator;
use crate::error::OperateError;
use crate::store::{BulkRequest, Store};

/// How long to wait where others have locked what is left.
const LOCKED_PAUSE: Duration = Duration::from_millis(100);

impl Operator {
    /// Retries all that match: [`retry`](Self::retry) for each of them. See [`Freezing`].
    ///
    /// Without a state in the filter these are the `discarded`, `invalid`, `quarantined` and `expired` ones.
    /// `cancelled` ones run again if the filter says so; and `waiting` ones are due at once then.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// let filter = "type:send_* error:\"timed out\"".parse()?;
    /// let frozen = operator.retry_all(&filter).because("SMTP works again").await?;
    /// println!("{} tasks", frozen.frozen); // Nothing has happened to them yet.
    /// let ended = operator.run_bulk(frozen.bulk_id, |bulk| println!("{bulk}")).await?;
    /// assert_eq!(ended.frozen, ended.done + ended.skipped + ended.failed);
    /// # Ok(()) }
    /// ```
    pub fn retry_all(&self, filter: &Filter) -> Freezing {
        self.all(BulkVerb::Retry, filter, None)
    }

    /// Deletes all dead tasks that match: [`discard`](Self::discard) for each of them. See [`Freezing`].
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let operator = taskq::operate(&pool);
    /// let filter = "state:dead older:30d".parse()?;
    /// println!("{} would go", operator.discard_all(&filter).count().await?);
    /// # Ok(()) }
    /// ```
    pub fn discard_all(&self, filter: &Filter) -> Freezing {
        self.all(BulkVerb::Discard, filter, None)
    }

    /// Cancels all that match and wait or run: [`cancel`](Self::cancel) for each of them. See [`Freezing`].
    ///
    /// With `state:waiting` a task that has begun meanwhile is skipped, and runs on.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// let frozen = operator.cancel_all(&"queue:import".parse()?).await?;
    /// operator.run_bulk(frozen.bulk_id, |_| ()).await?;
    /// # Ok(()) }
    /// ```
    pub fn cancel_all(&self, filter: &Filter) -> Freezing {
        self.all(BulkVerb::Cancel, filter, None)
    }

    /// Has all that match and wait be due at this time, by the clock of Postgres. See [`Freezing`].
    ///
    /// ```no_run
    /// # use taskq::chrono::{DateTime, Utc};
    /// # async fn f(pool: sqlx::PgPool, monday: DateTime<Utc>) -> Result<(), Box<dyn std::error::Error>> {
    /// let operator = taskq::operate(&pool);
    /// let frozen = operator.reschedule_all(&"type:send_invoice".parse()?, monday).await?;
    /// operator.run_bulk(frozen.bulk_id, |_| ()).await?;
    /// # Ok(()) }
    /// ```
    pub fn reschedule_all(&self, filter: &Filter, at: DateTime<Utc>) -> Freezing {
        self.all(BulkVerb::Reschedule, filter, Some(at))
    }

    fn all(&self, verb: BulkVerb, filter: &Filter, at: Option<DateTime<Utc>>) -> Freezing {
        Freezing {
            operator: self.clone(),
            verb,
            filter: filter.clone(),
            at,
            reason: None,
        }
    }

    /// Does what was frozen, or goes on with it, and returns once it has ended or somebody has stopped it.
    ///
    /// It takes a thousand tasks at a time, each part in a transaction of its own. `progress` is called after each. A
    /// task that is no longer where it was is skipped. One that Postgres refuses has failed, and its neighbours go on;
    /// so has one that another transaction has locked a hundred times. So in the end `done + skipped + failed` is
    /// `frozen`, whatever workers claim meanwhile. Several processes may run one operation together.
    ///
    /// # Errors
    ///
    /// [`OperateError::Refused`] if there is no such operation; otherwise see [`OperateError`]. What is done stays done;
    /// call it again to go on.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, or the process dies, the part under way is done whole or not at all. The rest is left
    /// until this is called again: [`bulks`](Self::bulks) has what has not ended.
    pub async fn run_bulk(
        &self,
        bulk_id: i64,
        mut progress: impl FnMut(&Bulk),
    ) -> Result<Bulk, OperateError> {
        let mut store = self.store();
        let mut bulk = self.begin_bulk(bulk_id, None).await?;
        while !bulk.rests() {
            let step = store.step_bulk(bulk_id).await;
            let next = Bulk::of(step.map_err(|error| self.error(error))?);
            let is_held_up = next.left() == bulk.left() && !next.rests();
            bulk = next;
            progress(&bulk);
            if is_held_up {
                sleep(LOCKED_PAUSE).await;
            }
        }
        Ok(bulk)
    }

    /// Has an operation begin, or go on, and takes no part of it yet. A reason that is given where it begins takes the place of
    /// the one with which it was frozen.
    pub(crate) async fn begin_bulk(
        &self,
        bulk_id: i64,
        reason: Option<&str>,
    ) -> Result<Bulk, OperateError> {
        let user = self.user.as_deref();
        let begun = self.store().begin_bulk(bulk_id, user, reason).await;
        begun.map(Bulk::of).map_err(|error| self.error(error))
    }

    /// Has an operation rest after the part that is being taken, whoever runs it, and returns it, if there is one.
    /// [`run_bulk`](Self::run_bulk) has it go on.
    pub fn stop_bulk(&self, bulk_id: i64) -> Act<Option<Bulk>> {
        self.act(async move |mut store, signed| {
            let stopped = store.stop_bulk(bulk_id, &signed).await?;
            Ok(stopped.map(Bulk::of))
        })
    }

    /// Forgets what was frozen and has not begun. Returns whether there was such an operation.
    pub fn drop_bulk(&self, bulk_id: i64) -> Act<bool> {
        self.act(async move |mut store, signed| store.drop_bulk(bulk_id, &signed).await)
    }

    /// Tells of the newest hundred operations, the newest first.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The table is only read, so the future may be dropped at any time.
    pub async fn bulks(&self) -> Result<Vec<Bulk>, OperateError> {
        let bulks = self.store().bulks(None, 100).await;
        let bulks = bulks.map_err(|error| self.error(error))?;
        Ok(bulks.into_iter().map(Bulk::of).collect())
    }

    /// Tells of one operation.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The table is only read, so the future may be dropped at any time.
    pub async fn bulk(&self, bulk_id: i64) -> Result<Option<Bulk>, OperateError> {
        let bulks = self.store().bulks(Some(bulk_id), 1).await;
        let mut bulks = bulks.map_err(|error| self.error(error))?;
        Ok(bulks.pop().map(Bulk::of))
    }

    /// Tells which tasks of an operation have failed, and why: about the first thousand.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The table is only read, so the future may be dropped at any time.
    pub async fn bulk_failures(&self, bulk_id: i64) -> Result<Vec<BulkFailure>, OperateError> {
        let failures = self.store().bulk_failures(bulk_id).await;
        let failures = failures.map_err(|error| self.error(error))?;
        let failure = |(task_id, error)| BulkFailure { task_id, error };
        Ok(failures.into_iter().map(failure).collect())
    }

    /// Tells what has become of the tasks that a retry of all that matched has had run again: whether they really go now.
    /// It follows about the first ten thousand of them, until a week after the operation has ended.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool, bulk_id: i64) -> Result<(), taskq::OperateError> {
    /// let now = taskq::operate(&pool).follow_bulk(bulk_id).await?;
    /// println!("{} of {} have completed, and {} are dead again", now.completed, now.followed, now.dead);
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
    pub async fn follow_bulk(&self, bulk_id: i64) -> Result<Retried, OperateError> {
        let retried = self.store().follow_bulk(bulk_id).await;
        Ok(Retried::of(&retried.map_err(|error| self.error(error))?))
    }
}

/// All tasks that match, which are about to be frozen: see [`Operator::retry_all`] and its like.
///
/// Awaited, it writes down the ids of all that match now, and does nothing to them: [`Operator::run_bulk`] does. So it
/// is done to those that were counted, and to no others. What was frozen and has not begun within a day is forgotten.
///
/// # Errors
///
/// [`OperateError::Refused`] if the filter has a state in which that cannot be done; otherwise see [`OperateError`].
///
/// # Cancel safety
///
/// It is one statement, without a time limit: when the future is dropped, it has happened or will not happen.
#[derive(Debug)]
#[must_use = "nothing is frozen until this is awaited"]
pub struct Freezing {
    operator: Operator,
    verb: BulkVerb,
    filter: Filter,
    at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

impl Freezing {
    /// Says why. The audit shows it, and the errors of cancelled tasks.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }

    /// Says when retried or rescheduled tasks are due. Unless it is said, retried ones are due at once.
    pub fn at(self, at: DateTime<Utc>) -> Self {
        Self {
            at: Some(at),
            ..self
        }
    }

    /// Counts what would be frozen, and changes nothing. It reads the tables of the filter's states to their end.
    ///
    /// # Errors
    ///
    /// Those of [`Freezing`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn count(&self) -> Result<u64, OperateError> {
        let mut connection = self.operator.connection().await?;
        let mut store = Store::on(&mut connection, self.operator.tables());
        match store.count_matching(&self.request()).await {
            Ok(count) => Ok(count.unsigned_abs()),
            Err(error) => Err(self.operator.error(error)),
        }
    }

    fn request(&self) -> BulkRequest<'_> {
        BulkRequest {
            verb: self.verb.name(),
            filter: self.filter.to_json(),
            said: self.filter.to_string(),
            run_at: self.at,
            reason: self.reason.as_deref(),
            by: self.operator.user.as_deref(),
        }
    }
}

impl IntoFuture for Freezing {
    type Output = Result<Bulk, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let mut connection = self.operator.connection().await?;
            let mut store = Store::on(&mut connection, self.operator.tables());
            match store.freeze_bulk(&self.request()).await {
                Ok(frozen) => Ok(Bulk::of(frozen)),
                Err(error) => Err(self.operator.error(error)),
            }
        }
        .boxed()
    }
}
