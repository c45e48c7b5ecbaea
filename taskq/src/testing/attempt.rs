//! Attempts and transactions for tests that call a handler as a function.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::json;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::attempt::batch::Batch;
use crate::attempt::lazy::{Beginner, LazyTx};
use crate::attempt::metadata::{Metadata, TICK};
use crate::attempt::progress::Says;
use crate::attempt::tx::Tx;
use crate::attempt::{Attempt, Cancellation};
use crate::begin::begin;
use crate::defaults;
use crate::error::{AttemptError, AttemptReport, BeginError};

/// When tasks of tests were enqueued: all at once, so that attempts at one task have the same keys.
static CREATED_AT: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);

/// Makes an [`Attempt`], for a test that calls a handler with `attempt: &Attempt`.
///
/// Unless the test says otherwise it is the first of 25, of task 1 of the type `test` in the queue `default`.
///
/// ```
/// use taskq::Attempt;
///
/// #[taskq::task]
/// async fn charge(attempt: &Attempt, cents: i64) -> Result<String, String> {
///     match attempt.is_last() {
///         true => Err("given up".into()),
///         false => Ok(format!("charge-{}", attempt.task_id())),
///     }
/// }
///
/// # let run = async {
/// let first = taskq::testing::attempt().task_id(7).build();
/// assert_eq!(charge(&first, 100).await.as_deref(), Ok("charge-7"));
///
/// let last = taskq::testing::attempt().number(25).failed("no route").build();
/// assert!(charge(&last, 100).await.is_err());
/// # };
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run);
/// ```
pub fn attempt() -> AttemptBuilder {
    AttemptBuilder {
        attempt: Attempt {
            task_id: 1,
            task_type: "test",
            queue: Arc::from(defaults::QUEUE),
            number: 1,
            max_attempts: defaults::MAX_ATTEMPTS,
            deadline: Instant::now() + defaults::TIMEOUT,
            created_at: *CREATED_AT,
            installation_id: Uuid::nil(),
            errors: Vec::new(),
            metadata: Metadata::default(),
            cancellation: Cancellation::of(&CancellationToken::new()),
            wish: Mutex::default(),
            hold: Mutex::default(),
            says: Says::default(),
        },
    }
}

/// Makes a [`Batch`] of attempts, for a test that calls a handler with `batch: &Batch`. As a worker gives none to a handler,
/// so make none of no attempts.
///
/// ```
/// use taskq::Batch;
/// use taskq::testing::{attempt, batch};
///
/// # #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)] struct Charge { cents: i64 }
/// #[taskq::task]
/// async fn charge(#[batch(10, "1s")] charges: Vec<Charge>, batch: &Batch) -> Vec<Result<(), String>> {
///     let last = batch.iter().map(|attempt| attempt.is_last());
///     let each = charges.iter().zip(last);
///     each.map(|(it, is_last)| if is_last && it.cents > 5 { Err("given up".into()) } else { Ok(()) }).collect()
/// }
///
/// # let run = async {
/// let batch = batch([attempt().task_id(7).build(), attempt().task_id(8).number(25).build()]);
/// let outcomes = charge(vec![Charge { cents: 5 }, Charge { cents: 6 }], &batch).await;
/// assert_eq!(outcomes, [Ok(()), Err("given up".to_owned())]);
/// # };
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run);
/// ```
pub fn batch(attempts: impl IntoIterator<Item = Attempt>) -> Batch {
    let attempts: Vec<_> = attempts.into_iter().collect();
    let deadline = attempts.first().map(|attempt| attempt.deadline);
    Batch {
        deadline: deadline.unwrap_or_else(|| Instant::now() + defaults::TIMEOUT),
        attempts,
        cancellation: Cancellation::of(&CancellationToken::new()),
    }
}

/// Begins a transaction, for a test that calls a handler with `tx: &mut taskq::Tx`. Dropping it rolls it back.
///
/// A handler with `tx: &mut PgConnection` or `&mut Transaction<'_, Postgres>` takes what `pool.begin()` gives.
///
/// # Errors
///
/// Postgres cannot be reached.
///
/// # Cancel safety
///
/// Dropping the future begins nothing.
pub async fn tx(pool: &PgPool) -> Result<Tx, sqlx::Error> {
    let transaction = pool.begin().await?;
    Ok(Tx::new(transaction))
}

/// Makes a [`LazyTx`], for a test that calls a handler with `tx: &mut LazyTx`. It takes a connection of the pool when the
/// handler, or the test, begins it. Dropping it rolls back.
///
/// ```
/// use taskq::LazyTx;
///
/// #[taskq::task]
/// async fn count_users(tx: &mut LazyTx) -> Result<(), sqlx::Error> {
///     let tx = tx.begin().await?;
///     sqlx::query("insert into usr_count select count(*) from usr").execute(&mut *tx).await?;
///     Ok(())
/// }
///
/// # async fn test(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = taskq::testing::lazy_tx(&pool);
/// count_users(&mut tx).await?;
/// let counted: i64 = sqlx::query_scalar("select count from usr_count").fetch_one(tx.begin().await?).await?;
/// # Ok(()) }
/// ```
pub fn lazy_tx(pool: &PgPool) -> LazyTx {
    LazyTx::new(Arc::new(FromPool(pool.clone())))
}

struct FromPool(PgPool);

impl Beginner for FromPool {
    fn begin(&self) -> BoxFuture<'_, Result<Tx, BeginError>> {
        let begun = begin(&self.0);
        Box::pin(async {
            let transaction = begun.await.map_err(BeginError::Database)?;
            Ok(Tx::new(transaction))
        })
    }
}

/// Builds an [`Attempt`]. Made by [`attempt`].
#[derive(Debug)]
#[must_use = "end with `.build()`"]
pub struct AttemptBuilder {
    attempt: Attempt,
}

impl AttemptBuilder {
    /// Says that the task was enqueued for a tick of a schedule.
    pub fn tick(mut self, schedule: &str, at: DateTime<Utc>) -> Self {
        let tick = json!({"schedule": schedule, "at": at});
        self.attempt.metadata.set(TICK.to_owned(), tick);
        self
    }

    /// Sets what [`Attempt::task_id`] returns.
    pub fn task_id(mut self, task_id: i64) -> Self {
        self.attempt.task_id = task_id;
        self
    }

    /// Sets what [`Attempt::created_at`] returns: in place of one time for all attempts of the process, that of the first.
    ///
    /// [`Attempt::key`] depends on it, and on the id of the task. The tables of a test's attempts have the id 0.
    pub fn created_at(mut self, at: DateTime<Utc>) -> Self {
        self.attempt.created_at = at;
        self
    }

    /// Sets what [`Attempt::task_type`] returns.
    pub fn task_type(mut self, task_type: &'static str) -> Self {
        self.attempt.task_type = task_type;
        self
    }

    /// Sets what [`Attempt::queue`] returns.
    pub fn queue(mut self, queue: &str) -> Self {
        self.attempt.queue = Arc::from(queue);
        self
    }

    /// Sets what [`Attempt::number`] returns.
    pub fn number(mut self, number: u16) -> Self {
        self.attempt.number = number;
        self
    }

    /// Sets what [`Attempt::max_attempts`] returns.
    pub fn max_attempts(mut self, max_attempts: u16) -> Self {
        self.attempt.max_attempts = max_attempts;
        self
    }

    /// Sets how far away [`Attempt::deadline`] is.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.attempt.deadline = Instant::now() + timeout;
        self
    }

    /// Adds an error to [`Attempt::previous_errors`], as of an attempt just before.
    pub fn failed(mut self, error: impl Into<String>) -> Self {
        let earlier = self.attempt.errors.len();
        self.attempt.errors.push(AttemptError {
            attempt: u16::try_from(earlier + 1).unwrap_or(u16::MAX),
            at: Utc::now(),
            error: error.into(),
            report: AttemptReport::default(),
        });
        self
    }

    /// Adds a value that [`Attempt::metadata`] returns.
    ///
    /// # Panics
    ///
    /// When the value cannot be written as JSON.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("metadata can be written as JSON");
        self.attempt.metadata.set(name.into(), value);
        self
    }

    /// Makes it an attempt whose worker is stopping: [`Attempt::is_cancelled`] says so.
    pub fn cancelled(mut self) -> Self {
        let stopping = CancellationToken::new();
        stopping.cancel();
        self.attempt.cancellation = Cancellation::of(&stopping);
        self
    }

    /// Makes the attempt.
    pub fn build(self) -> Attempt {
        self.attempt
    }
}
