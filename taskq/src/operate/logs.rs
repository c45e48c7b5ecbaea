//! The lines that a task's attempts have logged.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pause::Operator;
use crate::error::OperateError;

impl Operator {
    /// Returns what the attempts at a task have logged, the oldest first, where their program keeps it (`LogLayer`, with the
    /// feature `log`). Nothing where nothing is kept, and where there is no such task. The values of secret fields are `***`.
    ///
    /// A running attempt's lines of the last second are not there yet.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// for log in taskq::operate(&pool).logs(42).await? {
    ///     println!("attempt {}, {} earlier lines were dropped", log.attempt, log.dropped);
    ///     for line in log.lines {
    ///         println!("{line}"); // 2026-03-01T07:30:00.120Z  INFO my_app::mail: sent usr_id=7
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn logs(&self, task_id: i64) -> Result<Vec<AttemptLog>, OperateError> {
        self.newest_logs(task_id, usize::MAX).await
    }

    /// Returns so many of the newest lines of each.
    pub(crate) async fn newest_logs(
        &self,
        task_id: i64,
        most: usize,
    ) -> Result<Vec<AttemptLog>, OperateError> {
        let logs = self.store().logs(task_id, most).await;
        logs.map_err(|error| self.error(error))
    }
}

/// What one call of a handler has logged. An attempt has several if it was snoozed, handed back or rescued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptLog {
    /// Which attempt, from 1.
    pub attempt: i32,
    /// The worker that made it.
    pub worker_id: String,
    /// When it logged the first line that was written, by the clock of the database.
    pub begun_at: DateTime<Utc>,
    /// For how many tasks the handler was called: one, or those of a batch. The lines are those of all of them.
    pub tasks: i32,
    /// How many lines are kept, the newest.
    pub kept: i64,
    /// How many lines were logged before these, and were dropped.
    pub dropped: i64,
    /// The lines, the oldest first.
    pub lines: Vec<LogLine>,
}

/// A line that a handler has logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogLine {
    /// When, by the clock of the database.
    pub at: DateTime<Utc>,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: String,
    /// The module that logged it, or what it said in its place.
    pub target: String,
    /// The message. One that was cut ends in `…`.
    pub message: String,
    /// The fields, by their names: texts, numbers and truth values.
    #[serde(default)]
    pub fields: Map<String, Value>,
}

impl LogLine {
    /// Returns the message with the fields behind it.
    pub(crate) fn said(&self) -> String {
        let mut said = self.message.clone();
        for (name, value) in &self.fields {
            if !said.is_empty() {
                said.push(' ');
            }
            said.push_str(name);
            said.push('=');
            match value {
                Value::String(text) => said.push_str(text),
                value => said.push_str(&value.to_string()),
            }
        }
        said
    }
}

impl fmt::Display for LogLine {
    /// Writes all of it in one line, unless the message has several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.format("%Y-%m-%dT%H:%M:%S%.3fZ");
        let Self { level, target, .. } = self;
        write!(f, "{at} {level:>5} {target}: {}", self.said())
    }
}
