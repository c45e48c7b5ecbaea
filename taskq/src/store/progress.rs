//! How far attempts say that they are.

use chrono::{DateTime, Utc};
use sqlx::{Error, query, query_as, query_scalar};
use uuid::Uuid;

use super::{Store, column};
use crate::attempt::progress::ProgressRow;

/// An attempt that blocks its thread, or has had a transaction for long.
#[derive(Debug)]
pub(crate) struct WatchedRow {
    pub(crate) task_id: i64,
    /// The thread that it blocks.
    pub(crate) thread: Option<String>,
    /// For how many seconds it does so.
    pub(crate) blocked: Option<f64>,
    /// The process of the server that works for its transaction.
    pub(crate) backend: Option<i32>,
}

/// The columns of a row as others read it.
pub(crate) type ReadProgress = (i32, Option<f64>, String, DateTime<Utc>);

impl Store<'_> {
    /// Writes how far attempts are, and deletes it of tasks that are done and not kept.
    pub(crate) async fn write_progress(
        &mut self,
        worker_id: Uuid,
        said: &[ProgressRow],
        done: &[i64],
    ) -> Result<(), Error> {
        let query = query(self.schema.sql.progress)
            .bind(worker_id)
            .bind(column(said, |row| row.task_id))
            .bind(column(said, |row| i32::from(row.attempt)))
            .bind(column(said, |row| row.fraction))
            .bind(column(said, |row| row.said.as_str()))
            .bind(column(said, |row| row.at.elapsed().as_secs_f64()))
            .bind(done);
        self.execute(query).await
    }

    /// Writes which attempts of a worker block their threads or have had a transaction for long: these, and no others.
    pub(crate) async fn write_watched(
        &mut self,
        worker_id: Uuid,
        watched: &[WatchedRow],
    ) -> Result<(), Error> {
        let query = query(self.schema.sql.watched)
            .bind(worker_id)
            .bind(column(watched, |row| row.task_id))
            .bind(column(watched, |row| row.thread.as_deref()))
            .bind(column(watched, |row| row.blocked))
            .bind(column(watched, |row| row.backend));
        self.execute(query).await
    }

    /// Returns how far a task says that it is, if it does.
    pub(crate) async fn progress_of(
        &mut self,
        task_id: i64,
    ) -> Result<Option<ReadProgress>, Error> {
        let query = query_as(self.schema.sql.progress_of).bind(task_id);
        self.call(async |db| query.fetch_optional(db).await).await
    }

    /// Deletes the progress of tasks that are nowhere any more, behind this one. Returns up to which it has looked, if there
    /// may be more.
    pub(crate) async fn prune_progress(
        &mut self,
        behind: i64,
        most: i32,
    ) -> Result<Option<i64>, Error> {
        let query = query_scalar(self.schema.sql.prune_progress)
            .bind(behind)
            .bind(most);
        self.call(async |db| query.fetch_one(db).await).await
    }
}
