//! Encrypting stored payloads with another key.

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{Error, query_as, query_scalar};

use super::{Store, saturating_i64};

/// Where payloads stand that somebody will read yet, and which can be written: see `taskq.payloads_to_read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Waiting,
    Dead,
    Refused,
    Groups,
}

impl Place {
    pub(crate) const ALL: [Self; 4] = [Self::Waiting, Self::Dead, Self::Refused, Self::Groups];

    /// The name of its table.
    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "task",
            Self::Dead => "dead",
            Self::Refused => "refused",
            Self::Groups => "task_group",
        }
    }
}

/// A payload that another key has encrypted than the newest.
#[derive(Debug)]
pub(crate) struct OldKeyRow {
    /// Of the task, or of the group.
    pub(crate) id: i64,
    pub(crate) task_type: String,
    pub(crate) payload: Box<RawValue>,
}

impl Store<'_> {
    /// Finds payloads of older keys in a place, after the one with this id, at most so many.
    pub(crate) async fn of_older_keys(
        &mut self,
        place: Place,
        after: i64,
        newest: &str,
        most: usize,
    ) -> Result<Vec<OldKeyRow>, Error> {
        let query = query_as(self.schema.sql.of_older_keys)
            .bind(place.name())
            .bind(after)
            .bind(newest)
            .bind(saturating_i64(most));
        let found: Vec<(i64, String, Json<Box<RawValue>>)> =
            self.call(async |db| query.fetch_all(db).await).await?;
        let rows = found.into_iter();
        Ok(rows
            .map(|(id, task_type, Json(payload))| OldKeyRow {
                id,
                task_type,
                payload,
            })
            .collect())
    }

    /// Counts those of older keys, also of tasks that run.
    pub(crate) async fn left_with_older_keys(&mut self, newest: &str) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.left_with_older_keys).bind(newest);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Writes other payloads in a place, each where the old one is still. Returns how many were.
    pub(crate) async fn reencrypt(
        &mut self,
        place: Place,
        rows: &[(&OldKeyRow, Box<RawValue>)],
    ) -> Result<i64, Error> {
        let ids: Vec<i64> = rows.iter().map(|(row, _)| row.id).collect();
        let found: Vec<_> = rows.iter().map(|(row, _)| Json(&row.payload)).collect();
        let new: Vec<_> = rows.iter().map(|(_, payload)| Json(payload)).collect();
        let query = query_scalar(self.schema.sql.reencrypt)
            .bind(place.name())
            .bind(ids)
            .bind(found)
            .bind(new);
        self.call(async |db| query.fetch_one(db).await).await
    }
}
