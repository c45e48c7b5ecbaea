//! Inserting tasks: one, many of one type, very many by `COPY`.

use std::fmt::Write;

use serde_json::value::RawValue;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgCopyIn;
use sqlx::types::Json;
use sqlx::{Error, PgConnection, query_as, query_scalar, query_scalar_with};

use super::{Schema, Store, arguments, saturating_i16};
use crate::error::unveiled;
use crate::task::options::EnqueueOptions;
use crate::task::payload::TaskType;
use crate::task::start::Start;
use crate::task::unique::{EnqueueOutcome, Unique};

/// How many bytes are gathered before they are sent.
const BUFFER: usize = 64 * 1024;

/// Rows on their way into the table. Dropped, it inserts nothing.
pub(crate) struct Copy<'c> {
    copy: PgCopyIn<&'c mut PgConnection>,
    buffer: String,
    /// The metadata of each row, as it is sent.
    metadata: Option<String>,
}

impl Store<'_> {
    /// Inserts one task.
    pub(crate) async fn enqueue(
        &mut self,
        task_type: &TaskType,
        options: &EnqueueOptions,
        payload: &RawValue,
    ) -> Result<i64, Error> {
        let declared = task_type.options;
        let (run_at, delay) = options.start.run_at_and_delay();
        let max_attempts = options.max_attempts.unwrap_or(declared.max_attempts);
        let query = query_scalar_with(self.schema.sql.enqueue, arguments(9))
            .bind(task_type.name)
            .bind(Json(payload))
            .bind(options.queue.as_deref().unwrap_or(declared.queue))
            .bind(options.priority.unwrap_or(declared.priority))
            .bind(i32::from(max_attempts))
            .bind(run_at)
            .bind(delay)
            .bind(saturating_i16(declared.version))
            .bind(options.metadata.stored().map(Json));
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Inserts tasks of one type and returns their ids in the order given.
    pub(crate) async fn enqueue_many(
        &mut self,
        task_type: &TaskType,
        options: &EnqueueOptions,
        payloads: &[Box<RawValue>],
    ) -> Result<Vec<i64>, Error> {
        let declared = task_type.options;
        let metadata = options.metadata.stored();
        let (run_at, delay) = Start::Now.run_at_and_delay();
        let payloads: Vec<Json<&RawValue>> =
            payloads.iter().map(|payload| Json(&**payload)).collect();
        let sql = match metadata {
            None => self.schema.sql.enqueue_many,
            Some(_) => self.schema.sql.enqueue_many_with,
        };
        let mut query = query_scalar(sql)
            .bind(task_type.name)
            .bind(payloads)
            .bind(declared.queue)
            .bind(declared.priority)
            .bind(i32::from(declared.max_attempts))
            .bind(run_at)
            .bind(delay)
            .bind(saturating_i16(declared.version));
        if let Some(metadata) = metadata {
            query = query.bind(Json(metadata));
        }
        self.call(async |db| query.fetch_one(db).await).await
    }
}

impl Store<'_> {
    /// Inserts tasks of one type that have keys. Returns the id of the task that has the key of each, in the order given,
    /// and what was done.
    pub(crate) async fn enqueue_unique(
        &mut self,
        task_type: &TaskType,
        options: &EnqueueOptions,
        unique: &Unique,
        payloads: &[Box<RawValue>],
    ) -> Result<Vec<(i64, EnqueueOutcome)>, Error> {
        let declared = task_type.options;
        let (run_at, delay) = options.start.run_at_and_delay();
        let max_attempts = options.max_attempts.unwrap_or(declared.max_attempts);
        let (until, within) = unique.until.word_and_seconds();
        let (on_conflict, at_latest) = unique.on_conflict.word_and_seconds();
        let payloads: Vec<Json<&RawValue>> =
            payloads.iter().map(|payload| Json(&**payload)).collect();
        let query = query_as(self.schema.sql.enqueue_unique)
            .bind(task_type.name)
            .bind(payloads)
            .bind(options.queue.as_deref().unwrap_or(declared.queue))
            .bind(options.priority.unwrap_or(declared.priority))
            .bind(i32::from(max_attempts))
            .bind(run_at)
            .bind(delay)
            .bind(saturating_i16(declared.version))
            .bind(options.metadata.stored().map(Json))
            .bind(options.unique_key())
            .bind(unique.fields)
            .bind(until)
            .bind(within)
            .bind(on_conflict)
            .bind(at_latest)
            .bind(options.busy_after().map(|wait| wait.as_secs_f64()));
        let taken: (Vec<i64>, Vec<String>) =
            self.call(async |db| query.fetch_one(db).await).await?;
        let outcomes = taken.1.iter().map(|word| EnqueueOutcome::of(word));
        Ok(taken.0.into_iter().zip(outcomes).collect())
    }
}

impl<'c> Copy<'c> {
    pub(crate) async fn begin(
        db: &'c mut PgConnection,
        schema: Schema,
        options: &EnqueueOptions,
    ) -> Result<Self, Error> {
        let metadata = options.metadata.stored().map(|stored| {
            let mut text = String::new();
            escape(&mut text, stored.get());
            text
        });
        let sql = match metadata {
            None => schema.sql.enqueue_copy,
            Some(_) => schema.sql.enqueue_copy_with,
        };
        Ok(Self {
            copy: db.copy_in_raw(sql).await?,
            buffer: String::with_capacity(BUFFER * 2),
            metadata,
        })
    }

    /// Adds a row, in the order of the columns in `enqueue_copy.sql`.
    pub(crate) async fn send(
        &mut self,
        task_type: &TaskType,
        payload: &RawValue,
    ) -> Result<(), Error> {
        let options = &task_type.options;
        escape(&mut self.buffer, task_type.name);
        self.buffer.push('\t');
        escape(&mut self.buffer, payload.get());
        self.buffer.push('\t');
        escape(&mut self.buffer, options.queue);
        // A `String` takes whatever is written to it.
        let _ = write!(
            self.buffer,
            "\t{}\t{}\t{}",
            options.version, options.priority, options.max_attempts
        );
        if let Some(metadata) = &self.metadata {
            self.buffer.push('\t');
            self.buffer.push_str(metadata);
        }
        self.buffer.push('\n');
        if self.buffer.len() >= BUFFER {
            self.copy.send(self.buffer.as_bytes()).await?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Inserts all rows, and returns how many they are.
    pub(crate) async fn finish(mut self) -> Result<u64, Error> {
        self.copy.send(self.buffer.as_bytes()).await?;
        self.copy.finish().await
    }

    /// Inserts nothing. The caller's transaction is aborted, as after any error.
    pub(crate) async fn abort(self, why: &str) -> Result<(), Error> {
        self.copy.abort(why).await
    }
}

/// Tells whether the table refused a payload because of its size.
pub(crate) fn is_too_large(error: &Error) -> bool {
    let constraint = error
        .as_database_error()
        .and_then(DatabaseError::constraint);
    constraint == Some("task_payload_size")
}

/// Returns the task that has the key, where an enqueue was to fail for that.
pub(crate) fn holder_of_key(error: &Error) -> Option<i64> {
    let error = unveiled(error.as_database_error()?)?;
    if error.constraint() != Some("unique_key") {
        return None;
    }
    let (_, task_id) = error.detail()?.rsplit_once("task_id: ")?;
    task_id.parse().ok()
}

/// Returns why nothing can be added to a group, where that is so.
pub(crate) fn refusal_of_group(error: &Error) -> Option<String> {
    let error = unveiled(error.as_database_error()?)?;
    let is_of_group = error.constraint() == Some("task_group");
    is_of_group.then(|| error.message().to_owned())
}

/// Returns which of several tasks a refusal is about, if the function that enqueues them says so.
pub(crate) fn refused_index(error: &Error) -> Option<usize> {
    let error = unveiled(error.as_database_error()?)?;
    error.hint()?.strip_prefix("at index ")?.parse().ok()
}

/// Tells whether an enqueue has not waited longer for a transaction that has its key.
pub(crate) fn is_busy(error: &Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    has_code(error, LOCK_NOT_AVAILABLE)
}

/// Tells whether another transaction has committed something that this one cannot see, because of its isolation level.
pub(crate) fn is_unserializable(error: &Error) -> bool {
    const SERIALIZATION_FAILURE: &str = "40001";
    has_code(error, SERIALIZATION_FAILURE)
}

fn has_code(error: &Error, expected: &str) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.as_deref() == Some(expected)
}

/// Returns the row of a `COPY` that was refused, counted from zero, where Postgres says it in English.
pub(crate) fn refused_row(error: &Error) -> Option<usize> {
    let error = unveiled(error.as_database_error()?)?;
    let (_, line) = error.r#where()?.split_once(", line ")?;
    let end = line.find(|it: char| !it.is_ascii_digit());
    let line: usize = line[..end.unwrap_or(line.len())].parse().ok()?;
    line.checked_sub(1)
}

/// Writes a value in the text format of `COPY`.
fn escape(buffer: &mut String, value: &str) {
    for part in value.split_inclusive(['\\', '\t', '\n', '\r']) {
        let (plain, special) = match part.char_indices().next_back() {
            Some((at, special @ ('\\' | '\t' | '\n' | '\r'))) => (&part[..at], Some(special)),
            _ => (part, None),
        };
        buffer.push_str(plain);
        if let Some(special) = special {
            buffer.push('\\');
            buffer.push(match special {
                '\t' => 't',
                '\n' => 'n',
                '\r' => 'r',
                other => other,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_value_is_escaped() {
        let mut buffer = String::new();
        escape(&mut buffer, "a\\b\tc\nd\re\\\\");
        assert_eq!(buffer, r"a\\b\tc\nd\re\\\\");
    }
}
