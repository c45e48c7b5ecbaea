//! What can go wrong when a result is read.

use std::error::Error;
use std::fmt;

use serde_json::value::RawValue;

use super::text::Said;
use super::{BoxError, DecodeError, veiled};

/// A task's result could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResultError {
    /// What is kept does not fit the type of the result.
    Decode {
        /// The task type.
        task_type: &'static str,
        /// Where in the result, such as `items[0].price`; `.` is the whole.
        path: String,
        /// The result as it is kept.
        raw: Box<RawValue>,
        /// What does not fit.
        source: BoxError,
    },
    /// Postgres refused, or could not be reached.
    Database(sqlx::Error),
}

impl ResultError {
    pub(crate) fn decode(task_type: &'static str, raw: Box<RawValue>, error: DecodeError) -> Self {
        let path = error.path().to_owned();
        let source = error.into_cause();
        Self::Decode {
            task_type,
            path,
            raw,
            source,
        }
    }
}

impl fmt::Display for ResultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode {
                task_type, path, ..
            } => write!(f, "the result of `{task_type}` does not decode at `{path}`"),
            Self::Database(error) => write!(f, "cannot read the result: {}", Said(error)),
        }
    }
}

impl Error for ResultError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Decode { source, .. } => Some(&**source),
            // Its text says all of it.
            Self::Database(_) => None,
        }
    }
}

impl From<sqlx::Error> for ResultError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(veiled(error))
    }
}
