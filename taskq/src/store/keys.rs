//! Encrypting stored payloads with another key.

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{Error, query_as, query_scalar};

use super::{Store, saturating_i64};

/// A task that another key has encrypted than the newest.
#[derive(Debug)]
pub(crate) struct OldKeyRow {
    pub(crate) task_id: i64,
    pub(crate) task_type: String,
    pub(crate) payload: Box<RawValue>,
}

impl Store<'_> {
    /// Finds tasks of older keys after the one with this id, at most so many.
    pub(crate) async fn of_older_keys(
        &mut self,
        after: i64,
        newest: &str,
        most: usize,
    ) -> Result<Vec<OldKeyRow>, Error> {
        let query = query_as(self.schema.sql.of_older_keys)
            .bind(after)
            .bind(newest)
            .bind(saturating_i64(most));
        let found: Vec<(i64, String, Json<Box<RawValue>>)> =
            self.call(async |db| query.fetch_all(db).await).await?;
        let rows = found.into_iter();
        Ok(rows
            .map(|(task_id, task_type, Json(payload))| OldKeyRow {
                task_id,
                task_type,
                payload,
            })
            .collect())
    }

    /// Counts those of older keys that run.
    pub(crate) async fn run_with_older_keys(&mut self, newest: &str) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.run_with_older_keys).bind(newest);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Gives tasks other payloads, each where it has the old one still. Returns the ids of those.
    pub(crate) async fn reencrypt(
        &mut self,
        tasks: &[(&OldKeyRow, Box<RawValue>)],
    ) -> Result<Vec<i64>, Error> {
        let ids: Vec<i64> = tasks.iter().map(|(row, _)| row.task_id).collect();
        let old: Vec<_> = tasks.iter().map(|(row, _)| Json(&row.payload)).collect();
        let new: Vec<_> = tasks.iter().map(|(_, payload)| Json(payload)).collect();
        let query = query_scalar(self.schema.sql.reencrypt)
            .bind(ids)
            .bind(old)
            .bind(new);
        self.call(async |db| query.fetch_all(db).await).await
    }
}
