//! Cancelling, retrying and discarding a task.

use std::fmt;
use std::future::IntoFuture;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::pause::Operator;
use crate::error::OperateError;

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

/// What is about to be done to one task: see [`Operator::cancel`], [`Operator::retry`], [`Operator::discard`]. Awaited, it
/// returns in which state the task was.
///
/// It is recorded in `taskq.audit`: who did what to which task, when and why.
///
/// # Errors
///
/// [`OperateError::Refused`] if there is no such task, or none in a state in which this can be done; otherwise see
/// [`OperateError`]. Then nothing has changed.
///
/// # Cancel safety
///
/// It is one statement: when the future is dropped, it has happened or will not happen.
#[derive(Debug)]
#[must_use = "nothing happens until this is awaited"]
pub struct Acting {
    operator: Operator,
    verb: Verb,
    task_id: i64,
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Cancel,
    Retry { at: Option<DateTime<Utc>> },
    Discard,
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
    pub fn cancel(&self, task_id: i64) -> Acting {
        self.act(Verb::Cancel, task_id)
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
    pub fn retry(&self, task_id: i64) -> Acting {
        self.act(Verb::Retry { at: None }, task_id)
    }

    /// Does what [`retry`](Self::retry) does, but the task is due at this time, by the clock of Postgres. So it also puts
    /// a waiting task off.
    pub fn retry_at(&self, task_id: i64, at: DateTime<Utc>) -> Acting {
        self.act(Verb::Retry { at: Some(at) }, task_id)
    }

    /// Deletes a dead task, which will never run. The record in `taskq.audit` stays, without its payload.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// taskq::operate(&pool).discard(42).because("paid by hand").await?;
    /// # Ok(()) }
    /// ```
    pub fn discard(&self, task_id: i64) -> Acting {
        self.act(Verb::Discard, task_id)
    }

    fn act(&self, verb: Verb, task_id: i64) -> Acting {
        Acting {
            operator: self.clone(),
            verb,
            task_id,
            reason: None,
        }
    }
}

impl Acting {
    /// Says why. The audit shows it, and the errors of a cancelled task.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }
}

impl IntoFuture for Acting {
    type Output = Result<TaskState, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            operator,
            verb,
            task_id,
            reason,
        } = self;
        async move {
            let mut store = operator.store();
            let (reason, by) = (reason.as_deref(), operator.user.as_deref());
            let state = match verb {
                Verb::Cancel => store.cancel(task_id, reason, by).await,
                Verb::Retry { at } => store.retry(task_id, at, reason, by).await,
                Verb::Discard => store.discard(task_id, reason, by).await,
            };
            match state {
                Ok(state) => Ok(TaskState::of(&state)),
                Err(error) => Err(operator.error(error)),
            }
        }
        .boxed()
    }
}

impl TaskState {
    pub(super) fn of(name: &str) -> Self {
        match name {
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
        String::deserialize(deserializer).map(|name| Self::of(&name))
    }
}
