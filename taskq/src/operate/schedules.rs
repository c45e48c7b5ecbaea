//! Making, changing and running schedules while workers run.

use std::fmt;
use std::future::IntoFuture;
use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::pause::{Pause, Schedule};
use super::schedule_status::ScheduleStatus;
use crate::calendar::Calendar;
use crate::calendar::{CatchUp, Overlap, Rules};
use crate::error::{OperateError, error_text};
use crate::store::{Schema, Store};
use crate::task::by_name::enqueue_options;
use crate::task::options::TaskOptions;
use crate::task::payload::{self, Payload, Unwritable};

/// How many ticks one backfill enqueues at the most. The table's function has the same limit.
const MOST_BACKFILLED: usize = 1_000;

/// Speaks about schedules in the caller's transaction, in the schema `taskq` or in another: see [`Schedules::schema`].
///
/// ```no_run
/// # use std::time::Duration;
/// # #[taskq::task] async fn report(customer: i64) {}
/// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::OperateError> {
/// use taskq::schedule::Overlap;
///
/// let mut schedules = taskq::schedules(tx);
/// schedules
///     .upsert("report of 42", "0 6 * * MON", "Europe/Zurich", Report { customer: 42 })
///     .overlap(Overlap::Skip)
///     .jitter(Duration::from_secs(600))
///     .await?;
/// // Beside its ticks.
/// schedules.run_now("report of 42").await?;
/// for schedule in schedules.list().await? {
///     println!("{schedule}");
/// }
/// schedules.remove("report of 42").await?;
/// # Ok(()) }
/// ```
///
/// Workers hear of it when the transaction commits. Until then they leave the schedules alone that it has changed.
pub fn schedules(conn: &mut PgConnection) -> Schedules<'_> {
    Schedules {
        conn,
        schema: Schema::default(),
        user: None,
    }
}

/// The schedules of a schema: see [`schedules`](fn@crate::schedules).
#[derive(Debug)]
pub struct Schedules<'c> {
    conn: &'c mut PgConnection,
    schema: Schema,
    user: Option<String>,
}

/// What an upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upserted {
    /// It made the schedule.
    Created,
    /// It changed the schedule. If it changed the times, nothing before now is owed.
    Changed,
    /// The schedule was the same before.
    Unchanged,
}

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removed {
    /// The schedule is gone, and its pause.
    Gone,
    /// What a program declares of the schedule holds again.
    Reset,
    /// There was no such schedule.
    Absent,
}

impl<'c> Schedules<'c> {
    /// Speaks about those of another schema than `taskq`.
    pub fn schema(self, schema: Schema) -> Self {
        Self { schema, ..self }
    }

    /// Says who does it. Otherwise that is the role of the connection.
    pub fn as_user(self, user: impl Into<String>) -> Self {
        let user = Some(user.into());
        Self { user, ..self }
    }

    /// Makes a schedule, or changes it, once awaited. Its name is what it is known by: a second call of the same name
    /// changes the same schedule, and so does one of the name of a schedule that a program declares. What is said here
    /// holds until [`remove`](Self::remove), whatever is deployed.
    ///
    /// Nothing is owed of the time before; the first tick comes after now.
    pub fn upsert<P: Payload>(
        &mut self,
        name: &str,
        expression: &str,
        timezone: &str,
        payload: P,
    ) -> Upsert<'_> {
        Upsert {
            store: Store::on(self.conn, self.schema),
            user: self.user.clone(),
            name: name.to_owned(),
            expression: expression.to_owned(),
            timezone: timezone.to_owned(),
            task_type: P::TASK_TYPE,
            declared: const { &P::OPTIONS },
            payload: payload::write(&payload).map_err(unwritable),
            rules: Rules::default(),
            queue: None,
            priority: None,
        }
    }

    /// Takes back what was said by [`upsert`](Self::upsert). What a program declares of the name holds again; without
    /// such a program the schedule is gone.
    ///
    /// # Errors
    ///
    /// [`OperateError::Refused`] where a program declares the schedule, and nothing was said by hand; otherwise see
    /// [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// It is one statement in your transaction: when the future is dropped, it has happened or will not happen.
    pub async fn remove(&mut self, name: &str) -> Result<Removed, OperateError> {
        let removed = self.store().remove_schedule(name).await;
        match &*removed.map_err(|error| self.error(error))? {
            "removed" => Ok(Removed::Gone),
            "reset" => Ok(Removed::Reset),
            _ => Ok(Removed::Absent),
        }
    }

    /// Pauses a schedule until somebody resumes it, and returns the pause that held before, if one did. With a reason
    /// or an end: [`Operator::pause`](crate::operate::Operator::pause) of
    /// [`Schedule`](crate::operate::Schedule).
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// It is one statement in your transaction: when the future is dropped, it has happened or will not happen.
    pub async fn pause(&mut self, name: &str) -> Result<Option<Pause>, OperateError> {
        let user = self.user.clone();
        let pause = self
            .store()
            .pause(&Schedule(name).into(), None, None, user.as_deref())
            .await;
        pause.map_err(|error| self.error(error))
    }

    /// Ends the pause of a schedule, and returns it, if it held. What came meanwhile is not owed.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// It is one statement in your transaction: when the future is dropped, it has happened or will not happen.
    pub async fn resume(&mut self, name: &str) -> Result<Option<Pause>, OperateError> {
        let pause = self.store().resume(&Schedule(name).into()).await;
        pause.map_err(|error| self.error(error))
    }

    /// Enqueues a task of a schedule now, even if it is paused, and returns its id. The next tick comes when it would
    /// have come.
    ///
    /// # Errors
    ///
    /// [`OperateError::Refused`] where there is no such schedule; otherwise see [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// It is one statement in your transaction: when the future is dropped, it has happened or will not happen.
    pub async fn run_now(&mut self, name: &str) -> Result<i64, OperateError> {
        let task_id = self.store().run_schedule(name).await;
        task_id.map_err(|error| self.error(error))
    }

    /// Enqueues the task of each tick in a span of time, whose end is excluded, whatever has become of those before, and
    /// returns their ids in the order of the ticks. The span must be over, and have at most a thousand ticks.
    ///
    /// # Errors
    ///
    /// [`OperateError::Refused`] where there is no such schedule, or the span is not over or has too many ticks; otherwise
    /// see [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// It is one statement in your transaction: when the future is dropped, it has happened or will not happen.
    pub async fn backfill(
        &mut self,
        name: &str,
        span: Range<DateTime<Utc>>,
    ) -> Result<Vec<i64>, OperateError> {
        let rows = self.store().schedules(Some(name)).await;
        let rows = rows.map_err(|error| self.error(error))?;
        let Some(row) = rows.first() else {
            return Err(refuse(format!("there is no schedule {name}")));
        };
        let calendar = Calendar::parse(&row.expression, &row.timezone);
        let calendar = calendar.map_err(|error| refuse(error.to_string()))?;
        let ticks: Vec<_> = calendar.ticks(span).take(MOST_BACKFILLED + 1).collect();
        if ticks.len() > MOST_BACKFILLED {
            let message = format!(
                "a call enqueues at most {MOST_BACKFILLED} ticks, and there are more: take shorter spans"
            );
            return Err(refuse(message));
        }
        let task_ids = self.store().backfill_schedule(name, &ticks).await;
        task_ids.map_err(|error| self.error(error))
    }

    /// Tells what schedules there are, by name.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn list(&mut self) -> Result<Vec<ScheduleStatus>, OperateError> {
        let rows = self.store().schedules(None).await;
        let rows = rows.map_err(|error| self.error(error))?;
        let pauses = self.store().pauses().await;
        let pauses = pauses.map_err(|error| self.error(error))?;
        let status = |row| ScheduleStatus::of(row, &pauses);
        Ok(rows.into_iter().map(status).collect())
    }

    fn store(&mut self) -> Store<'_> {
        Store::on(self.conn, self.schema)
    }

    fn error(&self, error: sqlx::Error) -> OperateError {
        OperateError::of(self.schema.name, error)
    }
}

/// A schedule that is about to be made or changed: see [`Schedules::upsert`].
///
/// # Errors
///
/// [`OperateError::Refused`] if the expression, the zone, the payload or another option cannot be.
///
/// # Cancel safety
///
/// It is one statement: when the future is dropped, it has happened or will not happen.
#[must_use = "nothing is said until this is awaited"]
pub struct Upsert<'c> {
    store: Store<'c>,
    user: Option<String>,
    name: String,
    expression: String,
    timezone: String,
    task_type: &'static str,
    declared: &'static TaskOptions,
    payload: Result<Box<RawValue>, OperateError>,
    rules: Rules,
    queue: Option<String>,
    priority: Option<i16>,
}

impl Upsert<'_> {
    /// Sets what becomes of ticks that were missed; [`CatchUp::Once`] unless set.
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.rules.catch_up = catch_up;
        self
    }

    /// Sets how long ago ticks may have been that are caught up.
    pub fn catch_up_within(mut self, within: Duration) -> Self {
        self.rules.catch_up_within = Some(within);
        self
    }

    /// Sets what a tick does while the task of the last one is still there; [`Overlap::Allow`] unless set.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.rules.overlap = overlap;
        self
    }

    /// Has its tasks start up to so much later, each time by the same, which depends on the schedule's name.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.rules.jitter = jitter;
        self
    }

    /// Puts its tasks in this queue, in place of the one that their type declares.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Gives its tasks this priority, in place of the one that their type declares.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = Some(priority);
        self
    }

    async fn say(mut self) -> Result<Upserted, OperateError> {
        let read = Calendar::parse(&self.expression, &self.timezone).map(drop);
        let checked = read.and_then(|()| self.rules.check());
        checked.map_err(|error| refuse(error.to_string()))?;
        let payload = self.payload?;
        let mut options = enqueue_options(self.declared);
        self.rules.add_to(&mut options);
        if let Some(queue) = self.queue {
            options.insert("queue".into(), queue.into());
        }
        if let Some(priority) = self.priority {
            options.insert("priority".into(), priority.into());
        }
        let schema = self.store.schema().name;
        let said = self
            .store
            .upsert_schedule(
                &self.name,
                &self.expression,
                self.task_type,
                &payload,
                &self.timezone,
                &Value::Object(options),
                self.user.as_deref(),
            )
            .await;
        match &*said.map_err(|error| OperateError::of(schema, error))? {
            "created" => Ok(Upserted::Created),
            "changed" => Ok(Upserted::Changed),
            _ => Ok(Upserted::Unchanged),
        }
    }
}

// Without the payload, which may have secret fields.
impl fmt::Debug for Upsert<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upsert")
            .field("name", &self.name)
            .field("task_type", &self.task_type)
            .finish_non_exhaustive()
    }
}

impl<'c> IntoFuture for Upsert<'c> {
    type Output = Result<Upserted, OperateError>;
    type IntoFuture = BoxFuture<'c, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.say().boxed()
    }
}

fn refuse(message: String) -> OperateError {
    OperateError::Refused { message }
}

fn unwritable(why: Unwritable) -> OperateError {
    let why = match why {
        Unwritable::Invalid(invalid) => invalid.to_string(),
        Unwritable::Encode(error) => error_text(&error),
        Unwritable::TooLarge { size } => format!("it has {size} bytes of JSON"),
    };
    refuse(format!("the payload cannot be enqueued: {why}"))
}
