//! The lines that handlers log.

#[cfg(feature = "log")]
use std::time::Instant;

use serde::Deserialize;
#[cfg(feature = "log")]
use sqlx::query;
use sqlx::types::Json;
use sqlx::{Error, query_as, query_scalar};
use uuid::Uuid;

use super::Store;
#[cfg(feature = "log")]
use super::{column, saturating_i32};
#[cfg(feature = "log")]
use crate::attempt::log::{Chunk, Part};

impl Store<'_> {
    /// Writes lines, and deletes those of tasks that are done and not kept.
    #[cfg(feature = "log")]
    pub(crate) async fn write_log(&mut self, worker_id: Uuid, part: &Part) -> Result<(), Error> {
        let sql = self.schema.sql.log;
        self.call(async |db| {
            // Ages are told once the connection is there: it may be longer in coming than a whole attempt takes, and then
            // that would stand behind the next one.
            let now = Instant::now();
            let age = |chunk: &Chunk| now.saturating_duration_since(chunk.first).as_secs_f64();
            let told = part.chunks.iter();
            let told: Vec<_> = told
                .flat_map(|chunk| chunk.of.iter().map(move |of| (chunk, of)))
                .collect();
            let old: Vec<_> = part.chunks.iter().filter(|chunk| chunk.stays > 0).collect();
            let chunks = &part.chunks;
            let query = query(sql)
                .bind(worker_id)
                .bind(column(&told, |(_, of)| of.task_id))
                .bind(column(&told, |(chunk, _)| chunk.log_id))
                .bind(column(&told, |(_, of)| i32::from(of.attempt)))
                .bind(column(&told, |(chunk, _)| saturating_i32(chunk.tasks)))
                .bind(column(&told, |(chunk, _)| saturating_i32(chunk.most_lines)))
                .bind(column(&told, |(chunk, _)| age(chunk)))
                .bind(column(chunks, |chunk| chunk.log_id))
                .bind(column(chunks, |chunk| chunk.number))
                .bind(column(chunks, age))
                .bind(column(chunks, |chunk| chunk.said))
                .bind(column(chunks, |chunk| saturating_i32(chunk.line_count())))
                .bind(column(chunks, Chunk::json))
                .bind(column(&old, |chunk| chunk.log_id))
                .bind(column(&old, |chunk| chunk.stays))
                .bind(&part.done);
            query.execute(db).await.map(drop)
        })
        .await
    }

    /// Returns the runs of a task that have lines, each with so many of its newest at the most.
    pub(crate) async fn logs<T>(&mut self, task_id: i64, most: usize) -> Result<T, Error>
    where
        T: for<'de> Deserialize<'de> + Send + Unpin + 'static,
    {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let query = query_scalar(self.schema.sql.logs).bind(task_id).bind(most);
        let Json(logs) = self.call(async |db| query.fetch_one(db).await).await?;
        Ok(logs)
    }

    /// Deletes the lines of tasks that are nowhere any more, behind this place. Returns up to which it has looked, if there
    /// may be more.
    pub(crate) async fn prune_log(
        &mut self,
        (task_id, log_id): (i64, Uuid),
        most: i32,
    ) -> Result<Option<(i64, Uuid)>, Error> {
        let query = query_as(self.schema.sql.prune_log)
            .bind(task_id)
            .bind(log_id)
            .bind(most);
        let looked: (Option<i64>, Option<Uuid>) =
            self.call(async |db| query.fetch_one(db).await).await?;
        Ok(looked.0.zip(looked.1))
    }
}
