//! Cancelling, retrying and discarding a task.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::act::Act;
use super::pause::Operator;

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It waits, due or not yet.
    Waiting,
    /// A worker has claimed it.
    Running,
    /// It has completed, and is kept.
    Completed,
    /// It used up its attempts, or its handler gave it up.
    Discarded,
    /// It is no longer wanted: an operator or its handler cancelled it.
    Cancelled,
    /// Its payload does not decode.
    Invalid,
    /// It was running in too many processes that died.
    Quarantined,
    /// It did not start in its time.
    Expired,
    /// Postgres refused to let it go where its outcome sent it.
    Refused,
}

impl Operator {
    /// Cancels a task that waits or runs: it is set aside as `cancelled`, and whatever its handler still does does not
    /// count. To cancel what is cancelled is no error.
    ///
    /// From the commit on, the outcome of a running handler is dropped, and its transaction is rolled back. Its worker is
    /// told, and asks the handler to come to an end: [`Attempt::is_cancelled`](crate::Attempt::is_cancelled). Half a second
    /// later the worker drops the handler's future, and cancels the query that it was waiting for. A worker that does not
    /// listen, or misses the message, notices with its next heartbeat: within a quarter of its lease. What the handler
    /// did outside its transaction stays done. A handler that blocks its thread cannot be stopped.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// let was = operator.cancel(42).because("wrong recipient").await?;
    /// println!("task 42 was {was}"); // task 42 was running
    /// # Ok(()) }
    /// ```
    pub fn cancel(&self, task_id: i64) -> Act<TaskState> {
        self.act(async move |mut store, signed| {
            store.cancel(task_id, &signed).await.map(TaskState::of)
        })
    }

    /// Has a dead task run again now. It gets all its attempts again, and keeps its id, its
    /// payload and its errors. An expiry that its enqueue gave is forgotten.
    ///
    /// A task that waits is due now instead of when it was. Tasks that run, have completed, or were refused cannot be
    /// retried.
    ///
    /// The key of a [unique](crate::unique) task that has ended may have gone to another one meanwhile: then both are there.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// operator.retry(42).because("the card works again").await?;
    /// # Ok(()) }
    /// ```
    pub fn retry(&self, task_id: i64) -> Act<TaskState> {
        self.retry_once(task_id, None)
    }

    /// Does what [`retry`](Self::retry) does, but the task is due at this time, by the clock of Postgres. So it also puts
    /// a waiting task off.
    pub fn retry_at(&self, task_id: i64, at: DateTime<Utc>) -> Act<TaskState> {
        self.retry_once(task_id, Some(at))
    }

    /// Deletes a dead task, which will never run. The record in `taskq.audit` stays, without its payload.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// taskq::operate(&pool).discard(42).because("paid by hand").await?;
    /// # Ok(()) }
    /// ```
    pub fn discard(&self, task_id: i64) -> Act<TaskState> {
        self.act(async move |mut store, signed| {
            store.discard(task_id, &signed).await.map(TaskState::of)
        })
    }

    fn retry_once(&self, task_id: i64, at: Option<DateTime<Utc>>) -> Act<TaskState> {
        self.act(async move |mut store, signed| {
            store.retry(task_id, at, &signed).await.map(TaskState::of)
        })
    }
}

impl TaskState {
    pub(super) fn of(name: impl AsRef<str>) -> Self {
        match name.as_ref() {
            "waiting" => Self::Waiting,
            "running" => Self::Running,
            "completed" => Self::Completed,
            "cancelled" => Self::Cancelled,
            "invalid" => Self::Invalid,
            "quarantined" => Self::Quarantined,
            "expired" => Self::Expired,
            "refused" => Self::Refused,
            _ => Self::Discarded,
        }
    }

    /// Returns its name, as the view `taskq.tasks` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
            Self::Invalid => "invalid",
            Self::Quarantined => "quarantined",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for TaskState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for TaskState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::of)
    }
}
