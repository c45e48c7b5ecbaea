//! Enqueueing many tasks of several types, each with its own options, in one round trip.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::PgConnection;
#[cfg(feature = "otel")]
use tracing::Instrument as _;

use super::by_sql;
use super::enqueued::Enqueued;
use super::many::{MAX_BYTES_AT_ONCE, MAX_TASKS_AT_ONCE};
use super::new_task::{NewTask, UntypedTask};
use super::refusal::{refused_by_table, refused_key};
#[cfg(feature = "otel")]
use super::trace;
use crate::attempt::group::Group;
use crate::error::EnqueueError;
use crate::hooks::{self, Enqueuing};
use crate::json;
use crate::store::{MixedRow, Schema, Store, refused_index};
use crate::task::options::EnqueueOptions;
use crate::task::payload::{Payload, TaskType};
use crate::task::unique::EnqueueOutcome;

/// Many tasks of several types, each with its own options, that are enqueued together: in one round trip for each ten
/// thousand or 8 MiB of JSON, all or none.
///
/// ```no_run
/// use taskq::{Many, NewTask};
///
/// # #[taskq::task] async fn send_mail(usr_id: i64) {}
/// # #[taskq::task(result = "keep")] async fn resize(image_id: i64) -> Result<u64, String> { Ok(1) }
/// # async fn f(pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut many = Many::new();
/// many.push(SendMail { usr_id: 42 });
/// let resize = many.push(NewTask::of(Resize { image_id: 7 }).priority(3).awaited());
///
/// let mut tx = pool.begin().await?;
/// let enqueued = many.enqueue(&mut tx).await?;
/// tx.commit().await?;
/// let size = enqueued.handle(resize).wait(pool, std::time::Duration::from_secs(30)).await?;
/// # Ok(()) }
/// ```
///
/// For many tasks of one type, of which nothing else is to be said, [`enqueue_many`](fn@crate::enqueue_many) says and sends
/// less.
#[derive(Default)]
pub struct Many {
    /// By which a place knows whose it is.
    number: u64,
    tasks: Vec<UntypedTask>,
    group: Option<Group>,
    schema: Schema,
}

/// The place of a task among [`Many`], by which to ask for it when they are enqueued.
pub struct Place<P> {
    of: u64,
    index: usize,
    payload: PhantomData<fn() -> P>,
}

/// Tasks that [`Many::enqueue`] has enqueued.
#[derive(Debug)]
pub struct EnqueuedMany {
    number: u64,
    schema: Schema,
    /// Of each task its id, what was done, and whether its end is told.
    tasks: Vec<(i64, EnqueueOutcome, bool)>,
}

impl Many {
    /// Begins with none.
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            ..Self::default()
        }
    }

    /// Enqueues them into the tables of another schema than `taskq`.
    #[must_use]
    pub fn schema(mut self, other: Schema) -> Self {
        self.schema = other;
        self
    }

    /// Has each task be a member of this group that is pushed from now on, unless it says another:
    /// see [`Enqueue::group`](crate::Enqueue::group).
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.group = Some(group);
        self
    }

    /// Adds a task: a payload, or a [`NewTask`] that says more of it. What is wrong with it, [`enqueue`](Self::enqueue) says.
    pub fn push<P: Payload>(&mut self, task: impl Into<NewTask<P>>) -> Place<P> {
        let NewTask { mut task, .. } = task.into();
        if let Some(group) = self.group
            && task.options.group.is_none()
        {
            task.options.set_group(group);
        }
        self.tasks.push(task);
        Place {
            of: self.number,
            index: self.tasks.len() - 1,
            payload: PhantomData,
        }
    }

    /// Returns how many tasks were pushed.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Tells whether none was pushed.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Enqueues all of them in the caller's transaction. With a connection outside of a transaction use one: it may take
    /// several statements.
    ///
    /// Tasks without a key are inserted first, in the order in which they were pushed, and then those with one
    /// ([`Unique`](crate::unique::Unique)), in the order of their keys, so that two of these calls do not wait for each other
    /// in a circle.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](fn@crate::enqueue), with the index and the type of the task that is refused, where it is known:
    /// [`OfMany`](EnqueueError::OfMany), or the index that the error itself has. What is wrong with a payload or an option
    /// is found before anything is inserted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while it runs leaves open which of the rows were inserted. They are in the caller's transaction,
    /// so roll that back.
    pub async fn enqueue(self, conn: &mut PgConnection) -> Result<EnqueuedMany, EnqueueError> {
        let Self {
            number,
            tasks,
            schema,
            ..
        } = self;
        let is_told: Vec<bool> = tasks.iter().map(|task| task.is_told).collect();
        let rows = tasks.into_iter().enumerate();
        let mut rows = rows.map(row).collect::<Result<Vec<_>, _>>()?;
        let inserted = insert(conn, schema, &mut rows).await?;
        let tasks = inserted.into_iter().zip(is_told);
        Ok(EnqueuedMany {
            number,
            schema,
            tasks: tasks
                .map(|((task_id, outcome), is_told)| (task_id, outcome, is_told))
                .collect(),
        })
    }
}

impl EnqueuedMany {
    /// Returns what became of one task.
    ///
    /// # Panics
    ///
    /// The place is one of other [`Many`].
    pub fn get<P>(&self, place: Place<P>) -> Enqueued<P> {
        assert!(
            place.of == self.number,
            "this is a place among other tasks: ask those that it was pushed to"
        );
        let (task_id, outcome, is_told) = self.tasks[place.index];
        Enqueued::new((task_id, outcome, self.schema), is_told)
    }

    /// Returns of each task, in the order in which they were pushed, its id and what was done.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = (i64, EnqueueOutcome)> + '_ {
        self.tasks
            .iter()
            .map(|(task_id, outcome, _)| (*task_id, *outcome))
    }
}

/// Enqueues one task that is a member of a group.
pub(super) async fn insert_member(
    conn: &mut PgConnection,
    schema: Schema,
    task_type: TaskType,
    options: EnqueueOptions,
    payload: Box<RawValue>,
) -> Result<(i64, EnqueueOutcome, Schema), EnqueueError> {
    let busy_after = options.busy_after();
    let row = [mixed_row(task_type, options, payload)];
    let inserted = Store::on(conn, schema).enqueue_each(&row).await;
    let inserted = inserted.map_err(|error| {
        refused_key(task_type.name, busy_after, &error).unwrap_or_else(|| {
            refused_by_table(task_type.name, error, || {
                (None, json::stored_size(&row[0].payload))
            })
        })
    })?;
    let (task_id, outcome) = *inserted.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok((task_id, outcome, schema))
}

/// Checks what was said of a task, and writes it as a row.
fn row((index, task): (usize, UntypedTask)) -> Result<MixedRow, EnqueueError> {
    let UntypedTask {
        task_type,
        mut options,
        payload,
        ..
    } = task;
    options.write_expiry(task_type.options);
    options.write_secret(task_type.options);
    if let Err(error) = options.check(task_type.options) {
        return Err(of_many(index, task_type, error));
    }
    match payload {
        Ok(payload) => Ok(mixed_row(task_type, options, payload)),
        Err(error) => Err(at(index, task_type, error)),
    }
}

fn mixed_row(task_type: TaskType, options: EnqueueOptions, payload: Box<RawValue>) -> MixedRow {
    let is_keyed = options.unique(task_type.options).is_some();
    let keyed = is_keyed.then(|| Value::Object(by_sql::options(&task_type, &options)));
    MixedRow {
        task_type,
        options,
        payload,
        keyed,
    }
}

async fn insert(
    conn: &mut PgConnection,
    schema: Schema,
    rows: &mut [MixedRow],
) -> Result<Vec<(i64, EnqueueOutcome)>, EnqueueError> {
    for (index, row) in rows.iter_mut().enumerate() {
        let asked = ask_hooks(conn, row).await;
        asked.map_err(|error| of_many(index, row.task_type, error))?;
    }
    #[cfg(feature = "otel")]
    if let Some(span) = trace::begin_mixed(rows) {
        for row in rows.iter_mut().filter(|row| row.keyed.is_some()) {
            row.keyed = Some(Value::Object(by_sql::options(&row.task_type, &row.options)));
        }
        let inserted = Box::pin(insert_chunks(conn, schema, rows).instrument(span.clone())).await;
        trace::end_many(&span, inserted.as_ref().map(|them| them.len() as u64));
        return inserted;
    }
    insert_chunks(conn, schema, rows).await
}

async fn ask_hooks(conn: &mut PgConnection, row: &mut MixedRow) -> Result<(), EnqueueError> {
    let hooks = hooks::wanting(row.task_type.name)?;
    if hooks.is_empty() {
        return Ok(());
    }
    let task = Enqueuing {
        task_type: &row.task_type,
        options: &mut row.options,
        payloads: std::slice::from_ref(&row.payload),
    };
    // Rare, and large.
    Box::pin(hooks::ask(&hooks, task, conn)).await?;
    if row.keyed.is_some() {
        row.keyed = Some(Value::Object(by_sql::options(&row.task_type, &row.options)));
    }
    Ok(())
}

async fn insert_chunks(
    conn: &mut PgConnection,
    schema: Schema,
    mut rows: &[MixedRow],
) -> Result<Vec<(i64, EnqueueOutcome)>, EnqueueError> {
    let mut store = Store::on(conn, schema);
    let mut enqueued = Vec::with_capacity(rows.len());
    while !rows.is_empty() {
        let (chunk, rest) = rows.split_at(fitting(rows));
        rows = rest;
        let inserted = store.enqueue_each(chunk).await;
        enqueued.extend(inserted.map_err(|error| refusal(enqueued.len(), chunk, error))?);
    }
    Ok(enqueued)
}

/// Returns how many rows are sent at once.
fn fitting(rows: &[MixedRow]) -> usize {
    let mut bytes = 0;
    let lengths = rows.iter().map(|row| row.payload.get().len());
    let fitting = lengths.take(MAX_TASKS_AT_ONCE).take_while(|length| {
        bytes += length;
        bytes <= MAX_BYTES_AT_ONCE
    });
    fitting.count().max(1)
}

/// Says which of some rows Postgres refused, before which others were inserted.
fn refusal(before: usize, rows: &[MixedRow], error: sqlx::Error) -> EnqueueError {
    if let Some(place) = refused_index(&error)
        && let Some(row) = rows.get(place)
    {
        let name = row.task_type.name;
        let refused = refused_key(name, row.options.busy_after(), &error)
            .unwrap_or_else(|| refused_by_table(name, error, || (None, 0)));
        return of_many(before + place, row.task_type, refused);
    }
    let sizes = rows.iter().map(|row| json::stored_size(&row.payload));
    let largest = sizes.enumerate().max_by_key(|(_, size)| *size);
    let (index, size) = largest.unwrap_or_default();
    let name = rows.get(index).map_or("", |row| row.task_type.name);
    refused_by_table(name, error, || (Some(before + index), size))
}

fn of_many(index: usize, task_type: TaskType, source: EnqueueError) -> EnqueueError {
    EnqueueError::OfMany {
        index,
        task_type: task_type.name,
        source: Box::new(source),
    }
}

/// Says of a refused payload which it is.
fn at(place: usize, task_type: TaskType, mut error: EnqueueError) -> EnqueueError {
    match &mut error {
        EnqueueError::Encode { index, .. }
        | EnqueueError::Invalid { index, .. }
        | EnqueueError::TooLarge { index, .. } => {
            *index = Some(place);
            error
        }
        _ => of_many(place, task_type, error),
    }
}

impl fmt::Debug for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Many")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<P> Clone for Place<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Place<P> {}

impl<P> fmt::Debug for Place<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.index).finish()
    }
}
