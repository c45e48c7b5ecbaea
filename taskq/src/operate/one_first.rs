//! One of many dead tasks, which is retried before the others.

use std::time::Duration;

use super::filter::{DIED, Filter};
use super::pause::Operator;
use crate::error::OperateError;

/// For how long one is looked for that matches.
const PATIENCE: Duration = Duration::from_secs(5);

impl Operator {
    /// Returns the newest dead task that matches, but for cancelled ones, unless the filter says another state.
    pub(crate) async fn newest_dead(&self, filter: &Filter) -> Result<i64, OperateError> {
        let refuse = |message| OperateError::Refused { message };
        let mut aimed = filter.clone();
        if filter.to_json().get("state").is_none() {
            let both: Result<Filter, _> = format!("{DIED} {filter}").parse();
            aimed = both.map_err(|error| refuse(error.to_string()))?;
        }
        let found = self.list(&aimed).most(1).within(PATIENCE).await?;
        let newest = found.tasks.first().map(|task| task.task_id);
        newest.ok_or_else(|| refuse(format!("no task matches {aimed}")))
    }
}
