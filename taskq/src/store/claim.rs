//! Scanning a queue for due lanes, claiming from them, and listening where nothing is due.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Decode, Error, FromRow, Postgres, Row, Type, query_as, query_as_with};
use uuid::Uuid;

use super::{Store, arguments, column, saturating_i16, saturating_i32, saturating_i64};
use crate::attempt::metadata::Metadata;
use crate::error::AttemptError;
use crate::faults::crash_point;
use crate::lane::{
    Lane, LaneHead, LaneKey, LaneRange, MarkedLane, Place, RangeRequest, Share, Stretch,
};

/// What a claim asks for.
#[derive(Debug)]
pub(crate) struct ClaimRequest<'a> {
    /// The lease of those tasks that share one. Random, and made anew for each claim.
    pub(crate) lease_id: Uuid,
    pub(crate) worker_id: Uuid,
    pub(crate) lease_duration: Duration,
    pub(crate) queue: &'a str,
    pub(crate) limit: usize,
    /// From which lanes, and how much from each, in the order of their turns.
    pub(crate) shares: &'a [Share],
    pub(crate) sharing: Sharing<'a>,
    /// Whether the server must not be able to forget the claim in a crash.
    pub(crate) is_durable: bool,
}

/// Which of the claimed tasks share a lease.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sharing<'a> {
    /// All but those of some types, whose handler completes its task in its own transaction.
    AllBut(&'a [String]),
    /// So many each: those of one call of a handler, which completes them in its own transaction.
    Batches(usize),
}

/// The first due task of a lane, which Postgres does not let a claim take, as `put_off.sql` returns it.
#[derive(Debug)]
pub(crate) struct RefusedHead {
    pub(crate) place: Place,
    /// What Postgres said.
    pub(crate) refusal: String,
    /// Whether Postgres let it be put off at least.
    pub(crate) is_put_off: bool,
}

/// A lease on claimed tasks, as `claim.sql` returns it.
#[derive(Debug)]
pub(crate) struct ClaimedLease {
    pub(crate) lease_id: Uuid,
    pub(crate) tasks: Vec<ClaimedTask>,
    pub(crate) scarcity: Scarcity,
    /// The key of all its tasks, where they are limited by one.
    pub(crate) limited_key: Option<String>,
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

impl Store<'_> {
    /// Finds the lanes of a queue that hold tasks of the given types, in versions up to the newest
    /// known of each.
    pub(crate) async fn scan(
        &mut self,
        queue: &str,
        known: &[(String, u16)],
        worker_id: Uuid,
    ) -> Result<Vec<LaneHead>, Error> {
        let query = query_as_with(self.schema.sql.scan, arguments(4))
            .bind(queue)
            .bind(column(known, |(task_type, _)| task_type.as_str()))
            .bind(column(known, |(_, newest)| saturating_i16(*newest)))
            .bind(worker_id);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Does what [`scan`](Self::scan) does, but looks into marked lanes from their marks on, and into the others only
    /// if that is asked for.
    pub(crate) async fn scan_marked(
        &mut self,
        queue: &str,
        known: &[(String, u16)],
        worker_id: Uuid,
        marked: &[MarkedLane<'_>],
        into_others: bool,
    ) -> Result<Vec<LaneHead>, Error> {
        let query = query_as_with(self.schema.sql.scan_marked, arguments(10))
            .bind(queue)
            .bind(column(known, |(task_type, _)| task_type.as_str()))
            .bind(column(known, |(_, newest)| saturating_i16(*newest)))
            .bind(worker_id)
            .bind(column(marked, |it| it.lane.task_type.as_str()))
            .bind(column(marked, |it| it.lane.payload_version))
            .bind(column(marked, |it| it.lane.priority))
            .bind(column(marked, |it| it.place.run_at))
            .bind(column(marked, |it| it.place.task_id))
            .bind(into_others);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Reserves ranges of lanes for a claim. A lane that has too few tasks is left out.
    pub(crate) async fn reserve(
        &mut self,
        queue: &str,
        requests: &[RangeRequest<'_>],
    ) -> Result<Vec<LaneRange>, Error> {
        crash_point("before_reserve");
        let query = query_as(self.schema.sql.reserve)
            .bind(queue)
            .bind(column(requests, |asked| asked.lane.task_type.as_str()))
            .bind(column(requests, |asked| asked.lane.payload_version))
            .bind(column(requests, |asked| asked.lane.priority))
            .bind(column(requests, |asked| asked.cursor.run_at))
            .bind(column(requests, |asked| asked.cursor.task_id))
            .bind(column(requests, |asked| saturating_i32(asked.tasks)));
        let ranges = self.call(async |db| query.fetch_all(db).await).await;
        crash_point("after_reserve");
        ranges
    }

    /// Chooses places by chance in the lanes of some shares, behind which claims begin.
    pub(crate) async fn anywhere(
        &mut self,
        queue: &str,
        shares: &[&Share],
    ) -> Result<Vec<Stretch>, Error> {
        let query = query_as(self.schema.sql.anywhere)
            .bind(queue)
            .bind(column(shares, |share| share.lane.task_type.as_str()))
            .bind(column(shares, |share| share.lane.payload_version))
            .bind(column(shares, |share| share.lane.crashes))
            .bind(column(shares, |share| share.lane.priority))
            .bind(column(shares, |share| share.cursor.run_at))
            .bind(column(shares, |share| share.cursor.task_id))
            .bind(column(shares, |share| saturating_i32(share.places())));
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Claims due tasks, and returns the leases on them.
    pub(crate) async fn claim(
        &mut self,
        request: &ClaimRequest<'_>,
    ) -> Result<Vec<ClaimedLease>, Error> {
        let shares = request.shares;
        crash_point("before_claim");
        let text = match request.sharing {
            Sharing::AllBut(_) => self.schema.sql.claim,
            Sharing::Batches(_) => self.schema.sql.claim_batches,
        };
        let query = query_as_with(text, arguments(17))
            .bind(request.lease_id)
            .bind(request.worker_id)
            .bind(request.lease_duration.as_secs_f64())
            .bind(request.queue)
            .bind(saturating_i64(request.limit))
            .bind(column(shares, |share| share.lane.task_type.as_str()))
            .bind(column(shares, |share| share.lane.payload_version))
            .bind(column(shares, |share| share.lane.crashes))
            .bind(column(shares, |share| share.lane.priority))
            .bind(column(shares, |share| share.cursor.run_at))
            .bind(column(shares, |share| share.cursor.task_id))
            .bind(column(shares, |share| {
                share.range_end.map(|range_end| range_end.run_at)
            }))
            .bind(column(shares, |share| {
                share
                    .range_end
                    .map_or(i64::MAX, |range_end| range_end.task_id)
            }))
            .bind(column(shares, |share| saturating_i32(share.limit)));
        let query = match request.sharing {
            Sharing::AllBut(types) => query.bind(types).bind(request.is_durable),
            Sharing::Batches(size) => {
                let further = (1..request.limit.div_ceil(size)).map(|_| Uuid::new_v4());
                let further: Vec<_> = further.collect();
                let query = query.bind(further).bind(request.is_durable);
                query.bind(saturating_i64(size))
            }
        };
        let claimed = self.call(async |db| query.fetch_all(db).await).await;
        crash_point("after_claim");
        claimed
    }

    /// Puts off the first due task of a share's lane, if Postgres does not let a claim take it.
    pub(crate) async fn put_off(
        &mut self,
        queue: &str,
        share: &Share,
        delay: Duration,
    ) -> Result<Option<RefusedHead>, Error> {
        let query = query_as(self.schema.sql.put_off)
            .bind(queue)
            .bind(&share.lane.task_type)
            .bind(share.lane.payload_version)
            .bind(share.lane.crashes)
            .bind(share.lane.priority)
            .bind(share.cursor.run_at)
            .bind(share.cursor.task_id)
            .bind(delay.as_secs_f64());
        self.call(async |db| query.fetch_optional(db).await).await
    }

    /// Registers a worker as a waiting listener of queues.
    pub(crate) async fn listen(
        &mut self,
        worker_id: Uuid,
        queues: &[&str],
        duration: Duration,
    ) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.listen)
            .bind(worker_id)
            .bind(queues)
            .bind(duration.as_secs_f64());
        self.execute(query).await
    }

    /// Removes a worker from the waiting listeners of queues.
    pub(crate) async fn unlisten(&mut self, worker_id: Uuid, queues: &[&str]) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.unlisten)
            .bind(worker_id)
            .bind(queues);
        self.execute(query).await
    }
}

/// Returns the version that a row says its payload has, if it says one.
pub(crate) fn version_of(payload_version: i16) -> Option<u16> {
    let version = u16::try_from(payload_version).ok();
    version.filter(|version| *version > 0)
}

impl<'r> FromRow<'r, PgRow> for LaneHead {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            lane: Lane {
                task_type: columns.next()?,
                payload_version: columns.next()?,
                crashes: columns.next()?,
                priority: columns.next()?,
            },
            first: columns.next_place_if_any()?,
            scanned_at: columns.next()?,
            due_in: Duration::from_secs_f64(columns.next::<Option<_>>()?.unwrap_or(0.0)),
            frontier: columns.next_place_if_any()?,
            is_shared: columns.next()?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for LaneRange {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            lane: Lane {
                task_type: columns.next()?,
                payload_version: columns.next()?,
                crashes: 0,
                priority: columns.next()?,
            },
            start: columns.next_place()?,
            end: columns.next_place()?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for Stretch {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let mut columns = Columns::of(row);
        let number: i64 = columns.next()?;
        Ok(Self {
            share: usize::try_from(number - 1).unwrap_or_default(),
            start: columns.next_place()?,
            end: columns.next_place()?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for RefusedHead {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            place: columns.next_place()?,
            refusal: columns.next()?,
            is_put_off: columns.next()?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for ClaimedLease {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let mut columns = Columns::of(row);
        let lease_id = columns.next()?;
        let task_ids = columns.next_array()?;
        let mut task_types = columns.next_array::<String>()?;
        let mut payload_versions = columns.next_array()?;
        let mut payloads = columns.next_array::<Json<_>>()?;
        let mut priorities = columns.next_array()?;
        let mut run_ats = columns.next_array()?;
        let mut created_ats = columns.next_array()?;
        let mut max_attempts = columns.next_array::<Option<i32>>()?;
        let mut attempts = columns.next_array()?;
        let mut crashes = columns.next_array()?;
        let mut errors = columns.next_array::<Option<Json<Box<RawValue>>>>()?;
        let mut metadatas = columns
            .next::<Option<Vec<Option<Json<Value>>>>>()?
            .map(Vec::into_iter);
        let mut next = |task_id| {
            Some(ClaimedTask {
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
                metadata: metadatas
                    .as_mut()
                    .and_then(|metadatas| Some(Metadata::of_stored(metadatas.next()??.0)))
                    .unwrap_or_default(),
            })
        };
        let tasks: Option<Vec<ClaimedTask>> = task_ids.map(&mut next).collect();
        let tasks =
            tasks.ok_or_else(|| Error::Decode("a lease's arrays differ in length".into()))?;
        Ok(Self {
            lease_id,
            tasks,
            scarcity: Scarcity::Free,
            limited_key: None,
        })
    }
}

/// The columns of a row in the order in which the statement returns them. To find each by its name takes longer than to
/// read it.
struct Columns<'r> {
    row: &'r PgRow,
    read: usize,
}

impl<'r> Columns<'r> {
    fn of(row: &'r PgRow) -> Self {
        Self { row, read: 0 }
    }

    fn next<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> Result<T, Error> {
        let value = self.row.try_get(self.read);
        self.read += 1;
        value
    }

    fn next_place(&mut self) -> Result<Place, Error> {
        Ok(Place {
            run_at: self.next()?,
            task_id: self.next()?,
        })
    }

    fn next_place_if_any(&mut self) -> Result<Option<Place>, Error> {
        let run_at = self.next::<Option<_>>()?;
        let task_id = self.next::<Option<_>>()?;
        let place = run_at.zip(task_id);
        Ok(place.map(|(run_at, task_id)| Place { run_at, task_id }))
    }

    fn next_array<T>(&mut self) -> Result<std::vec::IntoIter<T>, Error>
    where
        Vec<T>: Decode<'r, Postgres> + Type<Postgres>,
    {
        Ok(self.next::<Vec<T>>()?.into_iter())
    }
}

// The batch that a claim has moved must be run, whatever somebody has written into this column.
fn history(errors: &RawValue) -> Vec<AttemptError> {
    serde_json::from_str(errors.get()).unwrap_or_default()
}

fn saturating_u16(number: i32) -> u16 {
    u16::try_from(number.max(0)).unwrap_or(u16::MAX)
}
