//! What Postgres said, in one text that says nothing twice.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

/// An error of Postgres with its details and its hint, and without the line of Postgres's own source.
pub(crate) struct Said<'a>(pub(crate) &'a sqlx::Error);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0.as_database_error();
        let Some(error) = error.and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        else {
            // It mentions its sources itself.
            return self.0.fmt(f);
        };
        f.write_str(error.message())?;
        if let Some(detail) = error.detail() {
            write!(f, " ({})", detail.trim_end_matches('.'))?;
        }
        if let Some(hint) = error.hint() {
            write!(f, "; hint: {}", hint.trim_end_matches('.'))?;
        }
        // Most messages have its name, though not those of triggers.
        if let Some(constraint) = error.constraint()
            && !error.message().contains(constraint)
        {
            write!(f, "; constraint: {constraint}")?;
        }
        Ok(())
    }
}
