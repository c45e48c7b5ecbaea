//! Rows as the statements return them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Decode, Error, FromRow, Postgres, Row, Type};
use uuid::Uuid;

use crate::attempt::AttemptError;
use crate::lane::{Found, Lane, Place, Stretch};

/// A lease on claimed tasks, as `claim.sql` returns it.
#[derive(Debug)]
pub(crate) struct ClaimedLease {
    pub(crate) lease_id: Uuid,
    pub(crate) tasks: Vec<ClaimedRow>,
}

/// A claimed task.
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
        let frontier: Option<DateTime<Utc>> = row.try_get("frontier_run_at")?;
        Ok(Self {
            lane: Lane {
                task_type: row.try_get("task_type")?,
                payload_version: row.try_get("payload_version")?,
                crashes: row.try_get("crashes")?,
                priority: row.try_get("priority")?,
            },
            head: place(row, "run_at", "task_id")?,
            due_in: Duration::from_secs_f64(row.try_get("due_in")?),
            frontier: frontier
                .map(|_| place(row, "frontier_run_at", "frontier_task_id"))
                .transpose()?,
            is_shared: row.try_get("is_shared")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for Stretch {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            lane: Lane {
                task_type: row.try_get("task_type")?,
                payload_version: row.try_get("payload_version")?,
                crashes: 0,
                priority: row.try_get("priority")?,
            },
            floor: place(row, "floor_run_at", "floor_task_id")?,
            ceiling: place(row, "ceiling_run_at", "ceiling_task_id")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for ClaimedLease {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let lease_id = row.try_get("lease_id")?;
        let mut task_types = elements::<String>(row, "task_types")?;
        let mut payload_versions = elements(row, "payload_versions")?;
        let mut payloads = elements::<Json<_>>(row, "payloads")?;
        let mut priorities = elements(row, "priorities")?;
        let mut run_ats = elements(row, "run_ats")?;
        let mut created_ats = elements(row, "created_ats")?;
        let mut max_attempts = elements::<Option<i32>>(row, "max_attempts")?;
        let mut attempts = elements(row, "attempts")?;
        let mut crashes = elements(row, "crashes")?;
        let mut errors = elements::<Option<Json<Box<RawValue>>>>(row, "errors")?;
        let mut next = |task_id| {
            Some(ClaimedRow {
                lease_id,
                task_id,
                task_type: task_types.next()?,
                payload_version: payload_versions.next()?,
                payload: payloads.next()?.0,
                priority: priorities.next()?,
                run_at: run_ats.next()?,
                created_at: created_ats.next()?,
                max_attempts: max_attempts.next()?.map(saturating_u16),
                attempts: saturating_u16(attempts.next()?),
                crashes: crashes.next()?,
                errors: errors
                    .next()?
                    .map(|Json(errors)| history(&errors))
                    .unwrap_or_default(),
            })
        };
        let tasks: Option<Vec<ClaimedRow>> = elements(row, "task_ids")?.map(&mut next).collect();
        let tasks =
            tasks.ok_or_else(|| Error::Decode("a lease's arrays differ in length".into()))?;
        Ok(Self { lease_id, tasks })
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

fn place(row: &PgRow, run_at: &str, task_id: &str) -> Result<Place, Error> {
    Ok(Place {
        run_at: row.try_get(run_at)?,
        task_id: row.try_get(task_id)?,
    })
}

fn elements<'r, T>(row: &'r PgRow, column: &str) -> Result<std::vec::IntoIter<T>, Error>
where
    Vec<T>: Decode<'r, Postgres> + Type<Postgres>,
{
    Ok(row.try_get::<Vec<T>, _>(column)?.into_iter())
}

// The batch that a claim has moved must be run, whatever somebody has written into this column.
fn history(errors: &RawValue) -> Vec<AttemptError> {
    serde_json::from_str(errors.get()).unwrap_or_default()
}

fn saturating_u16(number: i32) -> u16 {
    u16::try_from(number.max(0)).unwrap_or(u16::MAX)
}
