//! Enqueueing in the caller's transaction.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use crate::error::EnqueueError;
use crate::json::{self, MAX_STORED_SIZE};
use crate::store::{Copy, Schema, Store, holder_of_key, is_too_large, refused_row};
use crate::task::options::EnqueueOptions;
use crate::task::payload::{Payload, TaskType, Unwritable, write};
use crate::task::start::Start;
use crate::task::unique::{EnqueueOutcome, Unique};

/// The most tasks that one statement inserts. More are inserted by further statements.
const MAX_TASKS_AT_ONCE: usize = 10_000;

/// How many bytes of JSON one statement inserts, unless a single payload is longer. A message to Postgres may
/// have a gigabyte, and both sides hold all of it.
const MAX_BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Enqueues a task in the caller's transaction.
///
/// Nothing happens until the returned builder is awaited, and nothing is visible to workers until
/// the caller's transaction commits. A rollback takes the task with it. With a connection outside
/// of a transaction the task is committed by the insert itself.
///
/// ```no_run
/// # #[taskq::task] async fn send_email_welcome(usr_id: i64, locale: Option<String>) {}
/// # async fn signup(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// # let usr_id = 1;
/// let mut tx = pool.begin().await?;
/// let task = taskq::enqueue(&mut tx, SendEmailWelcome { usr_id, locale: None })
///     .delay(std::time::Duration::from_secs(60))
///     .priority(5)
///     .await?;
/// tx.commit().await?;
/// println!("task {}", task.task_id);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// The await gives [`EnqueueError`]: an option out of range; a payload that a worker could not read back
/// as it is, that is too large, or that is refused by its own [`validate`](Payload::validate); another task that has
/// the key, where the enqueue was to fail for that; or what Postgres said. After an error of Postgres the caller's transaction is aborted, as after any statement that fails.
///
/// # Cancel safety
///
/// Dropping the future while it runs leaves open whether the row was inserted. The row is in the caller's
/// transaction, so roll that back.
pub fn enqueue<'c, P: Payload>(conn: &'c mut PgConnection, payload: P) -> Enqueue<'c, P> {
    Enqueue {
        state: State::building(conn, const { TaskType::of::<P>() }, encode(payload, None)),
        payload: PhantomData,
    }
}

/// An enqueue that has not happened yet; awaiting it inserts the row. Made by [`enqueue`].
#[must_use = "nothing is enqueued until this is awaited"]
pub struct Enqueue<'c, P> {
    state: State<'c>,
    payload: PhantomData<fn() -> P>,
}

enum State<'c> {
    Building {
        conn: &'c mut PgConnection,
        task_type: TaskType,
        options: EnqueueOptions,
        payload: Result<Box<RawValue>, EnqueueError>,
        schema: Schema,
    },
    Inserting(BoxFuture<'c, Result<(i64, EnqueueOutcome, Schema), EnqueueError>>),
    Finished,
}

impl<'c> State<'c> {
    fn building(
        conn: &'c mut PgConnection,
        task_type: TaskType,
        payload: Result<Box<RawValue>, EnqueueError>,
    ) -> Self {
        Self::Building {
            conn,
            task_type,
            options: EnqueueOptions::default(),
            payload,
            schema: Schema::default(),
        }
    }
}

impl<P: Payload> Enqueue<'_, P> {
    /// Puts the task in this queue, in place of the one that its type names.
    pub fn queue(self, queue: impl Into<String>) -> Self {
        let queue = queue.into();
        self.with(|options| options.queue = Some(queue))
    }

    /// Sets the priority, in place of the one that its type names. Smaller runs earlier.
    pub fn priority(self, priority: i16) -> Self {
        self.with(|options| options.priority = Some(priority))
    }

    /// Sets how often the task is attempted at most, in place of what its type says; at least 1.
    pub fn max_attempts(self, max_attempts: u16) -> Self {
        self.with(|options| options.max_attempts = Some(max_attempts))
    }

    /// Runs the task no earlier than `delay` from now, by the clock of the database: from the
    /// beginning of the caller's transaction.
    pub fn delay(self, delay: Duration) -> Self {
        self.with(|options| options.start = Start::After(delay))
    }

    /// Runs the task no earlier than `run_at`.
    pub fn run_at(self, run_at: DateTime<Utc>) -> Self {
        self.with(|options| options.start = Start::At(run_at))
    }

    /// Has the task run only if it starts within `expires` after it is due, in place of what its type says. Otherwise it
    /// goes to `taskq.dead` as `expired`, without an error. Its retries count from the same time.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # #[taskq::task] async fn send_code(usr_id: i64) {}
    /// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
    /// SendCode::enqueue(tx, 42).expires(Duration::from_secs(600)).await?;
    /// # Ok(()) }
    /// ```
    pub fn expires(self, expires: Duration) -> Self {
        self.with(|options| options.expires = Some(expires))
    }

    /// Says something of the task beside its payload, under a name: who asked for it, a trace. The handler
    /// reads it with [`Attempt::metadata`](crate::Attempt::metadata), and it stays with the task wherever
    /// that goes. All metadata of a task may have 64 KiB of JSON.
    ///
    /// ```no_run
    /// # #[taskq::task] async fn send_email_welcome(usr_id: i64) {}
    /// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
    /// SendEmailWelcome::enqueue(tx, 42).metadata("request_id", "7f3a").await?;
    /// # Ok(()) }
    /// ```
    pub fn metadata(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.with(|options| options.metadata.set(name, value))
    }

    /// Says that one task of each key may be there, in place of what its type says: see [`Unique`].
    pub fn unique(self, unique: Unique) -> Self {
        self.with(|options| options.unique.get_or_insert_default().unique = Some(unique))
    }

    /// Sets the key of which one task of this type may be there, in place of one by the payload: see [`Unique`].
    ///
    /// ```no_run
    /// # #[taskq::task] async fn send_email_welcome(usr_id: i64) {}
    /// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
    /// SendEmailWelcome::enqueue(tx, 42).unique_key("welcome:42").await?;
    /// # Ok(()) }
    /// ```
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.with(|options| options.unique.get_or_insert_default().key = Some(key))
    }

    /// Waits for quiet: runs the task when no other with its key was enqueued for so long, with the payload that came
    /// last, and at the latest ten times as long after the first. [`OnConflict::PushBack`] says another time.
    ///
    /// ```no_run
    /// # #[taskq::task] async fn index_document(document_id: i64) {}
    /// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
    /// IndexDocument::enqueue(tx, 42).debounce(std::time::Duration::from_secs(5)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// [`OnConflict::PushBack`]: crate::unique::OnConflict::PushBack
    pub fn debounce(self, delay: Duration) -> Self {
        self.with(|options| {
            options.start = Start::After(delay);
            options.unique.get_or_insert_default().debounce = Some(delay);
        })
    }

    /// Enqueues into the tables of another schema than `taskq`.
    pub fn schema(mut self, other: Schema) -> Self {
        if let State::Building { schema, .. } = &mut self.state {
            *schema = other;
        }
        self
    }

    fn with(mut self, change: impl FnOnce(&mut EnqueueOptions)) -> Self {
        if let State::Building { options, .. } = &mut self.state {
            change(options);
        }
        self
    }
}

// A future itself, not only `IntoFuture`: where an `.await` is forgotten before a `?`, the
// compiler then says so.
impl<P> Future for Enqueue<'_, P> {
    type Output = Result<Enqueued<P>, EnqueueError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.state, State::Finished) {
                State::Building {
                    conn,
                    task_type,
                    options,
                    payload,
                    schema,
                } => {
                    let inserted = insert(conn, task_type, options, payload, schema);
                    self.state = State::Inserting(inserted.boxed());
                }
                State::Inserting(mut future) => match future.poll_unpin(context) {
                    Poll::Ready(inserted) => return Poll::Ready(inserted.map(Enqueued::new)),
                    Poll::Pending => {
                        self.state = State::Inserting(future);
                        return Poll::Pending;
                    }
                },
                State::Finished => panic!("`Enqueue` polled after it was ready"),
            }
        }
    }
}

async fn insert(
    conn: &mut PgConnection,
    task_type: TaskType,
    mut options: EnqueueOptions,
    payload: Result<Box<RawValue>, EnqueueError>,
    schema: Schema,
) -> Result<(i64, EnqueueOutcome, Schema), EnqueueError> {
    options.write_expiry(task_type.options);
    options.check(task_type.options)?;
    let mut store = Store::on(conn, schema);
    let payload = [payload?];
    let enqueued = match options.unique(task_type.options) {
        None => {
            let task_id = store.enqueue(&task_type, &options, &payload[0]).await;
            task_id.map(|task_id| (task_id, EnqueueOutcome::Created))
        }
        // Rare, and large.
        Some(unique) => {
            let taken = store.enqueue_unique(&task_type, &options, &unique, &payload);
            let taken = Box::pin(taken).await;
            taken.and_then(|taken| taken.first().copied().ok_or(sqlx::Error::RowNotFound))
        }
    };
    match enqueued {
        Ok((task_id, outcome)) => Ok((task_id, outcome, schema)),
        Err(error) => Err(refused_by_table(task_type.name, error, || {
            (None, json::stored_size(&payload[0]))
        })),
    }
}

/// A task that an enqueue inserted.
#[non_exhaustive]
pub struct Enqueued<P> {
    /// The id of the task, unique for ever and the same in every attempt.
    ///
    /// Of a task type that is [`unique`](crate::unique::Unique) it may be an older task, which `outcome` tells.
    pub task_id: i64,
    /// What the enqueue did.
    pub outcome: EnqueueOutcome,
    pub(crate) schema: Schema,
    payload: PhantomData<fn() -> P>,
}

impl<P> Enqueued<P> {
    fn new((task_id, outcome, schema): (i64, EnqueueOutcome, Schema)) -> Self {
        Self {
            task_id,
            outcome,
            schema,
            payload: PhantomData,
        }
    }
}

impl<P> fmt::Debug for Enqueued<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueued")
            .field("task_id", &self.task_id)
            .field("outcome", &self.outcome)
            .finish()
    }
}

impl<P> fmt::Debug for Enqueue<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueue").finish_non_exhaustive()
    }
}

/// Enqueues many tasks of one type in the caller's transaction, in one round trip for each ten
/// thousand or 8 MiB of JSON, and returns them in the order given.
///
/// ```no_run
/// # #[taskq::task] async fn send_email_welcome(usr_id: i64, locale: Option<String>) {}
/// # async fn f(tx: &mut sqlx::PgConnection, users: Vec<i64>) -> Result<(), taskq::EnqueueError> {
/// let tasks = users.into_iter().map(|usr_id| SendEmailWelcome { usr_id, locale: None });
/// taskq::enqueue_many(tx, tasks).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// As [`enqueue`]. A payload that is refused is found before anything is inserted, and the error has its
/// index.
///
/// # Cancel safety
///
/// Dropping the future while it runs leaves open which of the rows were inserted. They are in the caller's
/// transaction, so roll that back.
pub fn enqueue_many<P: Payload, I: IntoIterator<Item = P>>(
    conn: &mut PgConnection,
    payloads: I,
) -> impl Future<Output = Result<Vec<Enqueued<P>>, EnqueueError>> + Send {
    Schema::default().enqueue_many(conn, payloads)
}

/// Enqueues very many tasks of one type in the caller's transaction, by `COPY`, and returns how many.
///
/// About as fast as Postgres takes rows in, and in the memory of a few thousand of them, however many
/// there are. What it saves is the ids: to have them, use [`enqueue_many`]. Tasks of a type that is
/// [`unique`](crate::unique::Unique) are inserted as by `enqueue_many`, and it returns how many were created.
///
/// ```no_run
/// # #[taskq::task] async fn send_email_welcome(usr_id: i64, locale: Option<String>) {}
/// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
/// let tasks = (0..5_000_000).map(|usr_id| SendEmailWelcome { usr_id, locale: None });
/// let count = taskq::enqueue_copy(tx, tasks).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// As [`enqueue_many`]. A payload that is refused ends the copy, and nothing of it is inserted.
///
/// # Cancel safety
///
/// Dropping the future while it runs ends the copy in the middle: nothing of it is inserted, and the
/// connection can be used for nothing else.
pub async fn enqueue_copy<P: Payload, I>(
    conn: &mut PgConnection,
    payloads: I,
) -> Result<u64, EnqueueError>
where
    I: IntoIterator<Item = P, IntoIter: Send>,
{
    Schema::default().enqueue_copy(conn, payloads).await
}

impl Schema {
    /// Enqueues a task in this schema: see [`enqueue`].
    ///
    /// # Errors
    ///
    /// As [`enqueue`].
    ///
    /// # Cancel safety
    ///
    /// As [`enqueue`].
    pub fn enqueue<'c, P: Payload>(self, conn: &'c mut PgConnection, payload: P) -> Enqueue<'c, P> {
        enqueue(conn, payload).schema(self)
    }

    /// Enqueues many tasks of one type in this schema: see [`enqueue_many`].
    ///
    /// # Errors
    ///
    /// As [`enqueue_many`].
    ///
    /// # Cancel safety
    ///
    /// As [`enqueue_many`].
    pub fn enqueue_many<P: Payload, I: IntoIterator<Item = P>>(
        self,
        conn: &mut PgConnection,
        payloads: I,
    ) -> impl Future<Output = Result<Vec<Enqueued<P>>, EnqueueError>> + Send {
        // Encoded here and now, so that the iterator need not be `Send`.
        let payloads = payloads
            .into_iter()
            .enumerate()
            .map(|(index, payload)| encode(payload, Some(index)))
            .collect::<Result<Vec<_>, _>>();
        async move {
            let mut store = Store::on(conn, self);
            let task_type = TaskType::of::<P>();
            let mut enqueued = Vec::new();
            for chunk in chunks(&payloads?) {
                let inserted = match &task_type.options.unique {
                    None => {
                        let task_ids = store.enqueue_many(&task_type, chunk).await;
                        let created = |task_id| (task_id, EnqueueOutcome::Created);
                        task_ids.map(|ids| ids.into_iter().map(created).collect::<Vec<_>>())
                    }
                    Some(unique) => {
                        let options = EnqueueOptions::default();
                        let taken = store.enqueue_unique(&task_type, &options, unique, chunk);
                        Box::pin(taken).await
                    }
                };
                let inserted = inserted.map_err(|error| {
                    refused_by_table(task_type.name, error, || largest(enqueued.len(), chunk))
                })?;
                let inserted = inserted.into_iter();
                enqueued.extend(
                    inserted.map(|(task_id, outcome)| Enqueued::new((task_id, outcome, self))),
                );
            }
            Ok(enqueued)
        }
    }

    /// Enqueues very many tasks of one type in this schema, by `COPY`: see [`enqueue_copy`].
    ///
    /// # Errors
    ///
    /// As [`enqueue_copy`].
    ///
    /// # Cancel safety
    ///
    /// As [`enqueue_copy`].
    pub async fn enqueue_copy<P: Payload, I>(
        self,
        conn: &mut PgConnection,
        payloads: I,
    ) -> Result<u64, EnqueueError>
    where
        I: IntoIterator<Item = P, IntoIter: Send>,
    {
        let task_type = TaskType::of::<P>();
        let payloads = payloads.into_iter();
        if task_type.options.unique.is_some() {
            // `COPY` asks for no keys.
            let enqueued = self.enqueue_many(conn, payloads).await?;
            let created = |it: &&Enqueued<P>| it.outcome == EnqueueOutcome::Created;
            return Ok(u64::try_from(enqueued.iter().filter(created).count()).unwrap_or(u64::MAX));
        }
        let refused = |error| {
            let row = refused_row(&error);
            // Its payload is gone by now.
            refused_by_table(task_type.name, error, || (row, MAX_STORED_SIZE + 1))
        };
        let mut copy = Copy::begin(conn, self).await?;
        for (index, payload) in payloads.enumerate() {
            match encode(payload, Some(index)) {
                Ok(payload) => copy.send(&task_type, &payload).await.map_err(refused)?,
                Err(error) => {
                    copy.abort(&error.to_string()).await?;
                    return Err(error);
                }
            }
        }
        copy.finish().await.map_err(refused)
    }
}

/// Divides payloads into what is sent at once.
fn chunks(mut payloads: &[Box<RawValue>]) -> impl Iterator<Item = &[Box<RawValue>]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let lengths = payloads.iter().map(|payload| payload.get().len());
        let fitting = lengths.take(MAX_TASKS_AT_ONCE).take_while(|length| {
            bytes += length;
            bytes <= MAX_BYTES_AT_ONCE
        });
        let count = fitting.count().max(1).min(payloads.len());
        let (chunk, rest) = payloads.split_at(count);
        payloads = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Writes a payload, or says of which of many payloads what is wrong with it.
fn encode<P: Payload>(payload: P, index: Option<usize>) -> Result<Box<RawValue>, EnqueueError> {
    write(&payload).map_err(|error| refused(P::TASK_TYPE, index, error))
}

fn refused(task_type: &'static str, index: Option<usize>, error: Unwritable) -> EnqueueError {
    match error {
        Unwritable::Invalid(source) => EnqueueError::Invalid {
            task_type,
            index,
            source,
        },
        Unwritable::Encode(source) => EnqueueError::Encode {
            task_type,
            index,
            source,
        },
        Unwritable::TooLarge { size } => EnqueueError::TooLarge {
            task_type,
            index,
            size,
            limit: MAX_STORED_SIZE,
        },
    }
}

/// Says what Postgres refused. The table measures payloads too, and may have found one too large that is not: a
/// trigger may have changed it. Then `which` tells its index and its size.
fn refused_by_table(
    task_type: &'static str,
    error: sqlx::Error,
    which: impl FnOnce() -> (Option<usize>, usize),
) -> EnqueueError {
    if let Some(task_id) = holder_of_key(&error) {
        return EnqueueError::Duplicate { task_type, task_id };
    }
    if !is_too_large(&error) {
        return error.into();
    }
    let (index, size) = which();
    EnqueueError::TooLarge {
        task_type,
        index,
        size,
        limit: MAX_STORED_SIZE,
    }
}

/// Returns the index and the size of the largest of some payloads, before which others were inserted.
fn largest(before: usize, payloads: &[Box<RawValue>]) -> (Option<usize>, usize) {
    let sizes = payloads.iter().map(|payload| json::stored_size(payload));
    let largest = sizes.enumerate().max_by_key(|(_, size)| *size);
    let (index, size) = largest.unzip();
    (index.map(|index| before + index), size.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(length: usize) -> Box<RawValue> {
        let text = format!("\"{}\"", "x".repeat(length - 2));
        RawValue::from_string(text).expect("JSON")
    }

    fn lengths(payloads: &[Box<RawValue>]) -> Vec<usize> {
        chunks(payloads).map(<[_]>::len).collect()
    }

    fn size_of_future<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// Each enqueue moves it into a box.
    #[test]
    fn the_future_of_an_enqueue_is_small() {
        let size = size_of_future(insert);
        assert!(size < 4_096, "{size} bytes");
    }

    #[test]
    fn many_payloads_are_sent_in_messages_of_a_bounded_size() {
        assert!(lengths(&[]).is_empty());
        let small: Vec<_> = (0..25_000).map(|_| payload(2)).collect();
        assert_eq!(lengths(&small), [10_000, 10_000, 5_000]);
        let large: Vec<_> = (0..20).map(|_| payload(1024 * 1024)).collect();
        assert_eq!(lengths(&large), [8, 8, 4]);
        let huge: Vec<_> = (0..2).map(|_| payload(9 * 1024 * 1024)).collect();
        assert_eq!(lengths(&huge), [1, 1]);
    }
}
