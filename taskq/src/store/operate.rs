//! What is asked beside enqueueing and working.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
#[cfg(feature = "testing")]
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgExecutor, PgRow};
use sqlx::types::Json;
use sqlx::{Error, FromRow, Row, query_as, query_scalar};
use uuid::Uuid;

#[cfg(feature = "testing")]
use super::in_schema;
use super::{Schema, Signed, Store};
use crate::lane::{HeldPause, Pause, Scope};

/// Where a task is, and what its handler returned, as `result.sql` tells.
#[derive(Debug)]
pub(crate) struct ResultRow {
    pub(crate) state: String,
    /// What the handler returned, if it was kept.
    pub(crate) result: Option<Box<RawValue>>,
    /// What went wrong, where the task is finished and something did.
    pub(crate) error: Option<String>,
}

/// A migration as the tables record it: its version, its name and when it was applied.
pub(crate) type AppliedMigration = (i32, String, DateTime<Utc>);

/// A task as `tasks_of_type.sql` shows it.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub(crate) struct TaskOfType {
    pub(crate) task_id: i64,
    pub(crate) state: String,
    pub(crate) queue: String,
    /// Zero where the enqueue did not say.
    pub(crate) payload_version: i16,
    pub(crate) payload: Box<RawValue>,
    pub(crate) priority: i16,
    /// Absent where it has ended.
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
}

/// What there is where a test finds no task of a type: how many of which.
#[cfg(feature = "testing")]
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    /// Of the other task types, in the same schema.
    pub(crate) types: Vec<(String, i64)>,
    /// Of the type, in other schemas.
    pub(crate) schemas: Vec<(String, i64)>,
}

impl Store<'_> {
    /// Tells where a task is, and what its handler returned.
    pub(crate) async fn result(&mut self, task_id: i64) -> Result<Option<ResultRow>, Error> {
        let query = query_as(self.schema.sql.result).bind(task_id);
        self.call(async |db| query.fetch_optional(db).await).await
    }

    /// Cancels a task that waits or runs, and returns in which state it was.
    pub(crate) async fn cancel(&mut self, task_id: i64, signed: &Signed) -> Result<String, Error> {
        let query = query_scalar(self.schema.sql.cancel)
            .bind(task_id)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Has a dead task run again, or a waiting one at another time, and returns in which state it was.
    pub(crate) async fn retry(
        &mut self,
        task_id: i64,
        at: Option<DateTime<Utc>>,
        signed: &Signed,
    ) -> Result<String, Error> {
        let query = query_scalar(self.schema.sql.retry)
            .bind(task_id)
            .bind(at)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Deletes a dead task, and returns in which state it was.
    pub(crate) async fn discard(&mut self, task_id: i64, signed: &Signed) -> Result<String, Error> {
        let query = query_scalar(self.schema.sql.discard)
            .bind(task_id)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Has Postgres take a refused task back, and returns the id under which it waits.
    pub(crate) async fn take_back(
        &mut self,
        task_id: i64,
        signed: &Signed,
    ) -> Result<Option<i64>, Error> {
        let query = query_scalar(self.schema.sql.take_back)
            .bind(task_id)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Ends a session that has a transaction open, and returns its last statement.
    pub(crate) async fn end_session(
        &mut self,
        process_id: i32,
        signed: &Signed,
    ) -> Result<String, Error> {
        let query = query_scalar(self.schema.sql.end_session)
            .bind(process_id)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Gives a dead task another payload, has it run again, and returns in which state it was.
    pub(crate) async fn edit(
        &mut self,
        task_id: i64,
        payload: &RawValue,
        payload_version: Option<i16>,
        at: Option<DateTime<Utc>>,
        reason: Option<&str>,
        by: Option<&str>,
    ) -> Result<String, Error> {
        let query = query_scalar(self.schema.sql.edit)
            .bind(task_id)
            .bind(Json(payload))
            .bind(payload_version)
            .bind(at)
            .bind(reason)
            .bind(by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Returns what an edit would write: with the stored values where it says `***` of secret fields.
    pub(crate) async fn edited_payload(
        &mut self,
        task_id: i64,
        payload: &RawValue,
    ) -> Result<Option<Box<RawValue>>, Error> {
        let query = query_scalar(self.schema.sql.edited_payload)
            .bind(task_id)
            .bind(Json(payload));
        let edited: Option<Option<Json<Box<RawValue>>>> =
            self.call(async |db| query.fetch_optional(db).await).await?;
        Ok(edited.flatten().map(|Json(edited)| edited))
    }

    /// Enqueues a task by the name of its type, and returns its id and what was done.
    pub(crate) async fn enqueue_by_hand(
        &mut self,
        task_type: &str,
        payload: &RawValue,
        options: &Value,
        reason: Option<&str>,
        by: Option<&str>,
    ) -> Result<(i64, String), Error> {
        let query = query_as(self.schema.sql.enqueue_by_hand)
            .bind(task_type)
            .bind(Json(payload))
            .bind(Json(options))
            .bind(reason)
            .bind(by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Pauses a queue or a task type, and returns the pause that held before, if one did.
    pub(crate) async fn pause(
        &mut self,
        scope: &Scope,
        reason: Option<&str>,
        until: Option<DateTime<Utc>>,
        by: Option<&str>,
    ) -> Result<Option<Pause>, Error> {
        let (of, name) = scope.parts();
        let query = query_as(self.schema.sql.pause)
            .bind(of)
            .bind(name)
            .bind(reason)
            .bind(until)
            .bind(by);
        let former: Option<HeldPause> =
            self.call(async |db| query.fetch_optional(db).await).await?;
        Ok(former.map(|former| former.pause))
    }

    /// Ends the pause of a queue or a task type, and returns it, if it held.
    pub(crate) async fn resume(
        &mut self,
        scope: &Scope,
        signed: &Signed,
    ) -> Result<Option<Pause>, Error> {
        let (of, name) = scope.parts();
        let query = query_as(self.schema.sql.resume)
            .bind(of)
            .bind(name)
            .bind(&signed.reason)
            .bind(&signed.by);
        let former: Option<HeldPause> =
            self.call(async |db| query.fetch_optional(db).await).await?;
        Ok(former.map(|former| former.pause))
    }

    /// Tells what is paused.
    pub(crate) async fn pauses(&mut self) -> Result<Vec<HeldPause>, Error> {
        let schema = self.schema;
        self.call(async |db| read_pauses(db, schema).await).await
    }

    /// Counts the tasks that are claimed of what may be paused.
    pub(crate) async fn running(&mut self, scope: &Scope) -> Result<i64, Error> {
        let (of, name) = scope.parts();
        let query = query_scalar(self.schema.sql.running).bind(of).bind(name);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Tells whether the task tables are there.
    pub(crate) async fn schema_exists(&mut self) -> Result<bool, Error> {
        let query = query_scalar(self.schema.sql.schema_exists);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Returns the version of the schema and the oldest binary that can run on it.
    pub(crate) async fn schema_version(&mut self) -> Result<(Option<i32>, Option<i32>), Error> {
        let query = query_as(self.schema.sql.schema_version);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Returns the id of these tables, which no others have.
    pub(crate) async fn installation(&mut self) -> Result<Uuid, Error> {
        let query = query_scalar(self.schema.sql.installation);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Deletes all that is of one name, which is that of a queue and of a task type.
    #[cfg(feature = "cli")]
    pub(crate) async fn forget_bench(&mut self, name: &str) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.forget_bench).bind(name.to_owned());
        self.execute(query).await
    }

    /// Tells which migrations have been applied.
    pub(crate) async fn migrations(&mut self) -> Result<Vec<AppliedMigration>, Error> {
        let query = query_as(self.schema.sql.migrations);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells which process of the server works for a connection.
    pub(crate) async fn backend(&mut self) -> Result<i32, Error> {
        let query = query_scalar("select pg_backend_pid()");
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Tells the time.
    #[cfg(all(feature = "cli", feature = "cron"))]
    pub(crate) async fn now(&mut self) -> Result<DateTime<Utc>, Error> {
        let query = query_scalar("select now()");
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Stops the query that a handler has left running on another connection, unless that is over. Returns
    /// whether there was one.
    pub(crate) async fn cancel_leftover(&mut self, process_id: i32) -> Result<bool, Error> {
        let query = query_scalar(self.schema.sql.cancel_leftover).bind(process_id);
        let cancelled: Option<bool> = self.call(async |db| query.fetch_optional(db).await).await?;
        Ok(cancelled.unwrap_or_default())
    }

    /// Tells whether the server is a standby.
    pub(crate) async fn is_standby(&mut self) -> Result<bool, Error> {
        let query = query_scalar("select pg_is_in_recovery()");
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Stops the query that another connection's backend is running.
    pub(crate) async fn cancel_backend(&mut self, process_id: i32) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.cancel_backend).bind(process_id);
        self.execute(query).await
    }

    /// Shows the latest tasks of one type, wherever they are.
    #[cfg(feature = "testing")]
    pub(crate) async fn tasks_of_type(
        &mut self,
        task_type: &str,
        limit: i64,
    ) -> Result<Vec<TaskOfType>, Error> {
        let text = include_str!("sql/operate/tasks_of_type.sql");
        let query = query_as(AssertSqlSafe(in_schema(text, self.schema.name)))
            .bind(task_type)
            .bind(limit);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells which other types there are, and which other schemas have tasks of this one.
    #[cfg(feature = "testing")]
    pub(crate) async fn elsewhere(&mut self, task_type: &str) -> Result<Elsewhere, Error> {
        let types = include_str!("sql/operate/types.sql");
        let types = query_as(AssertSqlSafe(in_schema(types, self.schema.name)));
        let types = self.call(async |db| types.fetch_all(db).await).await?;
        let schemas = query_scalar(include_str!("sql/operate/schemas.sql")).bind(self.schema.name);
        let schemas: Vec<String> = self.call(async |db| schemas.fetch_all(db).await).await?;
        let mut elsewhere = Elsewhere {
            types,
            schemas: Vec::new(),
        };
        for schema in schemas {
            let text = include_str!("sql/operate/tasks_of_type.sql");
            let found = query_as::<_, TaskOfType>(AssertSqlSafe(in_schema(text, &schema)))
                .bind(task_type)
                .bind(i64::MAX);
            let found = self.call(async |db| found.fetch_all(db).await).await?;
            if !found.is_empty() {
                let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
                elsewhere.schemas.push((schema, count));
            }
        }
        Ok(elsewhere)
    }
}

/// Tells what is paused, on any connection.
pub(crate) async fn read_pauses(
    db: impl PgExecutor<'_>,
    schema: Schema,
) -> Result<Vec<HeldPause>, Error> {
    query_as(schema.sql.pauses).fetch_all(db).await
}

impl<'r> FromRow<'r, PgRow> for HeldPause {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let scope: String = row.try_get("scope")?;
        let name = row.try_get("name")?;
        let ends_in: Option<f64> = row.try_get("ends_in")?;
        Ok(Self {
            pause: Pause {
                scope: Scope::of(&scope, name),
                since: row.try_get("since")?,
                by: row.try_get("by")?,
                reason: row.try_get("reason")?,
                until: row.try_get("until")?,
            },
            ends_in: ends_in.map(|seconds| {
                Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
            }),
        })
    }
}

impl<'r> FromRow<'r, PgRow> for ResultRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let result: Option<Json<_>> = row.try_get("result")?;
        Ok(Self {
            state: row.try_get("state")?,
            result: result.map(|Json(result)| result),
            error: row.try_get("error")?,
        })
    }
}

#[cfg(feature = "testing")]
impl<'r> FromRow<'r, PgRow> for TaskOfType {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let Json(payload) = row.try_get("payload")?;
        Ok(Self {
            task_id: row.try_get("task_id")?,
            state: row.try_get("state")?,
            queue: row.try_get("queue")?,
            payload_version: row.try_get("payload_version")?,
            payload,
            priority: row.try_get("priority")?,
            run_at: row.try_get("run_at")?,
            created_at: row.try_get("created_at")?,
        })
    }
}
