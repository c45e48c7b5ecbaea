//! Which names a schema cannot have.

use std::fmt;

/// A name that a [`Schema`](crate::Schema) cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSchemaName {
    pub(crate) name: String,
}

impl fmt::Display for InvalidSchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` cannot be the name of taskq's schema: use 1 to 40 lower-case letters, digits and underscores, beginning with a letter and not with `pg_`",
            self.name
        )
    }
}

impl std::error::Error for InvalidSchemaName {}
