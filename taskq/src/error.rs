//! What can go wrong at each boundary, and what to do about it.

use std::error::Error;
use std::fmt;

/// Any error, as a handler returns it.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// A payload in a row does not fit its task type.
#[derive(Debug)]
pub struct DecodeError {
    path: String,
    source: serde_json::Error,
}

impl DecodeError {
    pub(crate) fn new(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        Self {
            path: error.path().to_string(),
            source: error.into_inner(),
        }
    }

    /// Returns where in the payload the mistake is, such as `user.email`; `.` is the whole.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "payload does not decode at `{}`", self.path)
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// A task could not be enqueued. The caller's transaction decides what becomes of the rest.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The payload cannot be written as JSON, such as a map whose keys are no strings.
    Encode {
        /// The task type.
        task_type: &'static str,
        /// What serde_json says.
        source: serde_json::Error,
    },
    /// An option of the enqueue is out of its range.
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// Postgres refused the insert, or could not be reached.
    Database(sqlx::Error),
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode { task_type, .. } => {
                write!(f, "the payload of `{task_type}` cannot be written as JSON")
            }
            Self::Option { option, problem } => write!(f, "`{option}` {problem}"),
            Self::Database(error) => match missing_table(error) {
                true => f.write_str(
                    "there is no task table in this database: run `taskq::migrate(&pool)` first",
                ),
                false => f.write_str("the task could not be inserted"),
            },
        }
    }
}

impl Error for EnqueueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode { source, .. } => Some(source),
            Self::Option { .. } => None,
            Self::Database(source) => Some(source),
        }
    }
}

impl From<sqlx::Error> for EnqueueError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Tells whether Postgres does not know a table or schema that a statement names.
fn missing_table(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| matches!(&*code, "42P01" | "3F000"))
}
