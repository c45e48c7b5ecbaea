//! What is done to all tasks that match a filter.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Error, FromRow, Row, query_as, query_scalar};

use super::{Signed, Store};

/// What is to be done to which tasks, and who says so.
#[derive(Debug)]
pub(crate) struct BulkRequest<'a> {
    pub(crate) verb: &'static str,
    pub(crate) filter: Value,
    /// The filter as a person reads it.
    pub(crate) said: String,
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) by: Option<&'a str>,
}

/// An operation as `taskq.bulk` has it.
#[derive(Debug)]
pub(crate) struct BulkRow {
    pub(crate) bulk_id: i64,
    pub(crate) verb: String,
    pub(crate) filter: Value,
    pub(crate) said: Option<String>,
    pub(crate) died_of: Option<String>,
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) reason: Option<String>,
    pub(crate) by: String,
    pub(crate) frozen_at: DateTime<Utc>,
    pub(crate) began_at: Option<DateTime<Utc>>,
    pub(crate) stopped_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) frozen: i64,
    pub(crate) done: i64,
    pub(crate) skipped: i64,
    pub(crate) failed: i64,
}

impl Store<'_> {
    /// Counts what would be frozen.
    pub(crate) async fn count_matching(&mut self, request: &BulkRequest<'_>) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.count_matching)
            .bind(request.verb)
            .bind(Json(&request.filter));
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Freezes what matches now, and does nothing to it yet.
    pub(crate) async fn freeze_bulk(
        &mut self,
        request: &BulkRequest<'_>,
    ) -> Result<BulkRow, Error> {
        let query = query_as(self.schema.sql.freeze_bulk)
            .bind(request.verb)
            .bind(Json(&request.filter))
            .bind(&request.said)
            .bind(request.run_at)
            .bind(request.reason)
            .bind(request.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Has an operation begin, or go on.
    pub(crate) async fn begin_bulk(
        &mut self,
        bulk_id: i64,
        by: Option<&str>,
        reason: Option<&str>,
    ) -> Result<BulkRow, Error> {
        let query = query_as(self.schema.sql.begin_bulk)
            .bind(bulk_id)
            .bind(by)
            .bind(reason);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Takes one part of an operation, and returns how far it has come.
    pub(crate) async fn step_bulk(&mut self, bulk_id: i64) -> Result<BulkRow, Error> {
        let query = query_as(self.schema.sql.step_bulk).bind(bulk_id);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Has an operation rest.
    pub(crate) async fn stop_bulk(
        &mut self,
        bulk_id: i64,
        signed: &Signed,
    ) -> Result<Option<BulkRow>, Error> {
        let query = query_as(self.schema.sql.stop_bulk)
            .bind(bulk_id)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_optional(db).await).await
    }

    /// Forgets an operation that has not begun. Returns whether there was one.
    pub(crate) async fn drop_bulk(&mut self, bulk_id: i64, signed: &Signed) -> Result<bool, Error> {
        let query = query_scalar(self.schema.sql.drop_bulk)
            .bind(bulk_id)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Tells of the newest operations, or of one.
    pub(crate) async fn bulks(
        &mut self,
        bulk_id: Option<i64>,
        most: i64,
    ) -> Result<Vec<BulkRow>, Error> {
        let query = query_as(self.schema.sql.bulks).bind(bulk_id).bind(most);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells what has become of the tasks that an operation retried.
    pub(crate) async fn follow_bulk(&mut self, bulk_id: i64) -> Result<RetriedRow, Error> {
        let query = query_as(self.schema.sql.follow_bulk).bind(bulk_id);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Tells which members of an operation have failed, and why.
    pub(crate) async fn bulk_failures(
        &mut self,
        bulk_id: i64,
    ) -> Result<Vec<(i64, String)>, Error> {
        let query = query_as(self.schema.sql.bulk_failures).bind(bulk_id);
        self.call(async |db| query.fetch_all(db).await).await
    }
}

/// What has become of the tasks that an operation retried: see `follow_bulk.sql`.
#[derive(Debug)]
pub(crate) struct RetriedRow {
    pub(crate) followed: i64,
    pub(crate) waiting: i64,
    pub(crate) failing: i64,
    pub(crate) running: i64,
    pub(crate) completed: i64,
    pub(crate) discarded: i64,
    pub(crate) dead: i64,
    pub(crate) refused: i64,
}

impl<'r> FromRow<'r, PgRow> for RetriedRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            followed: row.try_get("followed")?,
            waiting: row.try_get("waiting")?,
            failing: row.try_get("failing")?,
            running: row.try_get("running")?,
            completed: row.try_get("completed")?,
            discarded: row.try_get("discarded")?,
            dead: row.try_get("dead")?,
            refused: row.try_get("refused")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for BulkRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let Json(filter) = row.try_get("filter")?;
        Ok(Self {
            bulk_id: row.try_get("bulk_id")?,
            verb: row.try_get("verb")?,
            filter,
            said: row.try_get("said")?,
            died_of: row.try_get("died_of")?,
            run_at: row.try_get("run_at")?,
            reason: row.try_get("reason")?,
            by: row.try_get("by")?,
            frozen_at: row.try_get("frozen_at")?,
            began_at: row.try_get("began_at")?,
            stopped_at: row.try_get("stopped_at")?,
            ended_at: row.try_get("ended_at")?,
            frozen: row.try_get("frozen")?,
            done: row.try_get("done")?,
            skipped: row.try_get("skipped")?,
            failed: row.try_get("failed")?,
        })
    }
}
