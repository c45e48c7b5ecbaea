//! Finding what a database said, wherever an error has it.

use std::error::Error;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::{EnqueueError, OperateError, ResultError, chain};

/// Returns the errors of a database among an error and its sources, some of them twice.
pub(crate) fn of_database<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a dyn DatabaseError> {
    chain(error).filter_map(within)
}

fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a dyn DatabaseError> {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return error.as_database_error();
    }
    // Ours show it in their own text, and so do not name it as their source.
    if let Some(EnqueueError::Database(error)) = error.downcast_ref() {
        return error.as_database_error();
    }
    if let Some(ResultError::Database(error)) = error.downcast_ref() {
        return error.as_database_error();
    }
    if let Some(OperateError::Database(error)) = error.downcast_ref() {
        return error.as_database_error();
    }
    // Others pass over the error of sqlx, and name its source as theirs.
    if let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() {
        return Some(&**error);
    }
    let error = error.downcast_ref::<PgDatabaseError>();
    error.map(|error| error as &dyn DatabaseError)
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use sqlx::error::ErrorKind;

    use super::*;
    use crate::error::BoxError;

    #[derive(Debug)]
    struct Refusal;

    impl fmt::Display for Refusal {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.message())
        }
    }

    impl Error for Refusal {}

    impl DatabaseError for Refusal {
        fn message(&self) -> &str {
            "no"
        }
        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn refused() -> sqlx::Error {
        sqlx::Error::Database(Box::new(Refusal))
    }

    /// What thiserror makes with `#[error("no follow-up")]` and `#[source]`, and with `#[error(transparent)]`.
    #[derive(Debug)]
    enum Outer {
        Named(EnqueueError),
        Transparent(sqlx::Error),
    }

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Named(_) => f.write_str("no follow-up"),
                Self::Transparent(error) => error.fmt(f),
            }
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            match self {
                Self::Named(error) => Some(error),
                Self::Transparent(error) => error.source(),
            }
        }
    }

    #[test]
    fn what_a_database_said_is_found_wherever_it_stands() {
        let errors: [BoxError; 5] = [
            refused().into(),
            EnqueueError::from(refused()).into(),
            ResultError::from(refused()).into(),
            Outer::Named(refused().into()).into(),
            Outer::Transparent(refused()).into(),
        ];
        for error in errors {
            let found = of_database(&*error).next();
            assert_eq!(found.map(DatabaseError::message), Some("no"), "{error:?}");
        }
        let other = EnqueueError::from(sqlx::Error::PoolClosed);
        assert_eq!(of_database(&other).count(), 0);
    }
}
