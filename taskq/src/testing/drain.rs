//! Running what is due, by the worker's own path, until nothing is.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::drain_error::DrainError;
use super::outcome::OutcomeCounts;
use crate::attempt::ended::EndedAttempt;
use crate::attempt::tx::Tx;
use crate::worker::{Drained, InlineError, WorkerBuilder};

/// Runs everything that is due now, and returns how the attempts ended. If one failed, that is an error, which says of
/// each what it was, its payload, and why it failed.
///
/// It is the worker itself, with the state, the queues and the schema that are given to its builder. What handlers
/// enqueue to run at once is run too, and so are tasks of workers that vanished, and ticks that have come. Retries and
/// delayed tasks that are not due yet stay, and so does what is paused. With [`advance`](super::advance) time moves on
/// to them:
///
/// ```no_run
/// # use std::time::Duration;
/// use taskq::Worker;
/// use taskq::testing::{advance, drain};
///
/// #[taskq::task]
/// async fn remind(usr_id: i64) {}
///
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// let week = Duration::from_secs(7 * 24 * 3600);
/// let database = taskq::testing::Database::fresh().await?;
/// let pool = database.pool();
/// taskq::enqueue(&mut *pool.acquire().await?, Remind { usr_id: 42 }).delay(week).await?;
///
/// assert_eq!(drain(Worker::builder(pool.clone())).await?.total(), 0);
/// advance(&pool, week).await?;
/// assert_eq!(drain(Worker::builder(pool)).await?.completed, 1);
/// # Ok(()) }
/// ```
///
/// A task that fails and is retried at once counts for each attempt. [`run_one`] tells more of one.
///
/// # Errors
///
/// [`DrainError::Failed`] if attempts failed: the handler returned an error, `retry_in` and `discard` too, panicked or
/// ran too long, or a payload did not decode. The other tasks are run first. With
/// [`allow_failures`](Drain::allow_failures) it is no error. A snooze, a cancel and an expired task are none.
///
/// [`DrainError::Worker`] if the worker does not start: its message says why. [`DrainError::Endless`] after a minute.
///
/// # Cancel safety
///
/// As a worker that is dropped: what runs is taken back by others, or by the next call, once its lease has run out.
pub fn drain<'t>(worker: WorkerBuilder) -> Drain<'t> {
    Drain {
        worker,
        tx: None,
        may_fail: false,
    }
}

/// Runs one task that is due, the one that a worker would run first, and returns what became of it; `None` if nothing
/// is due.
///
/// ```no_run
/// use taskq::Worker;
/// use taskq::testing::{AttemptOutcome, run_one};
///
/// #[taskq::task(max_attempts = 3)]
/// async fn send_push(usr_id: i64) -> Result<(), String> {
///     Err("no such device".into())
/// }
///
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// # let database = taskq::testing::Database::fresh().await?;
/// let pool = database.pool();
/// SendPush::enqueue(&mut *pool.acquire().await?, 42).await?;
///
/// let attempt = run_one(Worker::builder(pool)).await?.expect("a task is due");
/// assert_eq!(attempt.number, 1);
/// let AttemptOutcome::Retried { error, .. } = attempt.outcome else { panic!("{attempt:?}") };
/// assert_eq!(error, "no such device");
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// As [`drain`], but that an attempt failed is no error.
///
/// # Cancel safety
///
/// As [`drain`].
pub fn run_one<'t>(worker: WorkerBuilder) -> RunOne<'t> {
    RunOne { worker, tx: None }
}

/// Runs what is due when it is awaited. Made by [`drain`].
#[must_use = "nothing runs before this is awaited"]
pub struct Drain<'t> {
    worker: WorkerBuilder,
    tx: Option<&'t mut Tx>,
    may_fail: bool,
}

/// Runs one task when it is awaited. Made by [`run_one`].
#[must_use = "nothing runs before this is awaited"]
pub struct RunOne<'t> {
    worker: WorkerBuilder,
    tx: Option<&'t mut Tx>,
}

impl<'t> Drain<'t> {
    /// Counts failed attempts among the others, where a test expects them.
    pub fn allow_failures(mut self) -> Self {
        self.may_fail = true;
        self
    }

    /// Runs them in a transaction of the test, the *inline mode*: it sees what was enqueued there, and when the test
    /// drops the transaction nothing has happened.
    ///
    /// ```no_run
    /// use sqlx::PgConnection;
    /// use taskq::Worker;
    /// use taskq::testing::{drain, tx};
    ///
    /// #[taskq::task]
    /// async fn welcome_user(tx: &mut PgConnection, usr_id: i64) -> sqlx::Result<()> {
    ///     let welcome = "update usr set welcomed_at = now() where usr_id = $1";
    ///     sqlx::query(welcome).bind(usr_id).execute(tx).await.map(drop)
    /// }
    ///
    /// # async fn test(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut tx = tx(&pool).await?;
    /// sqlx::query("insert into usr values (42)").execute(&mut *tx).await?;
    /// WelcomeUser::enqueue(&mut tx, 42).await?;
    ///
    /// drain(Worker::builder(pool)).in_tx(&mut tx).await?;
    ///
    /// let sql = "select welcomed_at is not null from usr where usr_id = 42";
    /// assert!(sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut *tx).await?);
    /// # Ok(()) } // rolled back
    /// ```
    ///
    /// The claims, the attempts and the outcomes are those of the worker, by the same statements, on this connection. A
    /// handler with `&mut tx` gets this transaction, behind a savepoint. So its failure undoes what it did and no more.
    ///
    /// What it cannot do:
    ///
    /// - A handler that takes a connection from a pool is outside of the transaction. It does not see what was enqueued
    ///   there, and what it writes stays.
    /// - Tasks run one after the other. Nothing is retried that is due later: in a transaction `now()` stands still, and
    ///   [`advance_in`](super::advance_in) moves time on.
    /// - Tasks of workers that vanished and ticks of schedules are left alone. Nothing is counted for metrics and `stats`.
    /// - `attempt.hold_key` holds nothing, and settings, locks and prepared statements that a handler leaves on the session stay there.
    /// - Where Postgres refuses an outcome, by a constraint or a trigger of yours on the tables of tasks, that is an error.
    /// - Constraints that are deferred are checked at the end of each handler with `&mut tx`, and from then on at once.
    /// - In a database that tests share, a unique key or a limit of one test's transaction holds up the others.
    ///
    /// # Errors
    ///
    /// As [`drain`], and [`DrainError::TransactionEnded`] if a handler has committed or rolled back. Otherwise the
    /// transaction can be gone on with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transaction as it is then: roll it back.
    pub fn in_tx(mut self, tx: &'t mut Tx) -> Self {
        self.tx = Some(tx);
        self
    }
}

impl<'t> RunOne<'t> {
    /// Runs it in a transaction of the test. See [`Drain::in_tx`], which says what that cannot do.
    pub fn in_tx(mut self, tx: &'t mut Tx) -> Self {
        self.tx = Some(tx);
        self
    }
}

impl<'t> IntoFuture for Drain<'t> {
    type Output = Result<OutcomeCounts, DrainError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 't>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let drained = drained(self.worker, self.tx, usize::MAX).await?;
            let counts = OutcomeCounts::of(&drained.ended);
            if !drained.is_complete {
                return Err(DrainError::endless(counts));
            }
            match self.may_fail {
                true => Ok(counts),
                false => DrainError::unless_all_succeeded(drained.ended, counts),
            }
        })
    }
}

impl<'t> IntoFuture for RunOne<'t> {
    type Output = Result<Option<EndedAttempt>, DrainError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 't>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut drained = drained(self.worker, self.tx, 1).await?;
            if !drained.is_complete {
                return Err(DrainError::endless(OutcomeCounts::of(&drained.ended)));
            }
            Ok(drained.ended.pop())
        })
    }
}

async fn drained(
    worker: WorkerBuilder,
    tx: Option<&mut Tx>,
    most: usize,
) -> Result<Drained, DrainError> {
    let Some(tx) = tx else {
        return worker.drain(most).await.map_err(DrainError::Worker);
    };
    worker
        .drain_in(tx, most)
        .await
        .map_err(|error| match error {
            InlineError::Worker(error) => DrainError::Worker(error),
            InlineError::Database(error) => DrainError::Database(error),
            InlineError::TransactionEnded { task_type } => {
                DrainError::TransactionEnded { task_type }
            }
        })
}

impl fmt::Debug for Drain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("may_fail", &self.may_fail)
            .field("is_inline", &self.tx.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RunOne<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOne")
            .field("is_inline", &self.tx.is_some())
            .finish_non_exhaustive()
    }
}
