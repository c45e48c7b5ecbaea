//! Which workers there are, and what none of them serves.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Error, FromRow, Row, query_as, query_scalar};
use uuid::Uuid;

use super::{Store, column, saturating_i16, saturating_i32, saturating_i64};
use crate::task::limit::DeclaredLimit;

/// What a worker says of itself.
#[derive(Debug)]
pub(crate) struct WorkerRow {
    pub(crate) worker_id: Uuid,
    pub(crate) host: String,
    pub(crate) process_id: i32,
    pub(crate) queues: Vec<String>,
    pub(crate) task_types: Vec<String>,
    pub(crate) release: Option<String>,
    /// How many tasks it runs at once.
    pub(crate) slots: i32,
    /// Whether it exposes metrics.
    pub(crate) is_watched: bool,
}

/// What a worker hears as it says that it is alive.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) is_asked_to_stop: bool,
    /// Whether it is the one that asks the tables for metrics.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody asks"))]
    pub(crate) leads: bool,
}

/// Waiting tasks that no worker serves, as `census.sql` counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CensusRow {
    pub(crate) queue: String,
    pub(crate) task_type: String,
    pub(crate) queue_is_served: bool,
    pub(crate) type_is_known: bool,
    pub(crate) waiting: i64,
}

/// Waiting tasks whose payload is newer than a worker decodes, as `newer.sql` counts them.
#[derive(Debug)]
pub(crate) struct NewerRow {
    pub(crate) queue: String,
    pub(crate) task_type: String,
    /// The lowest of their versions.
    pub(crate) payload_version: i16,
    pub(crate) waiting: i64,
}

impl Store<'_> {
    /// Moves the sequence of ids past those that tasks have, and returns the last of these if it was behind.
    pub(crate) async fn advance_ids(&mut self) -> Result<Option<i64>, Error> {
        let query = query_scalar(self.schema.sql.advance_ids);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Says that a worker is alive, and for how long it may be taken to be.
    pub(crate) async fn register(
        &mut self,
        worker: &WorkerRow,
        duration: Duration,
    ) -> Result<Registered, Error> {
        let query = query_as(self.schema.sql.register)
            .bind(worker.worker_id)
            .bind(&worker.host)
            .bind(worker.process_id)
            .bind(&worker.queues)
            .bind(&worker.task_types)
            .bind(duration.as_secs_f64())
            .bind(&worker.release)
            .bind(worker.slots)
            .bind(worker.is_watched);
        let (is_asked_to_stop, leads) = self.call(async |db| query.fetch_one(db).await).await?;
        Ok(Registered {
            is_asked_to_stop,
            leads,
        })
    }

    /// Says that a living worker declares these limits of task types, for so long.
    pub(crate) async fn declare_limits(
        &mut self,
        limits: &BTreeMap<&'static str, Vec<DeclaredLimit>>,
        time: Duration,
    ) -> Result<(), Error> {
        let (names, limits): (Vec<&str>, Vec<Json<&[DeclaredLimit]>>) = limits
            .iter()
            .map(|(name, limits)| (*name, Json(&**limits)))
            .unzip();
        let query = sqlx::query(self.schema.sql.declare_limits)
            .bind(names)
            .bind(limits)
            .bind(time.as_secs_f64());
        self.execute(query).await
    }

    /// Ends the limits that nobody has declared for so long, and returns the task types that have none any more.
    pub(crate) async fn end_undeclared_limits(
        &mut self,
        silent_for: Duration,
    ) -> Result<Vec<String>, Error> {
        let query = query_scalar(self.schema.sql.end_undeclared_limits);
        let query = query.bind(silent_for.as_secs_f64());
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Says which fields of payloads are secret.
    pub(crate) async fn declare_secrets(
        &mut self,
        task_types: &[&str],
        fields: &[&str],
    ) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.declare_secrets);
        self.execute(query.bind(task_types).bind(fields)).await
    }

    /// Wakes one other worker that listens for each of these queues.
    pub(crate) async fn wake_one(&mut self, worker_id: Uuid, queues: &[&str]) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.wake_one)
            .bind(worker_id)
            .bind(queues)
            .bind(self.schema.operators_channel());
        self.execute(query).await
    }

    /// Says that a worker has stopped.
    pub(crate) async fn unregister(&mut self, worker_id: Uuid) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.unregister).bind(worker_id);
        self.execute(query).await
    }

    /// Counts the waiting tasks that no living worker serves.
    pub(crate) async fn census(
        &mut self,
        count_limit: usize,
        kind_limit: usize,
    ) -> Result<Vec<CensusRow>, Error> {
        let query = query_as(self.schema.sql.census)
            .bind(saturating_i64(count_limit))
            .bind(saturating_i32(kind_limit));
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Counts what waits in these queues in a version that is newer than the newest known, and was due so long ago.
    pub(crate) async fn newer(
        &mut self,
        queues: &[String],
        known: &[(String, u16)],
        count_limit: usize,
        due_for: Duration,
    ) -> Result<Vec<NewerRow>, Error> {
        let query = query_as(self.schema.sql.newer)
            .bind(queues)
            .bind(column(known, |(task_type, _)| task_type.as_str()))
            .bind(column(known, |(_, newest)| saturating_i16(*newest)))
            .bind(saturating_i64(count_limit))
            .bind(due_for.as_secs_f64());
        self.call(async |db| query.fetch_all(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for NewerRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            queue: row.try_get("queue")?,
            task_type: row.try_get("task_type")?,
            payload_version: row.try_get("payload_version")?,
            waiting: row.try_get("waiting")?,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for CensusRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            queue: row.try_get("queue")?,
            task_type: row.try_get("task_type")?,
            queue_is_served: row.try_get("queue_is_served")?,
            type_is_known: row.try_get("type_is_known")?,
            waiting: row.try_get("waiting")?,
        })
    }
}
