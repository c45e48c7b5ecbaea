//! Pausing and resuming a queue or a task type while workers run.

use std::future::IntoFuture;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

use crate::error::OperateError;
pub use crate::lane::{Pause, Scope};
use crate::store::{Schema, Store};

/// A queue, by its name: `pause(Queue("mail"))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue<'a>(pub &'a str);

/// A task type, by its name: `pause(TaskType("send_card"))`.
///
/// The name is what stands in `task_type` of the tasks. Tasks that were enqueued under an alias have that alias there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskType<'a>(pub &'a str);

/// A schedule, by its name: `pause(Schedule("nightly"))`.
///
/// It ticks no more, and what comes meanwhile is not owed when it is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule<'a>(pub &'a str);

impl From<Schedule<'_>> for Scope {
    fn from(Schedule(name): Schedule<'_>) -> Self {
        Self::Schedule(name.to_owned())
    }
}

impl From<Queue<'_>> for Scope {
    fn from(Queue(name): Queue<'_>) -> Self {
        Self::Queue(name.to_owned())
    }
}

impl From<TaskType<'_>> for Scope {
    fn from(TaskType(name): TaskType<'_>) -> Self {
        Self::TaskType(name.to_owned())
    }
}

/// Speaks as an operator to the workers of the schema `taskq`, or of another: see [`Operator::schema`].
///
/// ```no_run
/// use taskq::chrono::{DateTime, Utc};
/// use taskq::operate::{Queue, TaskType};
///
/// # async fn f(pool: sqlx::PgPool, monday: DateTime<Utc>) -> Result<(), taskq::OperateError> {
/// let operator = taskq::operate(&pool).as_user("ada");
/// // Returns once it is written, and holds from then on, whatever is restarted.
/// operator.pause(Queue("mail")).because("SMTP is down").await?;
/// // In all queues, and until a time.
/// operator.pause(TaskType("send_invoice")).until(monday).await?;
///
/// for pause in operator.pauses().await? {
///     println!("{pause}"); // queue mail paused since 2026-03-01T07:30:00Z by ada: SMTP is down
/// }
/// operator.resume(Queue("mail")).await?;
/// # Ok(()) }
/// ```
pub fn operate(pool: &PgPool) -> Operator {
    Operator {
        pool: pool.clone(),
        schema: Schema::default(),
        user: None,
        patience: PATIENCE,
    }
}

/// Somebody who operates the tables of a schema: see [`operate`](fn@crate::operate).
#[derive(Debug, Clone)]
pub struct Operator {
    pool: PgPool,
    schema: Schema,
    pub(super) user: Option<String>,
    pub(super) patience: Duration,
}

/// For so long a transaction may be open before the doctor tells it.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

impl Operator {
    /// Operates the tables in this schema.
    pub fn schema(self, schema: Schema) -> Self {
        Self { schema, ..self }
    }

    /// Says who does it. Otherwise that is the role that the pool logs in with.
    pub fn as_user(self, user: impl Into<String>) -> Self {
        Self {
            user: Some(user.into()),
            ..self
        }
    }

    /// Says for how long a transaction may be open before [`doctor`](Self::doctor) tells it; otherwise that is five minutes.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Pauses a queue or a task type, known or not: once awaited, none of its tasks starts.
    ///
    /// The pause stands in a table until somebody resumes, so it outlives workers and Postgres. Workers hear of it
    /// within milliseconds; one that is cut off obeys it from its next scan on. Handlers that run go on. What a worker
    /// has claimed and not started waits again, uncharged. Delays ripen meanwhile, and enqueues are accepted.
    ///
    /// To pause what is paused is no error. Who, why and until when are those of the last pause, and `since`
    /// is that of the first.
    pub fn pause(&self, scope: impl Into<Scope>) -> Pausing {
        Pausing {
            operator: self.clone(),
            scope: scope.into(),
            reason: None,
            until: None,
        }
    }

    /// Tells what is paused, the oldest pause first.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The table is only read, so the future may be dropped at any time.
    pub async fn pauses(&self) -> Result<Vec<Pause>, OperateError> {
        match self.store().pauses().await {
            Ok(held) => Ok(held.into_iter().map(|it| it.pause).collect()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Counts the tasks of a queue, a task type or a schedule that run: what a pause leaves going on, in all workers.
    ///
    /// For a second after a pause, tasks may be counted that a worker has claimed and not started, and hands back. So
    /// after that second zero means that nothing of it runs, and nothing will until it is resumed.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// use taskq::operate::Queue;
    ///
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool);
    /// operator.pause(Queue("mail")).because("the disk is being changed").await?;
    /// loop {
    ///     tokio::time::sleep(Duration::from_secs(1)).await;
    ///     match operator.running(Queue("mail")).await? {
    ///         0 => break,
    ///         running => println!("{running} still running"),
    ///     }
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
    pub async fn running(&self, scope: impl Into<Scope>) -> Result<u64, OperateError> {
        match self.store().running(&scope.into()).await {
            Ok(count) => Ok(count.unsigned_abs()),
            Err(error) => Err(self.error(error)),
        }
    }

    pub(super) fn store(&self) -> Store<'static> {
        Store::keeping(self.pool.clone(), self.schema)
    }

    /// Takes a connection of the pool for a call that may take as long as it needs.
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, OperateError> {
        let connection = self.pool.acquire().await;
        connection.map_err(|error| self.error(error))
    }

    pub(crate) fn tables(&self) -> Schema {
        self.schema
    }

    pub(super) fn error(&self, error: sqlx::Error) -> OperateError {
        OperateError::of(self.schema.name, error)
    }
}

/// A pause that is about to be said: see [`Operator::pause`].
///
/// # Errors
///
/// [`OperateError::Refused`] if the name is empty or `until` is over, by the clock of Postgres; otherwise see
/// [`OperateError`].
///
/// # Cancel safety
///
/// It is one statement: when the future is dropped, it has happened or will not happen.
#[derive(Debug)]
#[must_use = "nothing is paused until this is awaited"]
pub struct Pausing {
    operator: Operator,
    scope: Scope,
    reason: Option<String>,
    until: Option<DateTime<Utc>>,
}

impl Pausing {
    /// Says why. Logs and lists show it.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }

    /// Ends the pause by itself at this time, by the clock of Postgres.
    pub fn until(self, until: DateTime<Utc>) -> Self {
        Self {
            until: Some(until),
            ..self
        }
    }
}

/// Returns the pause that held before, if one did.
impl IntoFuture for Pausing {
    type Output = Result<Option<Pause>, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            operator,
            scope,
            reason,
            until,
        } = self;
        async move {
            let mut store = operator.store();
            let user = operator.user.as_deref();
            let former = store.pause(&scope, reason.as_deref(), until, user).await;
            former.map_err(|error| operator.error(error))
        }
        .boxed()
    }
}
