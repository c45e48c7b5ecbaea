//! Making, changing and running schedules while workers run.

use std::ops::Range;

use chrono::{DateTime, Utc};
#[cfg(feature = "cli")]
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::pause::{Pause, Schedule};
use super::schedule_status::ScheduleStatus;
pub use super::upsert::{Upsert, Upserted};
use crate::calendar::Calendar;
use crate::error::OperateError;
use crate::store::{Schema, Signed, Store};
#[cfg(feature = "cli")]
use crate::task::by_name::enqueue_options;
#[cfg(feature = "cli")]
use crate::task::options::TaskOptions;
use crate::task::payload::Payload;

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
        signed: Signed::default(),
    }
}

/// The schedules of a schema: see [`schedules`](fn@crate::schedules).
#[derive(Debug)]
pub struct Schedules<'c> {
    conn: &'c mut PgConnection,
    schema: Schema,
    signed: Signed,
}

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removed {
    /// The schedule is gone, and its pause.
    Gone,
    /// What a program declares of the schedule holds again. Nothing before now is owed, unless it ticks at the same times.
    Reset,
    /// What a program declares of the schedule holds again. No worker could read what was said by hand: ticks that have
    /// come since that was said are made up, as its [`CatchUp`](crate::schedule::CatchUp) says.
    Mended,
    /// There was no such schedule.
    Absent,
}

impl<'c> Schedules<'c> {
    /// Speaks about those of another schema than `taskq`.
    pub fn schema(self, schema: Schema) -> Self {
        Self { schema, ..self }
    }

    /// Says who does it. Otherwise that is the role of the connection.
    pub fn as_user(mut self, user: impl Into<String>) -> Self {
        self.signed.by = Some(user.into());
        self
    }

    /// Says why. The audit shows it, and the lists of schedules and pauses.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.signed.reason = Some(reason.into());
        self
    }

    /// Makes a schedule, or changes it, once awaited. Its name is what it is known by: a second call of the same name
    /// changes the same schedule, and so does one of the name of a schedule that a program declares. What is said here
    /// holds until [`remove`](Self::remove), whatever is deployed.
    ///
    /// Nothing is owed of the time before; the first tick comes after now. Where no worker could read what held before, the
    /// schedule has stood still since that was said, and what has come since is made up, as its
    /// [`CatchUp`](crate::schedule::CatchUp) says.
    pub fn upsert<P: Payload>(
        &mut self,
        name: &str,
        expression: &str,
        timezone: &str,
        payload: P,
    ) -> Upsert<'_> {
        let store = Store::on(self.conn, self.schema);
        let signed = self.signed.clone();
        Upsert::new(store, signed, [name, expression, timezone], payload)
    }

    /// As [`upsert`](Self::upsert), of a type that is known by its name alone, or declares this.
    #[cfg(feature = "cli")]
    pub(crate) fn upsert_by_name(
        &mut self,
        texts: [&str; 3],
        of_type: (&str, Option<&TaskOptions>),
        payload: Box<RawValue>,
    ) -> Upsert<'_> {
        let store = Store::on(self.conn, self.schema);
        let (task_type, declared) = of_type;
        let options = declared.map(enqueue_options).unwrap_or_default();
        Upsert::by_name(
            store,
            self.signed.clone(),
            texts,
            (task_type, options),
            payload,
        )
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
        let removed = Store::on(self.conn, self.schema)
            .remove_schedule(name, &self.signed)
            .await;
        let removed = removed.map_err(|error| self.error(error))?;
        Ok(Removed::of(&removed))
    }

    /// Pauses a schedule until somebody resumes it, and returns the pause that held before, if one did. With
    /// an end: [`Operator::pause`](crate::operate::Operator::pause) of
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
        let Signed { by, reason } = &self.signed;
        let mut store = Store::on(self.conn, self.schema);
        let scope = Schedule(name).into();
        let pause = store.pause(&scope, reason.as_deref(), None, by.as_deref());
        let pause = pause.await;
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
        let mut store = Store::on(self.conn, self.schema);
        let pause = store.resume(&Schedule(name).into(), &self.signed).await;
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
        let task_id = Store::on(self.conn, self.schema)
            .run_schedule(name, &self.signed)
            .await;
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
        let task_ids = Store::on(self.conn, self.schema)
            .backfill_schedule(name, &ticks, &self.signed)
            .await;
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

impl Removed {
    /// Says what has become of the schedule, and of what it missed.
    #[cfg(any(feature = "cli", feature = "dashboard"))]
    pub(crate) fn said(self, name: &str) -> String {
        let undone =
            format!("the change to schedule {name} is undone: what a program declares holds again");
        match self {
            Self::Gone => format!("schedule {name} is removed"),
            Self::Reset => format!(
                "{undone}, from its next tick on. What was missed before is not made up: run it now if that is still wanted"
            ),
            Self::Mended => format!(
                "{undone}, and what was missed while no worker could read the change is made up at once"
            ),
            Self::Absent => format!("there is no schedule {name}"),
        }
    }

    pub(super) fn of(word: &str) -> Self {
        match word {
            "removed" => Self::Gone,
            "reset" => Self::Reset,
            "mended" => Self::Mended,
            _ => Self::Absent,
        }
    }
}

fn refuse(message: String) -> OperateError {
    OperateError::Refused { message }
}
