//! What remains of finished tasks.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row as _, query_as, query_scalar};

use super::{Signed, Store, column};
use crate::task::keep::{DeclaredKeeps, KeepRule, Prunable};

impl Store<'_> {
    /// Adds to the counters of what became of tasks.
    pub(crate) async fn count(&mut self, counts: &[(&str, &str, u64)]) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.count)
            .bind(column(counts, |(task_type, _, _)| *task_type))
            .bind(column(counts, |(_, outcome, _)| *outcome))
            .bind(column(counts, |(_, _, total)| {
                i64::try_from(*total).unwrap_or(i64::MAX)
            }));
        self.execute(query).await
    }

    /// Drops a day of the history that ended longer than `keep` ago, or makes one of the next, and returns its
    /// partition, if there was one to drop or to make.
    pub(crate) async fn prune(&mut self, keep: Duration) -> Result<Option<String>, Error> {
        let query = query_scalar(self.schema.sql.prune).bind(keep.as_secs_f64());
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Says for how long the types of a living worker are kept.
    pub(crate) async fn declare_keep(&mut self, keeps: &DeclaredKeeps) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.declare_keep)
            .bind(&keeps.task_types)
            .bind(&keeps.outcomes)
            .bind(&keeps.seconds);
        self.execute(query).await
    }

    /// Keeps the finished tasks of a type and outcome for a time.
    pub(crate) async fn keep(
        &mut self,
        task_type: &str,
        outcome: &str,
        time: &str,
        signed: &Signed,
    ) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.keep)
            .bind(task_type)
            .bind(outcome)
            .bind(time)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.execute(query).await
    }

    /// Tells for how long finished tasks are kept, and how many were pruned.
    pub(crate) async fn keeps(&mut self) -> Result<Vec<KeepRule>, Error> {
        let query = query_as(self.schema.sql.keeps);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Has what programs declare hold again. Returns whether there was another word.
    pub(crate) async fn reset_keep(
        &mut self,
        task_type: &str,
        outcome: &str,
        signed: &Signed,
    ) -> Result<bool, Error> {
        let query = query_scalar(self.schema.sql.reset_keep)
            .bind(task_type)
            .bind(outcome)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Deletes what is kept no longer and does not go with a whole day, so many rows of each time and outcome at the most.
    /// Returns how many, and whether there may be more.
    pub(crate) async fn prune_kept(&mut self, most: i64) -> Result<(i64, bool), Error> {
        let query = query_as(self.schema.sql.prune_kept).bind(most);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Tells what would be pruned now, if completed tasks are kept so long of which nobody says it.
    pub(crate) async fn prunable(&mut self, unsaid: Duration) -> Result<Vec<Prunable>, Error> {
        let query = query_as(self.schema.sql.prunable).bind(unsaid.as_secs_f64());
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Deletes gates that say nothing any more, so many at the most, and returns how many.
    pub(crate) async fn prune_gates(&mut self, most: i64) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.prune_gates).bind(most);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Deletes keys of tasks that have ended, so many at the most, and returns how many.
    pub(crate) async fn prune_keys(&mut self, most: i64) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.prune_keys).bind(most);
        self.call(async |db| query.fetch_one(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for KeepRule {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            task_type: row.try_get("task_type")?,
            outcome: row.try_get("outcome")?,
            seconds: row.try_get("seconds")?,
            is_overridden: row.try_get("is_overridden")?,
            by: row.try_get("by")?,
            reason: row.try_get("reason")?,
            said_at: row.try_get("said_at")?,
            pruned: row.try_get::<i64, _>("pruned")?.unsigned_abs(),
            last_pruned_at: row.try_get("last_pruned_at")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for Prunable {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            task_type: row.try_get("task_type")?,
            outcome: row.try_get("outcome")?,
            seconds: row.try_get("seconds")?,
            tasks: row.try_get::<i64, _>("tasks")?.unsigned_abs(),
            oldest_at: row.try_get("oldest_at")?,
        })
    }
}
