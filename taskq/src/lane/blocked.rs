//! The dead tasks at which sequences wait.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// A dead task at which the sequence of its key waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Blocked {
    /// The dead task.
    pub task_id: i64,
    /// Its type.
    pub task_type: String,
    /// The JSON of the fields that make the key.
    pub key: String,
    /// What has become of it: `discarded`, `invalid`, `quarantined` or `expired`.
    pub state: String,
    /// Since when the sequence waits.
    pub since: DateTime<Utc>,
    /// The last error of the task, if it has one.
    pub error: Option<String>,
    /// Whether the task is in `taskq.dead` still. The sequence waits though somebody has deleted it there.
    pub is_kept: bool,
    /// How many tasks of the key wait.
    pub waiting: i64,
}

/// `ship {"order_id": 7}: 12 wait behind task 41, discarded since 2026-03-01T07:30:00Z: no such address`
impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {} wait behind task {}, {} since {}",
            self.task_type,
            self.key,
            self.waiting,
            self.task_id,
            self.state,
            self.since.to_rfc3339_opts(SecondsFormat::Secs, true)
        )?;
        if !self.is_kept {
            f.write_str(" and deleted")?;
        }
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}
