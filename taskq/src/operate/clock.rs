//! What time it is, where the tables are.

use chrono::{DateTime, Utc};

use super::pause::Operator;
use crate::error::OperateError;

impl Operator {
    /// Tells what time it is by the clock of Postgres, by which everything in the tables is dated.
    pub(crate) async fn now(&self) -> Result<DateTime<Utc>, OperateError> {
        let now = self.store().clock().await;
        now.map_err(|error| self.error(error))
    }
}
