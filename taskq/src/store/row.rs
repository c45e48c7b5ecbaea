//! Rows as the statements return them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Error, FromRow, Row};
use uuid::Uuid;

use crate::attempt::AttemptError;
use crate::lanes::{Found, Lane};

/// A claimed task, as `claim.sql` returns it.
#[derive(Debug)]
pub(crate) struct ClaimedRow {
    pub(crate) lease_id: Uuid,
    pub(crate) task_id: i64,
    pub(crate) task_type: String,
    /// Zero where the enqueue did not say.
    pub(crate) payload_version: i16,
    pub(crate) payload: Box<RawValue>,
    pub(crate) priority: i16,
    pub(crate) run_at: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    /// Absent where the task type decides.
    pub(crate) max_attempts: Option<u16>,
    pub(crate) attempts: u16,
    /// How often its worker vanished.
    pub(crate) crashes: i32,
    pub(crate) errors: Vec<AttemptError>,
}

/// Returns the version that a row says its payload has, if it says one.
pub(crate) fn version_of(payload_version: i16) -> Option<u16> {
    let version = u16::try_from(payload_version).ok();
    version.filter(|version| *version > 0)
}

/// A lease that ran out, as `expired.sql` finds it.
#[derive(Debug)]
pub(crate) struct ExpiredRow {
    pub(crate) lease_id: Uuid,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) worker_id: Uuid,
    pub(crate) remaining: i32,
}

/// A task that was taken back from a vanished worker, as `rescue.sql` returns it.
#[derive(Debug)]
pub(crate) struct RescuedRow {
    pub(crate) task_id: i64,
    pub(crate) task_type: String,
    pub(crate) is_quarantined: bool,
}

/// Where a task is, and what its handler returned, as `result.sql` tells.
#[derive(Debug)]
pub(crate) struct ResultRow {
    pub(crate) state: String,
    /// What the handler returned, if it was kept.
    pub(crate) result: Option<Box<RawValue>>,
    /// What went wrong, where the task is finished and something did.
    pub(crate) error: Option<String>,
}

/// Waiting tasks that no worker serves, as `census.sql` counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CensusRow {
    pub(crate) queue: String,
    pub(crate) task_type: String,
    pub(crate) queue_is_served: bool,
    pub(crate) type_is_known: bool,
    pub(crate) waiting: i64,
}

/// A task as `tasks_of_type.sql` shows it.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub(crate) struct TaskOfType {
    pub(crate) task_id: i64,
    pub(crate) state: String,
    pub(crate) queue: String,
    /// Zero where the enqueue did not say.
    pub(crate) payload_version: i16,
    pub(crate) payload: Box<RawValue>,
}

#[cfg(feature = "testing")]
impl<'r> FromRow<'r, PgRow> for TaskOfType {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let Json(payload) = row.try_get("payload")?;
        Ok(Self {
            task_id: row.try_get("task_id")?,
            state: row.try_get("state")?,
            queue: row.try_get("queue")?,
            payload_version: row.try_get("payload_version")?,
            payload,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for Found {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            lane: Lane {
                task_type: row.try_get("task_type")?,
                payload_version: row.try_get("payload_version")?,
                crashes: row.try_get("crashes")?,
                priority: row.try_get("priority")?,
            },
            due_in: Duration::from_secs_f64(row.try_get("due_in")?),
        })
    }
}

impl<'r> FromRow<'r, PgRow> for ClaimedRow {
    // By position: a claim returns many rows, and a name is looked up in a map for each column.
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let Json(payload) = row.try_get(4)?;
        let errors: Option<Json<Box<RawValue>>> = row.try_get(11)?;
        Ok(Self {
            lease_id: row.try_get(0)?,
            task_id: row.try_get(1)?,
            task_type: row.try_get(2)?,
            payload_version: row.try_get(3)?,
            payload,
            priority: row.try_get(5)?,
            run_at: row.try_get(6)?,
            created_at: row.try_get(7)?,
            max_attempts: row.try_get::<Option<i32>, _>(8)?.map(saturating_u16),
            attempts: saturating_u16(row.try_get(9)?),
            crashes: row.try_get(10)?,
            errors: errors
                .map(|Json(errors)| history(&errors))
                .unwrap_or_default(),
        })
    }
}

impl<'r> FromRow<'r, PgRow> for ExpiredRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            lease_id: row.try_get("lease_id")?,
            expires_at: row.try_get("expires_at")?,
            worker_id: row.try_get("worker_id")?,
            remaining: row.try_get("remaining")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for RescuedRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            task_id: row.try_get("task_id")?,
            task_type: row.try_get("task_type")?,
            is_quarantined: row.try_get("is_quarantined")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for ResultRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let result: Option<Json<_>> = row.try_get("result")?;
        Ok(Self {
            state: row.try_get("state")?,
            result: result.map(|Json(result)| result),
            error: row.try_get("error")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for CensusRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            queue: row.try_get("queue")?,
            task_type: row.try_get("task_type")?,
            queue_is_served: row.try_get("queue_is_served")?,
            type_is_known: row.try_get("type_is_known")?,
            waiting: row.try_get("waiting")?,
        })
    }
}

// The batch that a claim has moved must be run, whatever somebody has written into this column.
fn history(errors: &RawValue) -> Vec<AttemptError> {
    serde_json::from_str(errors.get()).unwrap_or_default()
}

fn saturating_u16(number: i32) -> u16 {
    u16::try_from(number.max(0)).unwrap_or(u16::MAX)
}
