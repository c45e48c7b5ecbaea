//! Reading the payloads of all tasks, a page at a time, each page in a read-only transaction of its own.

use futures_util::TryStreamExt;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{
    Connection, Error, FromRow, PgConnection, Postgres, Row, Transaction, query_as, query_scalar,
};
use uuid::Uuid;

use super::{Store, saturating_i64};

/// Begins a transaction that Postgres keeps from writing.
const BEGIN: &str = "begin isolation level read committed read only";

/// A task, with what decides whether its payload decodes.
#[derive(Debug)]
pub(crate) struct CheckedRow {
    pub(crate) task_id: i64,
    pub(crate) task_type: String,
    /// Zero where the enqueue did not say.
    pub(crate) payload_version: i16,
    pub(crate) payload: Box<RawValue>,
}

type Columns = (i64, String, i16, Json<Box<RawValue>>);

/// Where a page of waiting tasks begins, and where it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Begins after this task.
    pub(crate) after: i64,
    /// Ends with this task at the latest.
    pub(crate) last: i64,
    pub(crate) row_limit: usize,
    /// Ends where the payloads have so many bytes, as they are stored.
    pub(crate) byte_limit: usize,
}

/// A foreign key of a user's that refers to waiting tasks.
#[derive(Debug)]
pub(crate) struct ForeignKey {
    pub(crate) constraint: String,
    pub(crate) table: String,
    /// What it does to the rows that refer to a task when that is deleted, if anything.
    pub(crate) changes_rows: Option<String>,
}

impl Store<'_> {
    /// Lists the foreign keys that refer to waiting tasks.
    pub(crate) async fn foreign_keys(&mut self) -> Result<Vec<ForeignKey>, Error> {
        let query = query_as(self.schema.sql.foreign_keys);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Shows a page of waiting tasks, one row at a time, and returns the id of the last of them.
    pub(crate) async fn check_waiting(
        &mut self,
        page: Page,
        mut look: impl FnMut(CheckedRow),
    ) -> Result<Option<i64>, Error> {
        let query = query_as::<_, Columns>(self.schema.sql.check_waiting)
            .bind(page.after)
            .bind(page.last)
            .bind(saturating_i64(page.row_limit))
            .bind(saturating_i64(page.byte_limit));
        self.call(async |db| {
            let mut tx = begin(db).await?;
            let mut last = None;
            let mut rows = query.fetch(&mut *tx);
            while let Some(columns) = rows.try_next().await? {
                last = Some(columns.0);
                look(columns.into());
            }
            drop(rows);
            tx.rollback().await?;
            Ok(last)
        })
        .await
    }

    /// Returns the id of the waiting task that was enqueued last.
    pub(crate) async fn check_last(&mut self) -> Result<Option<i64>, Error> {
        let query = query_scalar(self.schema.sql.check_last);
        self.call(async |db| {
            let mut tx = begin(db).await?;
            let last = query.fetch_one(&mut *tx).await?;
            tx.rollback().await?;
            Ok(last)
        })
        .await
    }

    /// Shows what is left in the lease after another, one row at a time, and returns the lease's id.
    pub(crate) async fn check_running(
        &mut self,
        after: Option<Uuid>,
        mut look: impl FnMut(CheckedRow),
    ) -> Result<Option<Uuid>, Error> {
        let query = query_as::<_, (i64, String, i16, Json<Box<RawValue>>, Uuid)>(
            self.schema.sql.check_running,
        )
        .bind(after);
        self.call(async |db| {
            let mut tx = begin(db).await?;
            let mut lease = None;
            let mut rows = query.fetch(&mut *tx);
            while let Some((task_id, task_type, payload_version, payload, lease_id)) =
                rows.try_next().await?
            {
                lease = Some(lease_id);
                look((task_id, task_type, payload_version, payload).into());
            }
            drop(rows);
            tx.rollback().await?;
            Ok(lease)
        })
        .await
    }
}

async fn begin(db: &mut PgConnection) -> Result<Transaction<'_, Postgres>, Error> {
    db.begin_with(BEGIN).await
}

impl From<Columns> for CheckedRow {
    fn from((task_id, task_type, payload_version, Json(payload)): Columns) -> Self {
        Self {
            task_id,
            task_type,
            payload_version,
            payload,
        }
    }
}

impl<'r> FromRow<'r, PgRow> for ForeignKey {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            constraint: row.try_get("constraint_name")?,
            table: row.try_get("table_name")?,
            changes_rows: row.try_get("changes_rows")?,
        })
    }
}
