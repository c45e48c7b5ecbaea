//! Finding tasks by a filter.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Error, FromRow, Row, query_as, query_scalar};
use uuid::Uuid;

use super::Store;

/// A task as `list.sql` shows it, or where the search stopped.
#[derive(Debug)]
pub(crate) struct FoundRow {
    /// `None` in the last row, where the search stopped.
    pub(crate) task_id: Option<i64>,
    pub(crate) task_type: String,
    pub(crate) state: String,
    pub(crate) queue: String,
    pub(crate) priority: i16,
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) attempts: i32,
    pub(crate) max_attempts: Option<i32>,
    pub(crate) crashes: i32,
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
    pub(crate) worker_id: Option<Uuid>,
    pub(crate) place: FoundPlace,
    /// In the last row: at how many tasks of its place the search looked.
    pub(crate) looked: Option<i64>,
}

/// Where in a list a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundPlace {
    pub(crate) place: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) id: i64,
}

/// A row of `causes.sql`.
#[derive(Debug)]
pub(crate) enum CauseRow {
    Cause(FoundCause),
    /// The last one, where the search stopped; with the number of tasks that it read, if it read them.
    Stopped(Option<i64>),
}

/// A cause as `causes.sql` shows it.
#[derive(Debug)]
pub(crate) struct FoundCause {
    pub(crate) cause: String,
    pub(crate) task_type: String,
    pub(crate) state: String,
    pub(crate) total: i64,
    pub(crate) first_at: DateTime<Utc>,
    pub(crate) last_at: DateTime<Utc>,
    pub(crate) last_task_id: i64,
    pub(crate) error: Option<String>,
    pub(crate) counted_to: Option<i64>,
}

impl Store<'_> {
    /// Lists the tasks that match a filter, the newest first.
    pub(crate) async fn list(
        &mut self,
        filter: &Value,
        most: i32,
        after: Option<&FoundPlace>,
        looks: i32,
        patience: Option<Duration>,
    ) -> Result<Vec<FoundRow>, Error> {
        let query = query_as(self.schema.sql.list)
            .bind(Json(filter))
            .bind(most)
            .bind(after.map(Json))
            .bind(looks)
            .bind(patience.map(|time| time.as_secs_f64()));
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells of one task all that is stored, as JSON.
    pub(crate) async fn show<T>(&mut self, task_id: i64) -> Result<Option<T>, Error>
    where
        T: for<'de> Deserialize<'de> + Send + Unpin + 'static,
    {
        let query = query_scalar(self.schema.sql.show).bind(task_id);
        let shown: Option<Json<T>> = self.call(async |db| query.fetch_one(db).await).await?;
        Ok(shown.map(|Json(shown)| shown))
    }

    /// Tells of what dead tasks that match a filter have died.
    pub(crate) async fn causes(
        &mut self,
        filter: &Value,
        most: i32,
        looks: i32,
    ) -> Result<Vec<CauseRow>, Error> {
        let query = query_as(self.schema.sql.causes)
            .bind(Json(filter))
            .bind(most)
            .bind(looks);
        self.call(async |db| query.fetch_all(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for FoundRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let text = |name| {
            row.try_get::<Option<String>, _>(name)
                .map(Option::unwrap_or_default)
        };
        let number = |name| {
            row.try_get::<Option<i32>, _>(name)
                .map(Option::unwrap_or_default)
        };
        let priority: Option<i16> = row.try_get("priority")?;
        let Json(place) = row.try_get("place")?;
        Ok(Self {
            task_id: row.try_get("task_id")?,
            task_type: text("task_type")?,
            state: text("state")?,
            queue: text("queue")?,
            priority: priority.unwrap_or_default(),
            at: row.try_get("at")?,
            run_at: row.try_get("run_at")?,
            attempts: number("attempts")?,
            max_attempts: row.try_get("max_attempts")?,
            crashes: number("crashes")?,
            error: row.try_get("error")?,
            cause: row.try_get("cause")?,
            worker_id: row.try_get("worker_id")?,
            place,
            looked: row.try_get("looked")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for CauseRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let Some(cause) = row.try_get("cause")? else {
            return Ok(Self::Stopped(row.try_get("total")?));
        };
        Ok(Self::Cause(FoundCause {
            cause,
            task_type: row.try_get("task_type")?,
            state: row.try_get("state")?,
            total: row.try_get("total")?,
            first_at: row.try_get("first_at")?,
            last_at: row.try_get("last_at")?,
            last_task_id: row.try_get("last_task_id")?,
            error: row.try_get("error")?,
            counted_to: row.try_get("counted_to")?,
        }))
    }
}
