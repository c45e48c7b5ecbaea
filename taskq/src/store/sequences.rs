//! Sequences: what blocks them, and having them go on.

use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row, query_as};

use super::{Signed, Store};
use crate::lane::Blocked;

impl Store<'_> {
    /// Tells at which dead tasks sequences wait.
    pub(crate) async fn blocked(&mut self) -> Result<Vec<Blocked>, Error> {
        let query = query_as(self.schema.sql.blocked);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Has a sequence go on without a dead task, if that frees no more waiting tasks than these.
    pub(crate) async fn skip_dead(
        &mut self,
        task_id: i64,
        frees: Option<i64>,
        signed: &Signed,
    ) -> Result<Blocked, Error> {
        let query = query_as(self.schema.sql.skip_dead)
            .bind(task_id)
            .bind(frees)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for Blocked {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            task_id: row.try_get("task_id")?,
            task_type: row.try_get("task_type")?,
            key: row.try_get("key")?,
            state: row.try_get("state")?,
            since: row.try_get("blocked_at")?,
            error: row.try_get("error")?,
            is_kept: row.try_get("is_kept")?,
            waiting: row.try_get("waiting")?,
        })
    }
}
