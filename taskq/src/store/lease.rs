//! Keeping leases, and finding those that were not kept.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row, query_as, query_scalar};
use uuid::Uuid;

use super::{Store, column, saturating_i64};
use crate::faults::crash_point;

/// A lease that ran out, as `expired.sql` finds it.
#[derive(Debug)]
pub(crate) struct ExpiredRow {
    pub(crate) lease_id: Uuid,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) worker_id: Uuid,
    pub(crate) remaining: i32,
}

impl Store<'_> {
    /// Extends leases and returns those that still exist.
    pub(crate) async fn heartbeat(
        &mut self,
        lease_ids: &[Uuid],
        lease_duration: Duration,
    ) -> Result<Vec<Uuid>, Error> {
        crash_point("before_heartbeat");
        let query = query_scalar(self.schema.sql.heartbeat)
            .bind(lease_ids)
            .bind(lease_duration.as_secs_f64());
        let extended = self.call(async |db| query.fetch_all(db).await).await;
        crash_point("after_heartbeat");
        extended
    }

    /// Returns which of these tasks, each given with its lease, have left their leases.
    pub(crate) async fn cancelled(&mut self, running: &[(Uuid, i64)]) -> Result<Vec<i64>, Error> {
        let query = query_scalar(self.schema.sql.cancelled)
            .bind(column(running, |(lease_id, _)| *lease_id))
            .bind(column(running, |(_, task_id)| *task_id));
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Has nothing start for a while of the key of a task. Returns whether there is something to hold.
    pub(crate) async fn hold_key(
        &mut self,
        lease_id: Uuid,
        task_id: i64,
        time: Duration,
    ) -> Result<bool, Error> {
        let query = query_scalar(self.schema.sql.hold_key)
            .bind(lease_id)
            .bind(task_id)
            .bind(time.as_secs_f64());
        let held: Option<String> = self.call(async |db| query.fetch_one(db).await).await?;
        Ok(held.is_some())
    }

    /// Returns the tasks, each with its lease, that are left in leases of a worker which it does not hold.
    pub(crate) async fn strays(
        &mut self,
        worker_id: Uuid,
        held: &[Uuid],
    ) -> Result<Vec<(Uuid, i64)>, Error> {
        let query = query_as(self.schema.sql.strays).bind(worker_id).bind(held);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Finds leases that have run out, oldest first, from where the last page ended.
    pub(crate) async fn expired(
        &mut self,
        after: Option<&ExpiredRow>,
        limit: usize,
    ) -> Result<Vec<ExpiredRow>, Error> {
        let query = query_as(self.schema.sql.expired)
            .bind(after.map(|row| row.expires_at))
            .bind(after.map_or(Uuid::nil(), |row| row.lease_id))
            .bind(saturating_i64(limit));
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Returns the ids of the tasks that are left in a lease.
    pub(crate) async fn left(&mut self, lease_id: Uuid) -> Result<Vec<i64>, Error> {
        let query = query_scalar(self.schema.sql.left).bind(lease_id);
        self.call(async |db| query.fetch_all(db).await).await
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
