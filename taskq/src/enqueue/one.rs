//! Enqueueing one task, with all that may be said of it.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use sqlx::PgConnection;
#[cfg(feature = "otel")]
use tracing::Instrument as _;

use super::enqueued::Enqueued;
use super::mixed;
use super::refusal::{encode, refused_by_table, refused_key};
use super::said::said_of_a_task;
#[cfg(feature = "otel")]
use super::trace;
use crate::error::EnqueueError;
use crate::hooks::{self, Enqueuing};
use crate::json;
use crate::store::{Schema, Store};
use crate::task::options::EnqueueOptions;
use crate::task::payload::{Payload, TaskType};
use crate::task::unique::EnqueueOutcome;

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
/// the key, where the enqueue was to fail for that, or another transaction; or what Postgres said. After an error of Postgres the caller's transaction is aborted, as after any statement that fails.
///
/// # Cancel safety
///
/// Dropping the future while it runs leaves open whether the row was inserted. The row is in the caller's
/// transaction, so roll that back.
pub fn enqueue<'c, P: Payload>(conn: &'c mut PgConnection, payload: P) -> Enqueue<'c, P> {
    Enqueue {
        state: State::building(conn, const { TaskType::of::<P>() }, encode(payload, None)),
        is_told: false,
        payload: PhantomData,
    }
}

/// An enqueue that has not happened yet; awaiting it inserts the row. Made by [`enqueue`].
#[must_use = "nothing is enqueued until this is awaited"]
pub struct Enqueue<'c, P> {
    state: State<'c>,
    /// Whether the task's end is to be told to those who wait for it.
    is_told: bool,
    payload: PhantomData<fn() -> P>,
}

enum State<'c> {
    Building {
        conn: &'c mut PgConnection,
        task_type: TaskType,
        options: EnqueueOptions,
        // Boxed, for each enqueue is moved.
        payload: Result<Box<RawValue>, Box<EnqueueError>>,
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
            payload: payload.map_err(Box::new),
            schema: Schema::default(),
        }
    }
}

impl<P: Payload> Enqueue<'_, P> {
    said_of_a_task!();

    /// Asks for the end of the task to be told, by metadata of this name.
    pub(crate) fn told_by(mut self, name: &str) -> Self {
        self.is_told = true;
        self.metadata(name, true)
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
}

impl<P> fmt::Debug for Enqueue<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueue").finish_non_exhaustive()
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
                    let payload = payload.map_err(|error| *error);
                    let inserted = insert(conn, task_type, options, payload, schema);
                    self.state = State::Inserting(inserted.boxed());
                }
                State::Inserting(mut future) => match future.poll_unpin(context) {
                    Poll::Ready(inserted) => {
                        let is_told = self.is_told;
                        return Poll::Ready(inserted.map(|it| Enqueued::new(it, is_told)));
                    }
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
    options.write_secret(task_type.options);
    options.check(task_type.options)?;
    let payload = payload?;
    let hooks = hooks::wanting(task_type.name)?;
    if !hooks.is_empty() {
        let tasks = Enqueuing {
            task_type: &task_type,
            options: &mut options,
            payloads: std::slice::from_ref(&payload),
        };
        // Rare, and large.
        Box::pin(hooks::ask(&hooks, tasks, conn)).await?;
    }
    #[cfg(feature = "otel")]
    if let Some(span) = trace::begin(&task_type, &mut options, true) {
        let inserted = insert_checked(conn, task_type, options, payload, schema);
        // Rare, and large.
        let inserted = Box::pin(inserted.instrument(span.clone())).await;
        trace::end_one(&span, inserted.as_ref().map(|(task_id, ..)| *task_id));
        return inserted;
    }
    insert_checked(conn, task_type, options, payload, schema).await
}

async fn insert_checked(
    conn: &mut PgConnection,
    task_type: TaskType,
    options: EnqueueOptions,
    payload: Box<RawValue>,
    schema: Schema,
) -> Result<(i64, EnqueueOutcome, Schema), EnqueueError> {
    if options.group.is_some() {
        // Rare, and large.
        return Box::pin(mixed::insert_member(
            conn, schema, task_type, options, payload,
        ))
        .await;
    }
    let mut store = Store::on(conn, schema);
    let payload = [payload];
    let enqueued = match options.unique(task_type.options) {
        None => {
            let task_id = store.enqueue(&task_type, &options, &payload[0]).await;
            task_id.map(|task_id| (task_id, EnqueueOutcome::Created))
        }
        // Rare, and large.
        Some(unique) => {
            let taken = store.enqueue_unique(&task_type, &options, &unique, &payload);
            let taken = Box::pin(taken).await;
            if let Err(error) = &taken
                && let Some(refused) = refused_key(task_type.name, options.busy_after(), error)
            {
                return Err(refused);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// Each enqueue moves it into a box.
    #[test]
    fn the_future_of_an_enqueue_is_small() {
        let size = size_of_future(insert);
        assert!(size < 4_096, "{size} bytes");
    }
}
