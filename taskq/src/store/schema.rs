//! The Postgres schema in which the tables are, and the statements with its name in them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::statements::{DEFAULT_SCHEMA, Statements};
use crate::error::InvalidSchemaName;

/// The Postgres schema in which the task tables live: `taskq`, unless another is chosen with
/// [`Schema::named`]. Several schemas in one database are several queues that know nothing of
/// each other.
#[derive(Clone, Copy)]
pub struct Schema {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static Statements,
}

impl Schema {
    /// Returns the schema of this name. Its tables are made by
    /// [`migrate`](Self::migrate).
    ///
    /// The first call for a name keeps its statements for the life of the process; a program is
    /// expected to use a handful of schemas.
    ///
    /// # Errors
    ///
    /// When the name is not made of up to 40 lower-case letters, digits and underscores, beginning
    /// with a letter, or begins with `pg_`, which Postgres keeps for itself.
    pub fn named(name: &str) -> Result<Self, InvalidSchemaName> {
        static SCHEMAS: LazyLock<Mutex<HashMap<String, Schema>>> = LazyLock::new(Mutex::default);
        if name == DEFAULT_SCHEMA {
            return Ok(Self::default());
        }
        if !is_plain_identifier(name) {
            return Err(InvalidSchemaName {
                name: name.to_owned(),
            });
        }
        let mut schemas = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
        let schema = schemas.entry(name.to_owned()).or_insert_with(|| Schema {
            name: String::leak(name.to_owned()),
            sql: Box::leak(Box::new(Statements::of(name))),
        });
        Ok(*schema)
    }

    /// Returns the channel on which the workers of this schema hear operators.
    pub(crate) fn operators_channel(self) -> String {
        format!("{}.operator", self.name)
    }

    /// Returns the channel on which those who wait for tasks hear that one has ended.
    pub(crate) fn ended_channel(self) -> String {
        format!("{}.ended", self.name)
    }

    /// Returns the schema's name, which is also the name of the channel that wakes its workers.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self {
            name: DEFAULT_SCHEMA,
            sql: Statements::of_default(),
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.name).finish()
    }
}

// Such a name cannot carry SQL, and is the same wherever people type it.
fn is_plain_identifier(name: &str) -> bool {
    name.len() <= 40
        && !name.starts_with("pg_")
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_name_is_a_plain_identifier() {
        for name in [
            "",
            "pg_tasks",
            "Tasks",
            "a-b",
            "1a",
            "a\"b",
            &"a".repeat(41),
        ] {
            assert!(Schema::named(name).is_err(), "{name}");
        }
        assert_eq!(Schema::named("tasks_2").map(|s| s.name()), Ok("tasks_2"));
        assert_eq!(Schema::named("taskq").map(|s| s.name()), Ok("taskq"));
    }
}
