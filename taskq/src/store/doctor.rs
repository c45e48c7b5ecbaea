//! What is wrong.

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
    pub(crate) async fn doctor(&mut self) -> Result<Vec<AilmentRow>, Error> {
        let query = query_as(self.schema.sql.doctor);
        self.call(async |db| query.fetch_all(db).await).await
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
