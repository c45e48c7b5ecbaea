//! Scanning a queue for due lanes, claiming from them, and listening where nothing is due.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Decode, Error, FromRow, Postgres, Row, Type, query_as, query_as_with, query_with};
use uuid::Uuid;

use super::claimed::ClaimedLease;
use super::{Store, arguments, column, saturating_i16, saturating_i32, saturating_i64};
use crate::faults::crash_point;
use crate::lane::{Lane, LaneHead, LaneRange, MarkedLane, Place, RangeRequest, Share, Stretch};

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
    /// Whether nobody else is expected to claim the same tasks meanwhile, so that they need not be locked first.
    pub(crate) is_undisputed: bool,
    /// Whether the server must not be able to forget the claim in a crash.
    pub(crate) is_durable: bool,
}

/// Which of the claimed tasks share a lease.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sharing<'a> {
    All,
    /// None: each task has a lease of its own.
    Own,
    /// All but those of some types, whose handler completes its task in its own transaction, and those whose worker
    /// vanished before.
    AllBut(&'a [String]),
    /// So many each: those of one call of a handler, which completes them in its own transaction.
    Batches(usize),
}

impl<'a> Sharing<'a> {
    /// Returns how the tasks of these shares share leases, where those of some types have leases of their own.
    pub(crate) fn of(shares: &[Share], with_own_leases: &'a [String]) -> Self {
        let has_own = |share: &Share| {
            share.lane.crashes > 0 || with_own_leases.contains(&share.lane.task_type)
        };
        match shares.iter().filter(|share| has_own(share)).count() {
            0 => Self::All,
            own if own == shares.len() => Self::Own,
            _ => Self::AllBut(with_own_leases),
        }
    }
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

    /// Finds the lanes of a queue of which claims have reserved ranges, as [`scan`](Self::scan) would if the first task of each
    /// stood where its frontier does.
    pub(crate) async fn frontiers(
        &mut self,
        queue: &str,
        known: &[(String, u16)],
        worker_id: Uuid,
    ) -> Result<Vec<LaneHead>, Error> {
        let query = query_as(self.schema.sql.frontiers)
            .bind(queue)
            .bind(column(known, |(task_type, _)| task_type.as_str()))
            .bind(column(known, |(_, newest)| saturating_i16(*newest)))
            .bind(worker_id);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Reserves ranges of lanes for a claim.
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
        let sql = self.schema.sql;
        let text = match (request.sharing, request.is_undisputed) {
            (Sharing::AllBut(_), _) => sql.claim,
            (Sharing::Batches(_), _) => sql.claim_batches,
            (Sharing::All, false) => sql.claim_shared,
            (Sharing::All, true) => sql.claim_shared_untouched,
            (Sharing::Own, false) => sql.claim_own,
            (Sharing::Own, true) => sql.claim_own_untouched,
        };
        let query = query_with(text, arguments(17))
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
            Sharing::All | Sharing::Own => query.bind(request.is_durable),
            Sharing::Batches(size) => {
                let further = (1..request.limit.div_ceil(size)).map(|_| Uuid::new_v4());
                let further: Vec<_> = further.collect();
                let query = query.bind(further).bind(request.is_durable);
                query.bind(saturating_i64(size))
            }
        };
        let claimed = self.call(async |db| query.fetch_all(db).await).await;
        crash_point("after_claim");
        let lane = match shares {
            [share] => Some(&share.lane),
            _ => None,
        };
        let mut leases = Vec::new();
        for row in &claimed? {
            let lease = ClaimedLease::of(row, lane)?;
            match request.sharing {
                Sharing::Own => leases.extend(lease.divided()),
                Sharing::All | Sharing::AllBut(_) | Sharing::Batches(_) => leases.push(lease),
            }
        }
        Ok(leases)
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
            others: columns.next::<i32>()?.unsigned_abs(),
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
            end: columns.next_place_if_any()?,
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
}
