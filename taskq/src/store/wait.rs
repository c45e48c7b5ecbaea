//! What those ask who wait for tasks.

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row, query_as};

use super::{ResultRow, Store};

/// A task that has ended, or is nowhere: then its state is `gone`.
#[derive(Debug)]
struct EndedRow {
    task_id: i64,
    result: ResultRow,
}

impl Store<'_> {
    /// Hands on what has ended of these tasks, one by one: results may be large.
    pub(crate) async fn ended(
        &mut self,
        task_ids: &[i64],
        mut hand_on: impl FnMut(i64, ResultRow),
    ) -> Result<(), Error> {
        let query = query_as(self.schema.sql.ended).bind(task_ids);
        self.call(async |db| {
            let mut rows = query.fetch(db);
            while let Some(EndedRow { task_id, result }) = rows.try_next().await? {
                hand_on(task_id, result);
            }
            Ok(())
        })
        .await
    }
}

impl<'r> FromRow<'r, PgRow> for EndedRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            task_id: row.try_get("task_id")?,
            result: ResultRow::from_row(row)?,
        })
    }
}
