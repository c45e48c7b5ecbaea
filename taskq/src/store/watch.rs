//! What goes on: how much waits, what workers have done, and which workers there are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row, query_as, query_scalar};
use uuid::Uuid;

use super::{Signed, Store, column};
use crate::attempt::spread::Spread;

/// What was counted of one kind of attempts, as `count_minutes.sql` writes it.
#[derive(Debug)]
pub(crate) struct Counted<'a> {
    pub(crate) queue: &'a str,
    pub(crate) task_type: &'a str,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) died: u64,
    pub(crate) wait: &'a Spread,
    pub(crate) run: &'a Spread,
}

/// A kind of tasks, as `stats.sql` tells of it. There is a row at least, which says what time it is.
#[derive(Debug)]
pub(crate) struct StatsRow {
    pub(crate) at: DateTime<Utc>,
    /// Whether there are more kinds than it looked at.
    pub(crate) stopped: bool,
    pub(crate) kind: Option<KindRow>,
}

#[derive(Debug)]
pub(crate) struct KindRow {
    pub(crate) queue: String,
    pub(crate) task_type: String,
    pub(crate) due: i64,
    pub(crate) scheduled: i64,
    pub(crate) counted_to: i64,
    pub(crate) oldest_due_at: Option<DateTime<Utc>>,
    pub(crate) running: i64,
    pub(crate) dead: i64,
    pub(crate) is_paused: bool,
    pub(crate) is_served: bool,
}

/// What workers have counted in a minute, as `minutes.sql` reads it.
#[derive(Debug)]
pub(crate) struct MinuteRow {
    pub(crate) minute: DateTime<Utc>,
    pub(crate) queue: String,
    pub(crate) task_type: String,
    pub(crate) completed: i64,
    pub(crate) failed: i64,
    pub(crate) died: i64,
    pub(crate) wait: Spread,
    pub(crate) run: Spread,
}

/// What workers have counted of all kinds together in a minute, as `minute_totals.sql` reads it.
#[cfg(feature = "dashboard")]
#[derive(Debug)]
pub(crate) struct MinuteTotal {
    pub(crate) minute: DateTime<Utc>,
    pub(crate) completed: i64,
    pub(crate) failed: i64,
    pub(crate) died: i64,
    pub(crate) wait: Spread,
    pub(crate) run: Spread,
}

/// A worker, as `workers.sql` tells of it.
#[derive(Debug)]
pub(crate) struct WorkerStatusRow {
    pub(crate) worker_id: Uuid,
    pub(crate) host: String,
    pub(crate) process_id: i32,
    pub(crate) release: Option<String>,
    pub(crate) queues: Vec<String>,
    pub(crate) task_types: Vec<String>,
    pub(crate) slots: Option<i32>,
    pub(crate) running: i64,
    pub(crate) leases: i64,
    pub(crate) oldest_claimed_at: Option<DateTime<Utc>>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) seen_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) stop_asked_at: Option<DateTime<Utc>>,
    pub(crate) is_alive: bool,
}

impl Store<'_> {
    /// Adds to what workers have counted in this minute, of each kind and of all together.
    pub(crate) async fn count_minutes(&mut self, counted: &[Counted<'_>]) -> Result<(), Error> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let sum = |of: fn(&Counted<'_>) -> u64| number(counted.iter().map(of).sum());
        let (mut wait, mut run) = (Spread::default(), Spread::default());
        for kind in counted {
            wait.merge(kind.wait);
            run.merge(kind.run);
        }
        let query = sqlx::query(self.schema.sql.count_minutes)
            .bind(column(counted, |kind| kind.queue))
            .bind(column(counted, |kind| kind.task_type))
            .bind(column(counted, |kind| number(kind.completed)))
            .bind(column(counted, |kind| number(kind.failed)))
            .bind(column(counted, |kind| number(kind.died)))
            .bind(column(counted, |kind| as_array(kind.wait)))
            .bind(column(counted, |kind| as_array(kind.run)))
            .bind(sum(|kind| kind.completed))
            .bind(sum(|kind| kind.failed))
            .bind(sum(|kind| kind.died))
            .bind(as_array(&wait))
            .bind(as_array(&run));
        self.execute(query).await
    }

    /// Deletes what workers counted long ago, so many rows at the most, and returns how many.
    pub(crate) async fn prune_minutes(&mut self, most: i64) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.prune_minutes).bind(most);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Tells how much of each kind waits, runs and is dead.
    pub(crate) async fn stats(&mut self, most: i64) -> Result<Vec<StatsRow>, Error> {
        let query = query_as(self.schema.sql.stats).bind(most);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells how many tasks of a queue could run now.
    pub(crate) async fn load(&mut self, queue: &str, most: i64) -> Result<i64, Error> {
        let query = query_scalar(self.schema.sql.load).bind(queue).bind(most);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Reads what workers have counted by minute, the newest first.
    pub(crate) async fn minutes(
        &mut self,
        since: Duration,
        most: i64,
    ) -> Result<Vec<MinuteRow>, Error> {
        let query = query_as(self.schema.sql.minutes)
            .bind(since.as_secs_f64())
            .bind(most);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Reads what workers have counted by minute of all kinds together, the oldest first.
    #[cfg(feature = "dashboard")]
    pub(crate) async fn minute_totals(
        &mut self,
        since: Duration,
    ) -> Result<Vec<MinuteTotal>, Error> {
        let query = query_as(self.schema.sql.minute_totals).bind(since.as_secs_f64());
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells which workers there are.
    pub(crate) async fn workers(&mut self) -> Result<Vec<WorkerStatusRow>, Error> {
        let query = query_as(self.schema.sql.workers);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Asks a worker to stop, and returns since when it is asked.
    pub(crate) async fn stop_worker(
        &mut self,
        worker_id: Uuid,
        signed: &Signed,
    ) -> Result<DateTime<Utc>, Error> {
        let query = query_scalar(self.schema.sql.stop_worker)
            .bind(worker_id)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Forgets a worker that vanished. Returns whether there was one.
    pub(crate) async fn forget_worker(
        &mut self,
        worker_id: Uuid,
        signed: &Signed,
    ) -> Result<bool, Error> {
        let query = query_scalar(self.schema.sql.forget_worker)
            .bind(worker_id)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }
}

/// Writes counts as Postgres writes an array.
fn as_array(spread: &Spread) -> String {
    let counts: Vec<String> = spread.counts().iter().map(u64::to_string).collect();
    format!("{{{}}}", counts.join(","))
}

impl<'r> FromRow<'r, PgRow> for StatsRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let queue: Option<String> = row.try_get("queue")?;
        let stopped: Option<bool> = row.try_get("stopped")?;
        let kind = match queue {
            None => None,
            Some(queue) => Some(KindRow {
                queue,
                task_type: row.try_get("task_type")?,
                due: row.try_get("due")?,
                scheduled: row.try_get("scheduled")?,
                counted_to: row.try_get("counted_to")?,
                oldest_due_at: row.try_get("oldest_due_at")?,
                running: row.try_get("running")?,
                dead: row.try_get("dead")?,
                is_paused: row.try_get("is_paused")?,
                is_served: row.try_get("is_served")?,
            }),
        };
        Ok(Self {
            at: row.try_get("at")?,
            stopped: stopped.unwrap_or(false),
            kind,
        })
    }
}

impl<'r> FromRow<'r, PgRow> for MinuteRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let (waits, runs): (Vec<i64>, Vec<i64>) = (row.try_get("waits")?, row.try_get("runs")?);
        Ok(Self {
            minute: row.try_get("minute")?,
            queue: row.try_get("queue")?,
            task_type: row.try_get("task_type")?,
            completed: row.try_get("completed")?,
            failed: row.try_get("failed")?,
            died: row.try_get("died")?,
            wait: Spread::of(&waits),
            run: Spread::of(&runs),
        })
    }
}

#[cfg(feature = "dashboard")]
impl<'r> FromRow<'r, PgRow> for MinuteTotal {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let (waits, runs): (Vec<i64>, Vec<i64>) = (row.try_get("waits")?, row.try_get("runs")?);
        Ok(Self {
            minute: row.try_get("minute")?,
            completed: row.try_get("completed")?,
            failed: row.try_get("failed")?,
            died: row.try_get("died")?,
            wait: Spread::of(&waits),
            run: Spread::of(&runs),
        })
    }
}

impl<'r> FromRow<'r, PgRow> for WorkerStatusRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            worker_id: row.try_get("worker_id")?,
            host: row.try_get("host")?,
            process_id: row.try_get("process_id")?,
            release: row.try_get("release")?,
            queues: row.try_get("queues")?,
            task_types: row.try_get("task_types")?,
            slots: row.try_get("slots")?,
            running: row.try_get("running")?,
            leases: row.try_get("leases")?,
            oldest_claimed_at: row.try_get("oldest_claimed_at")?,
            started_at: row.try_get("started_at")?,
            seen_at: row.try_get("seen_at")?,
            expires_at: row.try_get("expires_at")?,
            stop_asked_at: row.try_get("stop_asked_at")?,
            is_alive: row.try_get("is_alive")?,
        })
    }
}
