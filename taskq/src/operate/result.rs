//! Reading what a handler returned, where its task type keeps that.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use crate::enqueue::Enqueued;
use crate::error::ResultError;
use crate::json;
use crate::store::{ResultRow, Schema, Store};
use crate::task::payload::Payload;

/// A task type that keeps what its handler returns.
///
/// `#[task(result = "keep")]` implements it for the payload that it makes, and so does
/// `#[taskq(result = Receipt)]` beside `derive(taskq::Payload)`.
#[diagnostic::on_unimplemented(
    message = "tasks of the type `{Self}` keep no result",
    label = "keeps no result",
    note = "write `#[task(result = \"keep\")]` at the handler, and `#[taskq(result = Receipt)]` where the payload is declared apart from it"
)]
pub trait KeepsResult: Payload {
    /// What the handler returns when it succeeds.
    // That it can be read is asked for where it is: a handler's mistake is reported once.
    type Result;
}

/// What is known of a task's result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskResult<T> {
    /// The task waits or runs.
    Unfinished,
    /// The task has completed, and its handler returned this.
    Kept(T),
    /// The task has completed, and what its handler returned could not be kept, or nobody asked for it.
    NotKept {
        /// Why it could not be kept.
        reason: Option<String>,
    },
    /// The task will not run again, and its handler did not succeed.
    Dead {
        /// `discarded`, `cancelled`, `invalid`, `quarantined`, `expired` or `refused`.
        state: String,
        /// What went wrong in its last attempt.
        error: Option<String>,
    },
    /// There is no such task: there never was, or its time in the history is over.
    Gone,
}

impl<T> TaskResult<T> {
    /// Returns the result, if there is one.
    pub fn kept(self) -> Option<T> {
        match self {
            Self::Kept(result) => Some(result),
            _ => None,
        }
    }
}

/// Reads the result of a task of the type `P`.
///
/// A result is kept as long as its task is, in the history: see
/// [`history_retention`](crate::WorkerBuilder::history_retention).
///
/// ```no_run
/// use taskq::TaskResult;
///
/// #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// struct Receipt { number: u64 }
///
/// #[taskq::task(result = "keep")]
/// async fn charge(order_id: i64) -> Result<Receipt, String> {
///     Ok(Receipt { number: 1 })
/// }
///
/// # async fn f(db: &mut sqlx::PgConnection, task_id: i64) -> Result<(), taskq::ResultError> {
/// match taskq::result::<Charge>(db, task_id).await? {
///     TaskResult::Kept(receipt) => println!("receipt {}", receipt.number),
///     TaskResult::Unfinished => println!("please wait"),
///     other => println!("no receipt: {other:?}"),
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// Postgres could not be asked. Or the kept result does not fit `P::Result`: the task is of another type,
/// or a handler of an earlier release returned the result.
///
/// # Cancel safety
///
/// The tables are only read, so the future may be dropped at any time. sqlx then closes the connection, or
/// finishes the query before the next one.
pub async fn result<P: KeepsResult>(
    conn: &mut PgConnection,
    task_id: i64,
) -> Result<TaskResult<P::Result>, ResultError>
where
    P::Result: DeserializeOwned,
{
    Schema::default().result::<P>(conn, task_id).await
}

impl Schema {
    /// Reads the result of a task in this schema: see [`result`].
    ///
    /// # Errors
    ///
    /// As [`result`].
    ///
    /// # Cancel safety
    ///
    /// As [`result`].
    pub async fn result<P: KeepsResult>(
        self,
        conn: &mut PgConnection,
        task_id: i64,
    ) -> Result<TaskResult<P::Result>, ResultError>
    where
        P::Result: DeserializeOwned,
    {
        match found(Store::on(conn, self).result(task_id).await?) {
            TaskResult::Kept(raw) => match json::decode(&raw) {
                Ok(result) => Ok(TaskResult::Kept(result)),
                Err(error) => Err(ResultError::decode(P::TASK_TYPE, raw, error)),
            },
            TaskResult::Unfinished => Ok(TaskResult::Unfinished),
            TaskResult::NotKept { reason } => Ok(TaskResult::NotKept { reason }),
            TaskResult::Dead { state, error } => Ok(TaskResult::Dead { state, error }),
            TaskResult::Gone => Ok(TaskResult::Gone),
        }
    }
}

impl<P: KeepsResult> Enqueued<P>
where
    P::Result: DeserializeOwned,
{
    /// Reads the task's result, as [`result`] does. Until the transaction that enqueued it commits, the
    /// task is unfinished.
    ///
    /// # Errors
    ///
    /// As [`result`].
    ///
    /// # Cancel safety
    ///
    /// As [`result`].
    pub async fn result(
        &self,
        conn: &mut PgConnection,
    ) -> Result<TaskResult<P::Result>, ResultError> {
        self.schema.result::<P>(conn, self.task_id).await
    }
}

fn found(row: Option<ResultRow>) -> TaskResult<Box<RawValue>> {
    let Some(ResultRow {
        state,
        result,
        error,
    }) = row
    else {
        return TaskResult::Gone;
    };
    match (state.as_str(), result) {
        ("completed", Some(result)) => TaskResult::Kept(result),
        ("completed", None) => TaskResult::NotKept { reason: error },
        ("waiting" | "running", _) => TaskResult::Unfinished,
        _ => TaskResult::Dead { state, error },
    }
}
