//! What remains of finished tasks.

use std::time::Duration;

use sqlx::{Error, query_scalar};

use super::{Store, column};

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
