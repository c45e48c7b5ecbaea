//! What a claim brings: leases, and the tasks in them.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{Error, Row};
use uuid::Uuid;

use super::array::{Array, Column, JsonText};
use crate::attempt::metadata::Metadata;
use crate::error::AttemptError;
use crate::json::verbatim;
use crate::lane::{Lane, LaneKey, Place};

/// A lease on claimed tasks, as `claim.sql` returns it.
#[derive(Debug)]
pub(crate) struct ClaimedLease {
    pub(crate) lease_id: Uuid,
    pub(crate) tasks: Vec<ClaimedTask>,
    pub(crate) scarcity: Scarcity,
    /// The key of all its tasks, where they are limited by one.
    pub(crate) limited_key: Option<String>,
}

/// The id of a lease that holds one task of a claim, as `own.sql` makes it.
fn own_lease(claim: Uuid, task_id: i64) -> Uuid {
    let (half, _) = claim.as_u64_pair();
    Uuid::from_u64_pair(half, task_id.cast_unsigned())
}

/// Whether limits bound a lease, so that others may wait for its tasks to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Scarcity {
    /// There are none.
    #[default]
    Free,
    /// There are, with plenty of room.
    Limited,
    /// There are, and little is left of them.
    Scarce,
}

/// A claimed task.
#[derive(Debug, Clone)]
pub(crate) struct ClaimedTask {
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
    pub(crate) metadata: Metadata,
}

impl ClaimedTask {
    /// Returns the lane that the task was claimed from.
    pub(crate) fn lane(&self) -> LaneKey<'_> {
        LaneKey {
            task_type: &self.task_type,
            payload_version: self.payload_version,
            crashes: self.crashes,
            priority: self.priority,
        }
    }

    /// Returns about how many bytes travel with the task.
    pub(crate) fn size(&self) -> usize {
        // With the names of its fields.
        let size_of = |error: &AttemptError| error.error.len() + error.report.size() + 80;
        let errors: usize = self.errors.iter().map(size_of).sum();
        self.payload.get().len() + errors + self.metadata.size()
    }

    /// Returns where in its lane the task stood.
    pub(crate) fn place(&self) -> Place {
        Place {
            run_at: self.run_at,
            task_id: self.task_id,
        }
    }
}

/// Returns the version that a row says its payload has, if it says one.
pub(crate) fn version_of(payload_version: i16) -> Option<u16> {
    let version = u16::try_from(payload_version).ok();
    version.filter(|version| *version > 0)
}

impl ClaimedLease {
    /// Reads a lease, with what Postgres was asked for: `lane`, if the claim was made from no other.
    ///
    /// The columns are read by their number: to find each by its name takes longer than to read it.
    pub(super) fn of(row: &PgRow, lane: Option<&Lane>) -> Result<Self, Error> {
        let lease_id = row.try_get(0)?;
        let mut task_ids = Array::of(row, 1)?;
        let mut task_types = Column::<&str>::of(row, 2, lane.map(|it| &*it.task_type))?;
        let mut payload_versions = Column::of(row, 3, lane.map(|it| it.payload_version))?;
        let mut payloads = Array::<JsonText<'_>>::of(row, 4)?;
        let mut priorities = Column::of(row, 5, lane.map(|it| it.priority))?;
        let mut run_ats = Array::of(row, 6)?;
        let mut created_ats = Array::of(row, 7)?;
        let mut max_attempts = Column::<Option<i32>>::of(row, 8, Some(None))?;
        let mut attempts = Column::of(row, 9, Some(0))?;
        let mut crashes = Column::of(row, 10, lane.map(|it| it.crashes))?;
        let mut errors = Column::<Option<JsonText<'_>>>::of(row, 11, Some(None))?;
        let mut metadatas = Column::<Option<JsonText<'_>>>::of(row, 12, Some(None))?;
        let mut tasks = Vec::with_capacity(task_ids.len());
        while task_ids.len() > 0 {
            let metadata = metadatas.next()?.map(metadata).transpose()?;
            tasks.push(ClaimedTask {
                lease_id,
                task_id: task_ids.next()?,
                task_type: task_types.next()?.to_owned(),
                payload_version: payload_versions.next()?,
                payload: raw(&payloads.next()?)?,
                priority: priorities.next()?,
                run_at: run_ats.next()?,
                created_at: created_ats.next()?,
                max_attempts: max_attempts.next()?.map(saturating_u16),
                attempts: saturating_u16(attempts.next()?),
                crashes: crashes.next()?,
                errors: errors.next()?.map(history).unwrap_or_default(),
                metadata: metadata.unwrap_or_default(),
            });
        }
        Ok(Self {
            lease_id,
            tasks,
            scarcity: Scarcity::Free,
            limited_key: None,
        })
    }

    /// Returns the leases of a claim in which each task has one of its own, of which `told.sql` tells as if they were one.
    pub(super) fn divided(self) -> impl Iterator<Item = Self> {
        self.tasks.into_iter().map(move |mut task| {
            let lease_id = own_lease(self.lease_id, task.task_id);
            task.lease_id = lease_id;
            Self {
                lease_id,
                tasks: vec![task],
                scarcity: Scarcity::Free,
                limited_key: None,
            }
        })
    }
}

fn raw(json: &JsonText<'_>) -> Result<Box<RawValue>, Error> {
    verbatim(json.0).map_err(|error| Error::Decode(error.into()))
}

fn metadata(json: JsonText<'_>) -> Result<Metadata, Error> {
    let stored = serde_json::from_str(json.0).map_err(|error| Error::Decode(error.into()))?;
    Ok(Metadata::of_stored(stored))
}

// The batch that a claim has moved must be run, whatever somebody has written into this column.
fn history(errors: JsonText<'_>) -> Vec<AttemptError> {
    serde_json::from_str(errors.0).unwrap_or_default()
}

fn saturating_u16(number: i32) -> u16 {
    u16::try_from(number.max(0)).unwrap_or(u16::MAX)
}
