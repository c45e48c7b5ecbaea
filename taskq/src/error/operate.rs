//! What can go wrong when an operator asks for something.

use std::error::Error;
use std::fmt;

use super::text::Said;
use super::{advice, missing_table, veiled};

/// What an operator asked for was not done.
#[derive(Debug)]
#[non_exhaustive]
pub enum OperateError {
    /// It makes no sense: a name that is empty, a time that is over.
    Refused {
        /// What is wrong with it.
        message: String,
    },
    /// There are no tables of taskq in the schema, or they are older than this program.
    NoSchema {
        /// The schema.
        schema: &'static str,
    },
    /// Postgres refused, or could not be reached.
    Database(sqlx::Error),
}

impl OperateError {
    pub(crate) fn of(schema: &'static str, error: sqlx::Error) -> Self {
        const INVALID_PARAMETER_VALUE: &str = "22023";
        const UNDEFINED_FUNCTION: &str = "42883";
        let error = veiled(error);
        let refusal = error.as_database_error();
        let code = refusal.and_then(|refusal| refusal.code());
        match (code.as_deref(), refusal) {
            (Some(INVALID_PARAMETER_VALUE), Some(refusal)) => Self::Refused {
                message: refusal.message().to_owned(),
            },
            (Some(UNDEFINED_FUNCTION), _) => Self::NoSchema { schema },
            _ if missing_table(&error) => Self::NoSchema { schema },
            _ => Self::Database(error),
        }
    }
}

impl fmt::Display for OperateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { message } => f.write_str(message),
            Self::NoSchema { schema } => write!(
                f,
                "the schema `{schema}` has no tables of taskq, or older ones: run `taskq::migrate(&pool)` first"
            ),
            Self::Database(error) => {
                write!(f, "cannot ask Postgres: {}{}", Said(error), advice(error))
            }
        }
    }
}

impl Error for OperateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Their texts say all of it.
        None
    }
}
