//! Waiting for what a handler returns.

mod book;
mod ear;
mod room;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;

use self::book::{Answer, Wait};
use crate::enqueue::{Enqueue, Enqueued, EnqueuedMany, NewTask, Place};
use crate::error::{ResultError, WaitError};
use crate::json;
use crate::operate::result::{KeepsResult, TaskResult};
use crate::operate::show::Progress;
use crate::store::{ResultRow, Schema, Store};
use crate::task::payload::Payload;

/// The name under which the wish travels that the end of a task is told at once. A trigger on the tables of ended tasks
/// reads it.
const AWAITED: &str = "task.awaited";

/// A task by its id, and the type of what its handler returns.
///
/// [`Enqueued::handle`] makes it, and [`of`](Self::of) makes it again in another process, or in this one after a restart:
///
/// ```no_run
/// # use std::time::Duration;
/// # use taskq::Handle;
/// # #[taskq::task(result = "keep")] async fn resize(image_id: i64) -> Result<u64, String> { Ok(1) }
/// # async fn f(pool: &sqlx::PgPool, task_id: i64) -> Result<(), taskq::WaitError> {
/// let size = Handle::<Resize>::of(task_id).wait(pool, Duration::from_secs(30)).await?;
/// # Ok(()) }
/// ```
pub struct Handle<P> {
    task_id: i64,
    schema: Schema,
    /// Whether its end is told on the channel.
    is_told: bool,
    payload: PhantomData<fn() -> P>,
}

impl<P> Handle<P> {
    /// Makes a handle of the id of a task. Whether there is such a task, and of this type, a wait will tell.
    pub fn of(task_id: i64) -> Self {
        Self {
            task_id,
            schema: Schema::default(),
            is_told: false,
            payload: PhantomData,
        }
    }

    /// Says that the task is in another schema than `taskq`.
    #[must_use]
    pub fn schema(mut self, other: Schema) -> Self {
        self.schema = other;
        self
    }

    /// Returns how far the task says that it is, by [`Attempt::progress`](crate::Attempt::progress); `None` if it has said
    /// nothing, or has completed and is not kept. It asks the database once.
    ///
    /// ```no_run
    /// # #[taskq::task] async fn resize(image_id: i64) {}
    /// # async fn f(pool: &sqlx::PgPool, task_id: i64) -> Result<(), sqlx::Error> {
    /// if let Some(progress) = taskq::Handle::<Resize>::of(task_id).progress(pool).await? {
    ///     println!("{progress}"); // 40 %, image 17
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Postgres refuses, or cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn progress(self, pool: &PgPool) -> Result<Option<Progress>, sqlx::Error> {
        let mut db = pool.acquire().await?;
        let mut store = Store::on(&mut db, self.schema);
        let read = store.progress_of(self.task_id).await?;
        Ok(read.map(|(attempt, fraction, said, said_at)| Progress {
            attempt,
            fraction,
            said,
            said_at,
        }))
    }

    /// Returns the id of the task.
    pub fn task_id(self) -> i64 {
        self.task_id
    }
}

// The bounds stand at the methods: so the compiler says what `KeepsResult` has to say.
impl<P: Payload> Handle<P> {
    /// Waits until the task has ended, and returns what its handler returned.
    ///
    /// First commit the transaction that enqueued the task: before, it is [`Gone`](WaitError::Gone).
    ///
    /// The waiting callers of a process share one query for each pool and schema, which asks for all their tasks at once:
    /// when a wait begins, and then whenever an eighth of the time has passed that a task was waited for, but after 50 ms at
    /// the earliest and 1.6 s at the latest. So however many wait, the query is made at most fifty times a second. The end of
    /// a task that was enqueued with [`awaited`](Enqueue::awaited) is told at once; its callers ask an eighth as often
    /// beside, since what is told may be lost. While such a task is waited for, and for ten seconds after, a connection
    /// of the pool listens, unless that is the only one.
    ///
    /// If Postgres cannot be reached the wait goes on, and asks again each second.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use taskq::WaitError;
    ///
    /// /// Returns the size of the image.
    /// #[taskq::task(result = "keep")]
    /// async fn resize(image_id: i64) -> Result<u64, String> {
    ///     Ok(1)
    /// }
    ///
    /// # async fn f(pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut tx = pool.begin().await?;
    /// let task = Resize::enqueue(&mut tx, 42).awaited().await?;
    /// tx.commit().await?;
    /// match task.wait(pool, Duration::from_secs(30)).await {
    ///     Ok(size) => println!("{size} bytes"),
    ///     Err(WaitError::TimedOut) => println!("ask for task {} later", task.task_id),
    ///     Err(other) => return Err(other.into()),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WaitError`]: the time was over; the task has ended otherwise than by success, or is not there; or what is kept of
    /// it does not fit `P::Result`.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. The task goes on, and so do other callers.
    pub async fn wait(self, pool: &PgPool, time: Duration) -> Result<P::Result, WaitError>
    where
        P: KeepsResult<Result: DeserializeOwned>,
    {
        let mut seat = None;
        let answer = timeout(time, async {
            loop {
                let (wait, answer) = Wait::of(self.task_id, self.is_told);
                seat = Some(room::take_seat(pool, self.schema, wait));
                // It is gone without an answer where the runtime that it was on has ended.
                if let Ok(answer) = answer.await {
                    return answer;
                }
            }
        });
        match answer.await {
            Ok(Answer::Ended(row)) => read::<P>(&row),
            Ok(Answer::Failed(error)) => Err(WaitError::Database(error)),
            Err(_) => Err(match seat.and_then(|seat| seat.trouble()) {
                Some(error) => WaitError::Database(error),
                None => WaitError::TimedOut,
            }),
        }
    }

    /// Reads the task's result, as [`result`](crate::result) does, without waiting for it.
    ///
    /// # Errors
    ///
    /// As [`result`](crate::result).
    ///
    /// # Cancel safety
    ///
    /// As [`result`](crate::result).
    pub async fn result(self, conn: &mut PgConnection) -> Result<TaskResult<P::Result>, ResultError>
    where
        P: KeepsResult<Result: DeserializeOwned>,
    {
        self.schema.result::<P>(conn, self.task_id).await
    }
}

impl<P: Payload> Enqueue<'_, P> {
    /// Has the end of the task told at once to those who [wait](Handle::wait) for it. Without this they ask.
    ///
    /// The transaction in which the task ends then sends a notification, and Postgres commits such transactions one after
    /// the other. So leave it out where very many tasks a second end, and of a task for whose result nobody waits.
    pub fn awaited(self) -> Self
    where
        P: KeepsResult,
    {
        self.told_by(AWAITED)
    }
}

impl<P: Payload> NewTask<P> {
    /// Has the end of the task told at once to those who wait for it: see [`Enqueue::awaited`].
    pub fn awaited(self) -> Self
    where
        P: KeepsResult,
    {
        self.told_by(AWAITED)
    }
}

impl<P> Enqueued<P> {
    /// Returns a handle, by which to wait for the task.
    pub fn handle(&self) -> Handle<P> {
        Handle {
            task_id: self.task_id,
            schema: self.schema,
            is_told: self.is_told,
            payload: PhantomData,
        }
    }
}

impl EnqueuedMany {
    /// Returns a handle of one task, by which to wait for it.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn handle<P>(&self, place: Place<P>) -> Handle<P> {
        self.get(place).handle()
    }
}

impl<P: Payload> Enqueued<P> {
    /// Waits until the task has ended, and returns what its handler returned: see [`Handle::wait`].
    ///
    /// # Errors
    ///
    /// As [`Handle::wait`].
    ///
    /// # Cancel safety
    ///
    /// As [`Handle::wait`].
    pub async fn wait(&self, pool: &PgPool, time: Duration) -> Result<P::Result, WaitError>
    where
        P: KeepsResult<Result: DeserializeOwned>,
    {
        self.handle().wait(pool, time).await
    }
}

impl<P> Clone for Handle<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Handle<P> {}

impl<P> fmt::Debug for Handle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("task_id", &self.task_id)
            .field("schema", &self.schema)
            .finish()
    }
}

/// Reads what a task has ended with.
fn read<P: KeepsResult<Result: DeserializeOwned>>(row: &ResultRow) -> Result<P::Result, WaitError> {
    let error = row.error.clone();
    match (row.state.as_str(), &row.result) {
        ("completed", Some(raw)) => {
            json::decode(raw).map_err(|error| WaitError::decode(P::TASK_TYPE, raw.clone(), error))
        }
        ("completed", None) => Err(WaitError::NotKept { reason: error }),
        ("cancelled", _) => Err(WaitError::Cancelled { error }),
        ("expired", _) => Err(WaitError::Expired),
        ("gone", _) => Err(WaitError::Gone),
        (state, _) => Err(WaitError::Dead {
            state: state.to_owned(),
            error,
        }),
    }
}
