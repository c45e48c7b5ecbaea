//! What can go wrong when the tables are made.

use std::error::Error;
use std::fmt;

use super::{advice, cause};

/// Tells whether Postgres does not know a table or schema that a statement names.
pub(crate) fn missing_table(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| matches!(&*code, "42P01" | "3F000"))
}

/// The tables could not be made, or are not of a version that this binary can work with.
#[derive(Debug)]
#[non_exhaustive]
pub enum MigrateError {
    /// A migration failed, or Postgres could not be reached. Nothing was changed.
    Database {
        /// The migration that failed, if one had begun.
        migration: Option<&'static str>,
        /// What Postgres said.
        source: sqlx::Error,
    },
    /// The tables were made by a newer version of taskq, which this one cannot work with.
    TooNew(SchemaTooNew),
}

/// The tables are newer than this binary can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaTooNew {
    /// The schema.
    pub schema: &'static str,
    /// The version of the tables.
    pub found: i32,
    /// The newest version that this binary knows.
    pub known: i32,
    /// The version that a binary must know to work with these tables.
    pub oldest_binary: i32,
}

impl fmt::Display for SchemaTooNew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the tables in schema `{}` have version {}, for programs that know version {} or later; this one knows {}: deploy a newer version of taskq",
            self.schema, self.found, self.oldest_binary, self.known
        )
    }
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database {
                migration: Some(name),
                ..
            } => write!(f, "migration `{name}` failed, and nothing was changed"),
            Self::Database { source, .. } => {
                write!(f, "cannot run the migrations{}", advice(source))
            }
            Self::TooNew(versions) => versions.fmt(f),
        }
    }
}

impl Error for MigrateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Database { source, .. } => cause(source),
            Self::TooNew(_) => None,
        }
    }
}
