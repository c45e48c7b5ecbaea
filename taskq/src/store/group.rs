//! Groups: adding their members beside other tasks, and looking after those that are open.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Error, FromRow, Row, query_as, query_scalar};

use super::{Signed, Store, column, saturating_i16};
use crate::task::group_status::GroupStatus;
use crate::task::options::EnqueueOptions;
use crate::task::payload::TaskType;
use crate::task::unique::EnqueueOutcome;

/// One of several tasks that are inserted together.
pub(crate) struct MixedRow {
    pub(crate) task_type: TaskType,
    pub(crate) options: EnqueueOptions,
    pub(crate) payload: Box<RawValue>,
    /// The options of `taskq.enqueue`, if it has a key.
    pub(crate) keyed: Option<Value>,
}

impl Store<'_> {
    /// Inserts tasks of several types. Returns the id of each, or of the task that has its key, in the order given, and
    /// what was done.
    pub(crate) async fn enqueue_each(
        &mut self,
        rows: &[MixedRow],
    ) -> Result<Vec<(i64, EnqueueOutcome)>, Error> {
        let start = |row: &MixedRow| row.options.start.run_at_and_delay();
        let query = query_as(self.schema.sql.enqueue_each)
            .bind(column(rows, |row| row.task_type.name))
            .bind(column(rows, |row| Json(&*row.payload)))
            .bind(column(rows, |row| {
                saturating_i16(row.task_type.options.version)
            }))
            .bind(column(rows, |row| {
                let declared = row.task_type.options.queue;
                row.options.queue.as_deref().unwrap_or(declared)
            }))
            .bind(column(rows, |row| {
                row.options
                    .priority
                    .unwrap_or(row.task_type.options.priority)
            }))
            .bind(column(rows, |row| {
                let declared = row.task_type.options.max_attempts;
                i32::from(row.options.max_attempts.unwrap_or(declared))
            }))
            .bind(column(rows, |row| start(row).0))
            .bind(column(rows, |row| start(row).1))
            .bind(column(rows, |row| row.options.metadata.stored().map(Json)))
            .bind(column(rows, |row| row.options.group))
            .bind(column(rows, |row| row.keyed.as_ref().map(Json)));
        let (ids, words): (Vec<i64>, Vec<String>) =
            self.call(async |db| query.fetch_one(db).await).await?;
        let outcomes = words.iter().map(|word| EnqueueOutcome::of(word));
        Ok(ids.into_iter().zip(outcomes).collect())
    }

    /// Begins a group, and returns its id.
    pub(crate) async fn begin_group(
        &mut self,
        task_type: &str,
        payload: &RawValue,
        options: Value,
    ) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.begin_group)
            .bind(task_type)
            .bind(Json(payload))
            .bind(options);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Says that all members of a group are there.
    pub(crate) async fn seal_group(&mut self, group_id: i64) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.seal_group).bind(group_id);
        self.execute(query).await
    }

    /// Says that of a group in the place of whoever has begun it.
    pub(crate) async fn seal_group_as(
        &mut self,
        group_id: i64,
        signed: &Signed,
    ) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.seal_group_as)
            .bind(group_id)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.execute(query).await
    }

    /// Adds up what this transaction has changed of groups until now, as its commit would.
    #[cfg(feature = "testing")]
    pub(crate) async fn end_groups(&mut self) -> Result<(), Error> {
        // The first notes that the second has something to do.
        let text = super::in_schema(
            "set constraints taskq.note_groups immediate;
             set constraints taskq.commit_groups immediate;
             set constraints taskq.note_groups, taskq.commit_groups deferred",
            self.schema.name,
        );
        let query = sqlx::raw_sql(sqlx::AssertSqlSafe(text));
        self.call(async |db| query.execute(db).await.map(drop))
            .await
    }

    /// Looks after so many open groups, and so many members of each. Returns how many of these were nowhere any more, and
    /// how many groups have ended.
    pub(crate) async fn tend_groups(
        &mut self,
        groups: i32,
        members: i32,
    ) -> Result<(i64, i64), Error> {
        let query = query_as(self.schema.sql.tend_groups)
            .bind(groups)
            .bind(members);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Deletes groups that ended so long ago, and so many rows of members at the most; returns how many rows it deleted.
    pub(crate) async fn prune_groups(&mut self, keep: Duration, most: i32) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.prune_groups)
            .bind(keep.as_secs_f64())
            .bind(most);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Lists groups, so many at the most, or one.
    pub(crate) async fn groups(
        &mut self,
        most: i64,
        group_id: Option<i64>,
    ) -> Result<Vec<GroupStatus>, Error> {
        let query = query_as(self.schema.sql.groups).bind(most).bind(group_id);
        self.call(async |db| query.fetch_all(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for GroupStatus {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            group_id: row.try_get("group_id")?,
            task_type: row.try_get("task_type")?,
            created_at: row.try_get("created_at")?,
            sealed_at: row.try_get("sealed_at")?,
            ended_at: row.try_get("ended_at")?,
            task_id: row.try_get("task_id")?,
            problem: row.try_get("problem")?,
            members: row.try_get("members")?,
            remaining: row.try_get("remaining")?,
            completed: row.try_get("completed")?,
            discarded: row.try_get("discarded")?,
            cancelled: row.try_get("cancelled")?,
            invalid: row.try_get("invalid")?,
            quarantined: row.try_get("quarantined")?,
            expired: row.try_get("expired")?,
            deleted: row.try_get("deleted")?,
        })
    }
}
