//! What is wrong.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row, query_as};

use super::Store;

/// Something that is wrong, as `doctor.sql` says it.
#[derive(Debug)]
pub(crate) struct AilmentRow {
    pub(crate) problem: String,
    pub(crate) severity: String,
    pub(crate) subject: String,
    pub(crate) said: String,
    pub(crate) advice: String,
    pub(crate) command: Option<String>,
    pub(crate) statement: Option<String>,
}

impl Store<'_> {
    /// Tells what is wrong.
    pub(crate) async fn doctor(&mut self, patience: Duration) -> Result<Vec<AilmentRow>, Error> {
        let query = query_as(self.schema.sql.doctor).bind(patience.as_secs_f64());
        self.call(async |db| query.fetch_all(db).await).await
    }
}

#[cfg(feature = "top")]
impl Store<'_> {
    /// Ends a session, by the id of its process. Tells whether there was one.
    pub(crate) async fn end_session(&mut self, process_id: i32) -> Result<bool, Error> {
        let query = sqlx::query_scalar("select pg_terminate_backend($1)").bind(process_id);
        self.call(async |db| query.fetch_one(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for AilmentRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            problem: row.try_get("problem")?,
            severity: row.try_get("severity")?,
            subject: row.try_get("subject")?,
            said: row.try_get("said")?,
            advice: row.try_get("advice")?,
            command: row.try_get("command")?,
            statement: row.try_get("statement")?,
        })
    }
}
