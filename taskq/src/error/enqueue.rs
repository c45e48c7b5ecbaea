//! What can go wrong when a task is enqueued.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::text::Said;
use super::{BoxError, EncodeError, InvalidPayload, error_text, missing_table, veiled};

/// A task could not be enqueued. The caller's transaction decides what becomes of the rest.
///
/// The text says all of it, and so there is no further [`source`](Error::source).
#[derive(Debug)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The payload has no JSON from which a worker would read the same payload.
    Encode {
        /// The task type.
        task_type: &'static str,
        /// Which of many payloads it is, counted from zero.
        index: Option<usize>,
        /// Where in the payload, and why.
        source: EncodeError,
    },
    /// The payload has values that its task type refuses.
    Invalid {
        /// The task type.
        task_type: &'static str,
        /// Which of many payloads it is, counted from zero.
        index: Option<usize>,
        /// Which values, and why.
        source: InvalidPayload,
    },
    /// The payload is too large.
    TooLarge {
        /// The task type.
        task_type: &'static str,
        /// Which of many payloads it is, counted from zero.
        index: Option<usize>,
        /// How many bytes Postgres would need for it as `jsonb`, before it compresses them; one more than the limit
        /// where the table refused it in the middle of a copy.
        size: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The task type has encrypted fields, and this process has no keys: see
    /// [`encryption::install`](crate::encryption::install).
    #[cfg(feature = "encryption")]
    NoKeys {
        /// The task type.
        task_type: &'static str,
    },
    /// An option of the enqueue is out of its range.
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// Another task has the key, and the enqueue was to fail for that:
    /// [`OnConflict::Error`](crate::unique::OnConflict::Error). The caller's transaction is aborted.
    Duplicate {
        /// The task type.
        task_type: &'static str,
        /// The task that has the key.
        task_id: i64,
    },
    /// Another transaction has the key and is still open, after a wait as long as
    /// [`busy_after`](crate::Enqueue::busy_after) said. The caller's transaction is aborted.
    Busy {
        /// The task type.
        task_type: &'static str,
        /// How long the enqueue has waited.
        waited: Duration,
    },
    /// Another transaction has taken the key, or changed its task, since the caller's began, which cannot see that: it is
    /// `repeatable read` or `serializable`. It is aborted; run it again from its beginning.
    Conflict {
        /// The task type.
        task_type: &'static str,
    },
    /// One of [many](crate::Many) tasks could not be enqueued, and so none of them was.
    OfMany {
        /// Which of them it is, counted from zero.
        index: usize,
        /// Its task type.
        task_type: &'static str,
        /// Why.
        source: Box<EnqueueError>,
    },
    /// Nothing can be added to the group: it has ended, or is not there. The caller's transaction is aborted.
    Group {
        /// What Postgres said, with the id of the group.
        problem: String,
    },
    /// A [hook](crate::Hook::enqueue_in_tx) has refused, and nothing was inserted. What hooks have written until then is in
    /// the caller's transaction.
    Vetoed {
        /// The task type.
        task_type: &'static str,
        /// The name of the hook.
        hook: String,
        /// Why.
        source: BoxError,
    },
    /// Postgres refused the insert, or could not be reached. What it said of the row, which has the payload, is left out.
    Database(sqlx::Error),
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode {
                task_type,
                index,
                source,
            } => write!(
                f,
                "{} would not come back from Postgres as it is: {source}",
                Subject(task_type, *index)
            ),
            Self::Invalid {
                task_type,
                index,
                source,
            } => write!(
                f,
                "{} has values that its task type refuses: {source}",
                Subject(task_type, *index)
            ),
            Self::TooLarge {
                task_type,
                index,
                size,
                limit,
            } if size <= limit => write!(
                f,
                "{} is about {} bytes long, and the table does not take it though it may have {}: the check `task_payload_size` was changed, or a trigger makes it larger",
                Subject(task_type, *index),
                Count(*size),
                Count(*limit)
            ),
            Self::TooLarge {
                task_type,
                index,
                size,
                limit,
            } => write!(
                f,
                "{} is about {} bytes long as Postgres stores it, and may have {}: keep it in a table of your own, and enqueue its key",
                Subject(task_type, *index),
                Count(*size),
                Count(*limit)
            ),
            Self::Duplicate { task_type, task_id } => write!(
                f,
                "task {task_id} of the type `{task_type}` has the key already"
            ),
            Self::Busy { task_type, waited } => write!(
                f,
                "another transaction has the key of the task of the type `{task_type}`, and is still open after {waited:?}: try again"
            ),
            Self::Conflict { task_type } => write!(
                f,
                "another transaction has taken the key of the task of the type `{task_type}` since this one began: run this one again, or begin it as `read committed`"
            ),
            #[cfg(feature = "encryption")]
            Self::NoKeys { task_type } => write!(
                f,
                "`{task_type}` has encrypted fields, and this process has no keys: call `taskq::encryption::install` when it starts"
            ),
            Self::OfMany {
                index,
                task_type,
                source,
            } => write!(
                f,
                "the task `{task_type}` at index {index} of those given: {source}"
            ),
            Self::Group { problem } => f.write_str(problem),
            Self::Vetoed {
                task_type,
                hook,
                source,
            } => write!(
                f,
                "the hook `{hook}` refuses the task of the type `{task_type}`: {}",
                error_text(&**source)
            ),
            Self::Option { option, problem } => write!(f, "`{option}` {problem}"),
            Self::Database(error) if missing_table(error) => {
                f.write_str("this database has no task tables: run `taskq::migrate(&pool)` first")
            }
            Self::Database(error) => write!(f, "cannot insert the task: {}", Said(error)),
        }
    }
}

/// Names a payload.
struct Subject<'a>(&'a str, Option<usize>);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(task_type, index) = self;
        write!(f, "the payload of `{task_type}`")?;
        match index {
            Some(index) => write!(f, " at index {index} of those given"),
            None => Ok(()),
        }
    }
}

/// A number that people read: 1,048,576.
pub(crate) struct Count(pub(crate) usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl Error for EnqueueError {}

impl From<sqlx::Error> for EnqueueError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(veiled(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_written_for_people() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_048_576, "1,048,576"),
        ] {
            assert_eq!(Count(count).to_string(), text);
        }
    }
}
