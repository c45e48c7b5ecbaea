//! Schedules: what they are, how far they have come, and taking their ticks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Error, FromRow, Row, query_as, query_scalar};

use super::claimed::version_of;
use super::{Signed, Store, column, saturating_i64};
use crate::calendar::Skip;

/// A schedule that ticks now or soon, or of which somebody has to find out when.
#[derive(Debug)]
pub(crate) struct DueRow {
    pub(crate) name: String,
    pub(crate) revision: i64,
    /// Nothing up to here is owed.
    pub(crate) owed_after: DateTime<Utc>,
    /// The time, by the clock of Postgres.
    pub(crate) asked_at: DateTime<Utc>,
    /// In how many seconds it ticks; absent where nobody knows.
    pub(crate) due_in: Option<f64>,
    pub(crate) expression: String,
    pub(crate) timezone: String,
    pub(crate) catch_up: String,
    pub(crate) catch_up_within: Option<f64>,
    pub(crate) jitter: f64,
}

/// Ticks that are about to be taken.
#[derive(Debug)]
pub(crate) struct TakenTicks {
    pub(crate) ticks: Vec<DateTime<Utc>>,
    /// How many seconds later the task of each starts.
    pub(crate) later: Vec<f64>,
    pub(crate) owed_after: DateTime<Utc>,
    pub(crate) next: DateTime<Utc>,
    /// How many were missed, and are left out.
    pub(crate) missed: u64,
}

/// A schedule, as `schedules.sql` tells of it.
#[derive(Debug)]
pub(crate) struct ScheduleRow {
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) timezone: String,
    pub(crate) task_type: String,
    pub(crate) payload: Box<RawValue>,
    /// The payload without secret values.
    pub(crate) shown: Box<RawValue>,
    /// As `enqueue` takes them.
    #[cfg_attr(
        not(feature = "dashboard"),
        expect(dead_code, reason = "a form shows them")
    )]
    pub(crate) options: Map<String, Value>,
    /// Absent where it was said in SQL.
    pub(crate) payload_version: Option<u16>,
    pub(crate) catch_up: String,
    pub(crate) catch_up_within: Option<f64>,
    pub(crate) overlap: String,
    pub(crate) jitter: f64,
    pub(crate) made_by: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) declares: Option<String>,
    pub(crate) is_alive: bool,
    pub(crate) next_tick: Option<DateTime<Utc>>,
    pub(crate) last_tick: Option<DateTime<Utc>>,
    pub(crate) last_task_ids: Vec<i64>,
    pub(crate) ticks: i64,
    pub(crate) ran_at: Option<DateTime<Utc>>,
    pub(crate) ran_task_id: Option<i64>,
    pub(crate) skipped_missed: i64,
    pub(crate) skipped_overlap: i64,
    pub(crate) skips: Vec<Skip>,
    pub(crate) error: Option<String>,
}

impl Store<'_> {
    /// Says that a living worker declares these, for so long. Returns how many schedules have changed.
    pub(crate) async fn declare_schedules(
        &mut self,
        names: &[String],
        definitions: &[Box<RawValue>],
        lasting: Duration,
    ) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.declare_schedules)
            .bind(names)
            .bind(column(definitions, Json))
            .bind(lasting.as_secs_f64());
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Ends the schedules that nobody has declared for so long, if this worker may, and returns their names.
    pub(crate) async fn end_undeclared(
        &mut self,
        silent_for: Duration,
        may_end: bool,
    ) -> Result<Vec<String>, Error> {
        let query = query_scalar(self.schema.sql.end_undeclared)
            .bind(silent_for.as_secs_f64())
            .bind(may_end);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells which schedules tick now or soon, but for those that are left out in these revisions.
    pub(crate) async fn due(
        &mut self,
        soon: Duration,
        limit: usize,
        left_out: &[(String, i64)],
    ) -> Result<Vec<DueRow>, Error> {
        let query = query_as(self.schema.sql.due)
            .bind(soon.as_secs_f64())
            .bind(saturating_i64(limit))
            .bind(column(left_out, |(name, _)| name.as_str()))
            .bind(column(left_out, |(_, revision)| *revision));
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Takes ticks. Returns how many enqueued a task; `None` if the schedule has changed meanwhile.
    pub(crate) async fn tick(
        &mut self,
        name: &str,
        revision: i64,
        taken: &TakenTicks,
    ) -> Result<Option<i64>, Error> {
        let query = query_scalar(self.schema.sql.tick)
            .bind(name)
            .bind(revision)
            .bind(&taken.ticks)
            .bind(&taken.later)
            .bind(taken.owed_after)
            .bind(taken.next)
            .bind(i64::try_from(taken.missed).unwrap_or(i64::MAX));
        self.call(async |db| query.fetch_optional(db).await).await
    }

    /// Says why a schedule cannot tick.
    pub(crate) async fn refuse_schedule(
        &mut self,
        name: &str,
        revision: i64,
        error: &str,
    ) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.refuse_schedule)
            .bind(name)
            .bind(revision)
            .bind(error);
        self.execute(query).await
    }

    /// Tells of one schedule, or of all.
    pub(crate) async fn schedules(
        &mut self,
        name: Option<&str>,
    ) -> Result<Vec<ScheduleRow>, Error> {
        let query = query_as(self.schema.sql.schedules).bind(name);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Returns the payload that a schedule would get: with the stored values where it says *** of a secret field.
    #[cfg(feature = "dashboard")]
    pub(crate) async fn schedule_payload(
        &mut self,
        name: &str,
        payload: &RawValue,
    ) -> Result<Option<Box<RawValue>>, Error> {
        let query = query_scalar(self.schema.sql.schedule_payload)
            .bind(name)
            .bind(Json(payload));
        let written: Option<Json<Box<RawValue>>> =
            self.call(async |db| query.fetch_optional(db).await).await?;
        Ok(written.map(|Json(written)| written))
    }

    /// Makes a schedule, or changes it, and returns the word for which.
    #[expect(clippy::too_many_arguments, reason = "the statement has them")]
    pub(crate) async fn upsert_schedule(
        &mut self,
        name: &str,
        expression: &str,
        task_type: &str,
        payload: &RawValue,
        timezone: &str,
        options: &Value,
        signed: &Signed,
    ) -> Result<String, Error> {
        let query = query_scalar(self.schema.sql.upsert_schedule)
            .bind(name)
            .bind(expression)
            .bind(task_type)
            .bind(Json(payload))
            .bind(timezone)
            .bind(Json(options))
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Takes back what was said by hand, and returns the word for what became of the schedule.
    pub(crate) async fn remove_schedule(
        &mut self,
        name: &str,
        signed: &Signed,
    ) -> Result<String, Error> {
        let query = query_scalar(self.schema.sql.remove_schedule)
            .bind(name)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Enqueues a task of a schedule now, and returns its id.
    pub(crate) async fn run_schedule(&mut self, name: &str, signed: &Signed) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.run_schedule)
            .bind(name)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Enqueues the tasks of these ticks, and returns their ids.
    pub(crate) async fn backfill_schedule(
        &mut self,
        name: &str,
        ticks: &[DateTime<Utc>],
        signed: &Signed,
    ) -> Result<Vec<i64>, Error> {
        let query = query_scalar(self.schema.sql.backfill_schedule)
            .bind(name)
            .bind(ticks)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for DueRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            name: row.try_get("name")?,
            revision: row.try_get("revision")?,
            owed_after: row.try_get("owed_after")?,
            asked_at: row.try_get("asked_at")?,
            due_in: row.try_get("due_in")?,
            expression: row.try_get("expression")?,
            timezone: row.try_get("timezone")?,
            catch_up: row.try_get("catch_up")?,
            catch_up_within: row.try_get("catch_up_within")?,
            jitter: row.try_get("jitter")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for ScheduleRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let Json(payload) = row.try_get("payload")?;
        let Json(shown) = row.try_get("shown")?;
        let Json(skips) = row.try_get("skips")?;
        let Json(options) = row.try_get("options")?;
        let version: Option<i16> = row.try_get("payload_version")?;
        Ok(Self {
            name: row.try_get("name")?,
            expression: row.try_get("expression")?,
            timezone: row.try_get("timezone")?,
            task_type: row.try_get("task_type")?,
            payload,
            shown,
            options,
            payload_version: version.and_then(version_of),
            catch_up: row.try_get("catch_up")?,
            catch_up_within: row.try_get("catch_up_within")?,
            overlap: row.try_get("overlap")?,
            jitter: row.try_get("jitter")?,
            made_by: row.try_get("made_by")?,
            reason: row.try_get("reason")?,
            declares: row.try_get("declares")?,
            is_alive: row.try_get("is_alive")?,
            next_tick: row.try_get("next_tick")?,
            last_tick: row.try_get("last_tick")?,
            last_task_ids: row.try_get("last_task_ids")?,
            ticks: row.try_get("ticks")?,
            ran_at: row.try_get("ran_at")?,
            ran_task_id: row.try_get("ran_task_id")?,
            skipped_missed: row.try_get("skipped_missed")?,
            skipped_overlap: row.try_get("skipped_overlap")?,
            skips,
            error: row.try_get("error")?,
        })
    }
}
