//! How much there is of each kind of tasks.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::pause::Operator;
use crate::error::OperateError;
use crate::store::{KindRow, StatsRow};

/// How far a snapshot counts of each.
const MOST: i64 = 10_000;

impl Operator {
    /// Tells how much of each kind, that is of each queue and task type, is due, is due later, runs and is dead: all of it
    /// in one snapshot.
    ///
    /// It is quick, however much there is: it counts 10,000 of each at the most, and less where many kinds have much
    /// ([`KindStats::counted_to`]). Beside a million waiting tasks it takes some ten milliseconds. It looks at no more than
    /// 1,000 kinds; the priorities of a kind count as kinds here ([`Stats::stopped`]).
    ///
    /// A kind of which nothing waits, runs or is dead is not in it.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let stats = taskq::operate(&pool).stats().await?;
    /// for kind in &stats.kinds {
    ///     let more = if kind.due == kind.counted_to { "+" } else { "" };
    ///     println!("{} {}: {}{more} due, {} running", kind.queue, kind.task_type, kind.due, kind.running);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn stats(&self) -> Result<Stats, OperateError> {
        let rows = self.store().stats(MOST).await;
        let rows = rows.map_err(|error| self.error(error))?;
        Ok(Stats::of(rows))
    }

    /// Tells how many tasks of a queue could run now if there were workers enough, 10,000 at the most: what an autoscaler
    /// asks. `taskq.load` is the same in SQL.
    ///
    /// Those are the tasks that run, and those that are due. Of a paused queue or task type only what runs counts, and of
    /// one that is limited to so many at once no more than that. What rates, limits by key, sequences and brakes hold back
    /// counts, and so does what no worker serves.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let load = taskq::operate(&pool).load("mail").await?;
    /// let workers = load.div_ceil(20); // each runs 20 at once
    /// # let _ = workers; Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn load(&self, queue: impl AsRef<str>) -> Result<u64, OperateError> {
        let load = self.store().load(queue.as_ref(), MOST).await;
        let load = load.map_err(|error| self.error(error))?;
        Ok(load.unsigned_abs())
    }
}

/// How much there is of each kind of tasks: see [`Operator::stats`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// When the snapshot was taken, by the clock of Postgres.
    pub at: DateTime<Utc>,
    /// The kinds, by queue and task type.
    pub kinds: Vec<KindStats>,
    /// Whether there are more kinds than it looked at.
    pub stopped: bool,
}

/// How much there is of one kind of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KindStats {
    /// The queue.
    pub queue: String,
    /// The name that stands in the tasks: of those that were enqueued under an alias, the alias.
    pub task_type: String,
    /// How many tasks are due, also those that a pause or a limit holds back.
    pub due: i64,
    /// How many wait for their time.
    pub scheduled: i64,
    /// How far `due`, `scheduled` and `dead` were counted: a number that equals this one means "or more".
    pub counted_to: i64,
    /// Since when the longest-waiting of those that are due has been due, by what its enqueue or its retry said.
    pub oldest_due_at: Option<DateTime<Utc>>,
    /// How many workers have claimed: what runs, and what waits in a worker for a slot.
    pub running: i64,
    /// How many are dead, but for those that were cancelled.
    pub dead: i64,
    /// Whether the queue or the task type is paused.
    pub is_paused: bool,
    /// Whether a living worker works on the queue and knows the task type.
    pub is_served: bool,
}

impl Stats {
    fn of(rows: Vec<StatsRow>) -> Self {
        // There is one at least.
        let at = rows.first().map_or(DateTime::UNIX_EPOCH, |row| row.at);
        let stopped = rows.iter().any(|row| row.stopped);
        let kinds = rows.into_iter().filter_map(|row| row.kind);
        Self {
            at,
            kinds: kinds.map(KindStats::of).collect(),
            stopped,
        }
    }
}

impl KindStats {
    fn of(row: KindRow) -> Self {
        Self {
            queue: row.queue,
            task_type: row.task_type,
            due: row.due,
            scheduled: row.scheduled,
            counted_to: row.counted_to,
            oldest_due_at: row.oldest_due_at,
            running: row.running,
            dead: row.dead,
            is_paused: row.is_paused,
            is_served: row.is_served,
        }
    }
}
