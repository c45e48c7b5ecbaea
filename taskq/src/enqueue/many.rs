//! Enqueueing many tasks of one type: in messages of a bounded size, or by `COPY`.

use serde_json::value::RawValue;
use sqlx::PgConnection;
#[cfg(feature = "otel")]
use tracing::Instrument as _;

use super::enqueued::Enqueued;
use super::refusal::{encode, refused_by_table, refused_key};
#[cfg(feature = "otel")]
use super::trace;
use crate::error::EnqueueError;
use crate::hooks::{self, Enqueuing};
use crate::json::{self, MAX_STORED_SIZE};
use crate::store::{Copy, Schema, Store, refused_row};
use crate::task::options::EnqueueOptions;
use crate::task::payload::{Payload, TaskType};
use crate::task::unique::EnqueueOutcome;

/// The most tasks that one statement inserts. More are inserted by further statements.
pub(super) const MAX_TASKS_AT_ONCE: usize = 10_000;

/// How many bytes of JSON one statement inserts, unless a single payload is longer. A message to Postgres may
/// have a gigabyte, and both sides hold all of it.
pub(super) const MAX_BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Enqueues many tasks of one type in the caller's transaction, in one round trip for each ten
/// thousand or 8 MiB of JSON, and returns them in the order given. [`Many`](crate::Many) takes several types, and lets each
/// task say more of itself.
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
/// As [`enqueue`](fn@crate::enqueue). A payload that is refused is found before anything is inserted, and the error has its
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
            let task_type = TaskType::of::<P>();
            let inserted = insert_many(conn, self, task_type, &payloads?).await?;
            let enqueued = inserted
                .into_iter()
                .map(|(task_id, outcome)| Enqueued::new((task_id, outcome, self), false));
            Ok(enqueued.collect())
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
        if task_type.options.unique.is_some() || !hooks::wanting(task_type.name)?.is_empty() {
            // `COPY` asks for no keys, and while it runs nothing can be asked for a hook.
            let enqueued = self.enqueue_many(conn, payloads).await?;
            let created = |it: &&Enqueued<P>| it.outcome == EnqueueOutcome::Created;
            return Ok(u64::try_from(enqueued.iter().filter(created).count()).unwrap_or(u64::MAX));
        }
        let payloads = payloads.enumerate();
        let payloads = payloads.map(|(index, payload)| encode(payload, Some(index)));
        copy(conn, self, task_type, payloads).await
    }
}

/// Inserts payloads in the order given.
async fn insert_many(
    conn: &mut PgConnection,
    schema: Schema,
    task_type: TaskType,
    payloads: &[Box<RawValue>],
) -> Result<Vec<(i64, EnqueueOutcome)>, EnqueueError> {
    let mut options = EnqueueOptions::of_many(task_type.options);
    if !task_type.options.secret.is_empty() {
        options.check(task_type.options)?;
    }
    let hooks = hooks::wanting(task_type.name)?;
    if !hooks.is_empty() {
        let tasks = Enqueuing {
            task_type: &task_type,
            options: &mut options,
            payloads,
        };
        // Rare, and large.
        Box::pin(hooks::ask(&hooks, tasks, conn)).await?;
    }
    #[cfg(feature = "otel")]
    if !payloads.is_empty()
        && let Some(span) = trace::begin(&task_type, &mut options, false)
    {
        let inserted = insert_chunks(conn, schema, task_type, &options, payloads);
        let inserted = Box::pin(inserted.instrument(span.clone())).await;
        trace::end_many(&span, inserted.as_ref().map(|them| them.len() as u64));
        return inserted;
    }
    insert_chunks(conn, schema, task_type, &options, payloads).await
}

async fn insert_chunks(
    conn: &mut PgConnection,
    schema: Schema,
    task_type: TaskType,
    options: &EnqueueOptions,
    payloads: &[Box<RawValue>],
) -> Result<Vec<(i64, EnqueueOutcome)>, EnqueueError> {
    let mut store = Store::on(conn, schema);
    let mut enqueued = Vec::new();
    for chunk in chunks(payloads) {
        let inserted = match &task_type.options.unique {
            None => {
                let task_ids = store.enqueue_many(&task_type, options, chunk).await;
                let created = |task_id| (task_id, EnqueueOutcome::Created);
                task_ids.map(|ids| ids.into_iter().map(created).collect::<Vec<_>>())
            }
            Some(unique) => {
                let taken = store.enqueue_unique(&task_type, options, unique, chunk);
                let taken = Box::pin(taken).await;
                if let Err(error) = &taken
                    && let Some(refused) = refused_key(task_type.name, None, error)
                {
                    return Err(refused);
                }
                taken
            }
        };
        let inserted = inserted.map_err(|error| {
            refused_by_table(task_type.name, error, || largest(enqueued.len(), chunk))
        })?;
        enqueued.extend(inserted);
    }
    Ok(enqueued)
}

/// Copies payloads into the table, and returns how many.
async fn copy(
    conn: &mut PgConnection,
    schema: Schema,
    task_type: TaskType,
    payloads: impl Iterator<Item = Result<Box<RawValue>, EnqueueError>> + Send,
) -> Result<u64, EnqueueError> {
    let options = EnqueueOptions::of_many(task_type.options);
    #[cfg(feature = "otel")]
    let mut options = options;
    #[cfg(feature = "otel")]
    if let Some(span) = trace::begin(&task_type, &mut options, false) {
        let copied = copy_in(conn, schema, task_type, &options, payloads);
        let copied = Box::pin(copied.instrument(span.clone())).await;
        trace::end_many(&span, copied.as_ref().copied());
        return copied;
    }
    copy_in(conn, schema, task_type, &options, payloads).await
}

async fn copy_in(
    conn: &mut PgConnection,
    schema: Schema,
    task_type: TaskType,
    options: &EnqueueOptions,
    payloads: impl Iterator<Item = Result<Box<RawValue>, EnqueueError>> + Send,
) -> Result<u64, EnqueueError> {
    let refused = |error| {
        let row = refused_row(&error);
        // Its payload is gone by now.
        refused_by_table(task_type.name, error, || (row, MAX_STORED_SIZE + 1))
    };
    let mut copy = Copy::begin(conn, schema, options).await?;
    for payload in payloads {
        match payload {
            Ok(payload) => copy.send(&task_type, &payload).await.map_err(refused)?,
            Err(error) => {
                copy.abort(&error.to_string()).await?;
                return Err(error);
            }
        }
    }
    copy.finish().await.map_err(refused)
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
