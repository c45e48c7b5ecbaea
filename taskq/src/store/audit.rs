//! Who did what, and what time it is.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
#[cfg(any(feature = "dashboard", feature = "top"))]
use sqlx::query_scalar;
use sqlx::{Error, FromRow, Row, query_as};
use uuid::Uuid;

use super::Store;

/// Who does something, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signed {
    /// The role of the session, if nobody is named.
    pub(crate) by: Option<String>,
    pub(crate) reason: Option<String>,
}

/// What an operator did, as `audit.sql` tells.
#[derive(Debug)]
pub(crate) struct AuditRow {
    pub(crate) audit_id: i64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) by: String,
    pub(crate) verb: String,
    pub(crate) task_id: Option<i64>,
    pub(crate) task_type: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) bulk_id: Option<i64>,
    pub(crate) worker_id: Option<Uuid>,
    pub(crate) scope: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) bulk_filter: Option<String>,
    pub(crate) bulk_tasks: Option<i64>,
}

/// What an operator did last to a task, as `last_word.sql` tells.
#[cfg(any(feature = "cli", feature = "dashboard"))]
#[derive(Debug)]
pub(crate) struct LastWordRow {
    pub(crate) verb: String,
    pub(crate) by: String,
    pub(crate) reason: Option<String>,
    /// Whether an operation has deleted dead tasks since.
    pub(crate) perhaps_deleted: bool,
}

impl Store<'_> {
    /// Tells what an operator did last to a task.
    #[cfg(any(feature = "cli", feature = "dashboard"))]
    pub(crate) async fn last_word(&mut self, task_id: i64) -> Result<Option<LastWordRow>, Error> {
        let query = query_as(self.schema.sql.last_word).bind(task_id);
        self.call(async |db| query.fetch_optional(db).await).await
    }

    /// Tells what operators did before an entry, the newest first.
    pub(crate) async fn audit(
        &mut self,
        before: Option<i64>,
        most: i32,
    ) -> Result<Vec<AuditRow>, Error> {
        let query = query_as(self.schema.sql.audit).bind(before).bind(most);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells what time it is by the clock of Postgres.
    #[cfg(any(feature = "dashboard", feature = "top"))]
    pub(crate) async fn clock(&mut self) -> Result<DateTime<Utc>, Error> {
        let query = query_scalar(self.schema.sql.clock);
        self.call(async |db| query.fetch_one(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for AuditRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            audit_id: row.try_get("audit_id")?,
            at: row.try_get("at")?,
            by: row.try_get("by")?,
            verb: row.try_get("verb")?,
            task_id: row.try_get("task_id")?,
            task_type: row.try_get("task_type")?,
            queue: row.try_get("queue")?,
            state: row.try_get("state")?,
            reason: row.try_get("reason")?,
            bulk_id: row.try_get("bulk_id")?,
            worker_id: row.try_get("worker_id")?,
            scope: row.try_get("scope")?,
            name: row.try_get("name")?,
            bulk_filter: row.try_get("bulk_filter")?,
            bulk_tasks: row.try_get("bulk_tasks")?,
        })
    }
}

#[cfg(any(feature = "cli", feature = "dashboard"))]
impl<'r> FromRow<'r, PgRow> for LastWordRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            verb: row.try_get("verb")?,
            by: row.try_get("by")?,
            reason: row.try_get("reason")?,
            perhaps_deleted: row.try_get("perhaps_deleted")?,
        })
    }
}
