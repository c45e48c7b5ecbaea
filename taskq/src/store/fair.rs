//! Fair turns: claims that keep to them, and the weights of keys.

use std::time::Duration;

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row, query_as};
use uuid::Uuid;

use super::claimed::ClaimedLease;
use super::{Store, saturating_i64};
use crate::faults::crash_point;
use crate::lane::{FairEnd, KeyWeight, Place, RoundPlace, Share};

/// What a claim from a lane with fair turns asks for.
#[derive(Debug)]
pub(crate) struct FairRequest<'a> {
    /// The lease of those tasks that share one. Random, and made anew for each claim.
    pub(crate) lease_id: Uuid,
    pub(crate) worker_id: Uuid,
    pub(crate) lease_duration: Duration,
    pub(crate) queue: &'a str,
    /// The names of the task type, first the one by which it is declared.
    pub(crate) names: &'a [&'a str],
    pub(crate) share: &'a Share,
    /// Where to go on.
    pub(crate) place: &'a RoundPlace,
    pub(crate) looks_for_keyless: bool,
    /// Whether the handler completes its task in its own transaction.
    pub(crate) is_transactional: bool,
    /// Whether the server must not be able to forget the claim in a crash.
    pub(crate) is_durable: bool,
}

impl Store<'_> {
    /// Claims due tasks in fair turns of their keys, and returns the leases on them, with the tasks in the order of
    /// their turns, and what else the claim tells.
    pub(crate) async fn claim_fair(
        &mut self,
        request: &FairRequest<'_>,
    ) -> Result<(Vec<ClaimedLease>, FairEnd), Error> {
        crash_point("before_claim");
        let rows = self.say_claim_fair(request, false).await;
        crash_point("after_claim");
        let (mut leases, mut end) = (Vec::new(), FairEnd::default());
        let mut has_more = false;
        for row in rows? {
            if row.try_get::<Option<Uuid>, _>("lease_id")?.is_some() {
                has_more |= !row.try_get::<bool, _>("is_end")?;
                leases.push(ClaimedLease::of(&row, None)?);
            } else {
                end = FairEnd::from_row(&row)?;
            }
        }
        end.is_end &= !has_more;
        Ok((leases, end))
    }

    /// Tells the place of the first task that such a claim would take, and where the round would be behind it.
    pub(crate) async fn next_fair(
        &mut self,
        request: &FairRequest<'_>,
    ) -> Result<Option<(Place, RoundPlace)>, Error> {
        let rows = self.say_claim_fair(request, true).await?;
        let Some(row) = rows.last() else {
            return Ok(None);
        };
        let run_at: Option<Vec<_>> = row.try_get("run_ats")?;
        let task_id: Option<Vec<_>> = row.try_get("task_ids")?;
        let first = run_at.iter().flatten().zip(task_id.iter().flatten()).next();
        let place = first.map(|(run_at, task_id)| Place {
            run_at: *run_at,
            task_id: *task_id,
        });
        Ok(place.zip(Some(FairEnd::from_row(row)?.place)))
    }

    async fn say_claim_fair(
        &mut self,
        request: &FairRequest<'_>,
        only_looks: bool,
    ) -> Result<Vec<PgRow>, Error> {
        let share = request.share;
        let query = sqlx::query(self.schema.sql.claim_fair)
            .bind(request.lease_id)
            .bind(request.worker_id)
            .bind(request.lease_duration.as_secs_f64())
            .bind(request.queue)
            .bind(request.names)
            .bind(&share.lane.task_type)
            .bind(share.lane.payload_version)
            .bind(share.lane.crashes)
            .bind(share.lane.priority)
            .bind(saturating_i64(share.limit))
            .bind(request.place.key.as_deref())
            .bind(request.place.used)
            .bind(request.is_transactional)
            .bind(request.looks_for_keyless)
            .bind(only_looks)
            .bind(request.is_durable);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Says the weight of a key, or takes it back, and returns what was said before, if something was.
    pub(crate) async fn set_weight(
        &mut self,
        task_type: &str,
        fields: &Value,
        weight: Option<i32>,
        reason: Option<&str>,
        by: Option<&str>,
    ) -> Result<Option<KeyWeight>, Error> {
        let query = query_as(self.schema.sql.set_weight)
            .bind(task_type)
            .bind(fields)
            .bind(weight)
            .bind(reason)
            .bind(by);
        self.call(async |db| query.fetch_optional(db).await).await
    }

    /// Tells all weights that were said.
    pub(crate) async fn weights(&mut self) -> Result<Vec<KeyWeight>, Error> {
        let query = query_as(self.schema.sql.weights);
        self.call(async |db| query.fetch_all(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for FairEnd {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            place: RoundPlace {
                key: row.try_get("last_key")?,
                used: row.try_get::<Option<i64>, _>("last_used")?.unwrap_or(0),
            },
            is_end: row.try_get("is_end")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for KeyWeight {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let weight: i32 = row.try_get("weight")?;
        Ok(Self {
            task_type: row.try_get("task_type")?,
            key: row.try_get("fields")?,
            weight: u32::try_from(weight).unwrap_or(1),
            said_at: row.try_get("said_at")?,
            by: row.try_get("by")?,
            reason: row.try_get("reason")?,
        })
    }
}
