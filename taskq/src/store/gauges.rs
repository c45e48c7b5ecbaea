//! What metrics show of all tables.

use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row, query_as};

use super::Store;

/// A kind of tasks, as `gauges.sql` tells of it. There is a row at least.
#[derive(Debug)]
pub(crate) struct GaugesRow {
    pub(crate) kind: Option<GaugesKind>,
    pub(crate) workers: i64,
    /// In seconds.
    pub(crate) schedule_late: Option<f64>,
}

#[derive(Debug)]
pub(crate) struct GaugesKind {
    pub(crate) queue: String,
    pub(crate) task_type: String,
    pub(crate) due: i64,
    pub(crate) scheduled: i64,
    pub(crate) running: i64,
    pub(crate) dead: i64,
    /// In seconds.
    pub(crate) oldest_due_age: Option<f64>,
    /// Whether a living worker declares them.
    pub(crate) queue_is_known: bool,
    pub(crate) type_is_known: bool,
}

/// How many tasks of a type and outcome were pruned.
#[derive(Debug)]
pub(crate) struct PrunedRow {
    pub(crate) task_type: String,
    pub(crate) outcome: String,
    pub(crate) total: i64,
    /// Whether a living worker declares it.
    pub(crate) type_is_known: bool,
}

impl Store<'_> {
    /// Tells what metrics show of all tables.
    pub(crate) async fn gauges(&mut self, most: i64) -> Result<Vec<GaugesRow>, Error> {
        let query = query_as(self.schema.sql.gauges).bind(most);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells how many tasks were pruned, by type and outcome.
    pub(crate) async fn pruned(&mut self) -> Result<Vec<PrunedRow>, Error> {
        let query = query_as(self.schema.sql.pruned);
        self.call(async |db| query.fetch_all(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for PrunedRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            task_type: row.try_get("task_type")?,
            outcome: row.try_get("outcome")?,
            total: row.try_get("total")?,
            type_is_known: row.try_get("type_is_known")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for GaugesRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let queue: Option<String> = row.try_get("queue")?;
        let kind = match queue {
            None => None,
            Some(queue) => Some(GaugesKind {
                queue,
                task_type: row.try_get("task_type")?,
                due: row.try_get("due")?,
                scheduled: row.try_get("scheduled")?,
                running: row.try_get("running")?,
                dead: row.try_get("dead")?,
                oldest_due_age: row.try_get("oldest_due_age")?,
                queue_is_known: row.try_get("queue_is_known")?,
                type_is_known: row.try_get("type_is_known")?,
            }),
        };
        Ok(Self {
            kind,
            workers: row.try_get("workers")?,
            schedule_late: row.try_get("schedule_late")?,
        })
    }
}
