//! What workers have done, by the minute.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::pause::Operator;
pub use crate::attempt::spread::Spread;
use crate::error::OperateError;
use crate::store::MinuteRow;
#[cfg(feature = "dashboard")]
pub(crate) use crate::store::MinuteTotal;

/// How many rows are read at the most: the minutes of a day, of more than thirty kinds.
const MOST: i64 = 50_000;

impl Operator {
    /// Reads what workers have counted by minute since then, the oldest first: how many attempts completed and failed, how
    /// many tasks died, how long they had waited, and how long they ran. Minutes are kept for 48 hours, and of a longer time
    /// with many kinds only the newest 50,000 rows are returned.
    ///
    /// A worker writes what it has counted some seconds after an attempt has ended: with each heartbeat, and every 15 seconds
    /// at least. It is counted in the minute in which it is written, by the clock of Postgres. What a killed worker had not
    /// written is missing. So is a task that died because its worker vanished again and again.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// use taskq::operate::Spread;
    ///
    /// let mut wait = Spread::default();
    /// for minute in taskq::operate(&pool).minutes(Duration::from_secs(60 * 60)).await? {
    ///     wait.merge(&minute.wait);
    /// }
    /// println!("in the last hour, 95 % started within {:?}", wait.quantile(0.95));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The table is only read, so the future may be dropped at any time.
    pub async fn minutes(&self, since: Duration) -> Result<Vec<Minute>, OperateError> {
        let rows = self.store().minutes(since, MOST).await;
        let rows = rows.map_err(|error| self.error(error))?;
        Ok(rows.into_iter().rev().map(Minute::of).collect())
    }

    /// Reads the same of all kinds together.
    #[cfg(feature = "dashboard")]
    pub(crate) async fn minute_totals(
        &self,
        since: Duration,
    ) -> Result<Vec<MinuteTotal>, OperateError> {
        let totals = self.store().minute_totals(since).await;
        totals.map_err(|error| self.error(error))
    }
}

/// What workers have counted of one kind of tasks in one minute: see [`Operator::minutes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Minute {
    /// When the minute begins.
    pub minute: DateTime<Utc>,
    /// The queue.
    pub queue: String,
    /// The name by which the task type is declared.
    pub task_type: String,
    /// Tasks that completed.
    pub completed: i64,
    /// Attempts that failed, of tasks that are tried again.
    pub failed: i64,
    /// Tasks that used up their attempts, were given up by their handlers, did not decode, or expired.
    pub died: i64,
    /// For how long the tasks of these attempts had been due when their handlers started. What never started is left out.
    pub wait: Spread,
    /// How long their handlers ran.
    pub run: Spread,
}

impl Minute {
    fn of(row: MinuteRow) -> Self {
        Self {
            minute: row.minute,
            queue: row.queue,
            task_type: row.task_type,
            completed: row.completed,
            failed: row.failed,
            died: row.died,
            wait: row.wait,
            run: row.run,
        }
    }
}
