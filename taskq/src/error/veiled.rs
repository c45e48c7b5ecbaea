//! What Postgres says of a statement of ours, without what it tells of rows: their payloads may have secret fields.
//!
//! Of a row that it refuses, Postgres quotes values: in the detail, in the context, where a `COPY` has the line and a log
//! setting the parameters, and of a value that it cannot read in the message itself. Errors of ours carry no other error of
//! Postgres than a [`Veiled`] one, so neither their `Display` nor their `Debug` nor their sources have more.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;

/// An error of Postgres that shows its code, message, constraint, table and hint.
pub(crate) struct Veiled {
    error: Box<PgDatabaseError>,
    message: String,
}

/// Veils what Postgres said, if it was Postgres.
pub(crate) fn veiled(error: sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::Database(error) => sqlx::Error::Database(match error.try_downcast() {
            Ok(error) => Box::new(Veiled::new(error)),
            Err(other) => other,
        }),
        other => other,
    }
}

/// Returns all that Postgres said, to look for what it tells a statement of ours.
pub(crate) fn unveiled(error: &dyn DatabaseError) -> Option<&PgDatabaseError> {
    match error.try_downcast_ref::<Veiled>() {
        Some(veiled) => Some(&veiled.error),
        None => error.try_downcast_ref(),
    }
}

/// Tells whether Postgres quotes values of a row in an error: data that it cannot read, and what breaks a constraint or the
/// condition of a view. What somebody wrote in a `raise` is no quote.
pub(crate) fn quotes_values(error: &PgDatabaseError) -> bool {
    let is_raised = error.routine() == Some("exec_stmt_raise");
    !is_raised && ["22", "23", "44"].contains(&&error.code()[..2])
}

/// What statements of ours say by a cast that fails. Postgres quotes it as if it were a value.
const OURS: [&str; 3] = [
    "a trigger has kept a task from where it goes",
    "the lease of this task is gone",
    "the handler left a temporary table or another role on its session, as none of its type did before",
];

/// Returns the message of an error of Postgres, with `***` in place of the values that it quotes.
pub(crate) fn message_without_values(error: &PgDatabaseError) -> Cow<'_, str> {
    let message = error.message();
    if let Some(ours) = OURS.into_iter().find(|ours| message.contains(ours)) {
        return ours.into();
    }
    // Those about constraints quote names alone.
    if !quotes_values(error) || !error.code().starts_with("22") {
        return message.into();
    }
    // Other languages have other quotes.
    let is_quote = |it: char| "\"\u{201c}\u{201d}\u{201e}\u{ab}\u{bb}\u{300c}\u{300d}".contains(it);
    match (message.find(is_quote), message.rfind(is_quote)) {
        (Some(start), Some(end)) if start < end => {
            let after = message[end..].trim_start_matches(is_quote);
            format!("{}\"***\"{after}", &message[..start]).into()
        }
        _ => message.into(),
    }
}

impl Veiled {
    fn new(error: Box<PgDatabaseError>) -> Self {
        let message = message_without_values(&error).into_owned();
        Self { error, message }
    }

    fn detail(&self) -> Option<&str> {
        let detail = self.error.detail();
        detail.filter(|_| !quotes_values(&self.error))
    }
}

impl fmt::Display for Veiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(detail) = self.detail() {
            write!(f, ": {detail}")?;
        }
        if let Some(constraint) = self.error.constraint()
            && !self.message.contains(constraint)
        {
            write!(f, " (constraint `{constraint}`)")?;
        }
        match self.error.hint() {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Veiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgDatabaseError")
            .field("severity", &self.error.severity())
            .field("code", &self.error.code())
            .field("message", &self.message)
            .field("detail", &self.detail())
            .field("hint", &self.error.hint())
            .field("schema", &self.error.schema())
            .field("table", &self.error.table())
            .field("column", &self.error.column())
            .field("constraint", &self.error.constraint())
            .finish_non_exhaustive()
    }
}

impl Error for Veiled {}

impl DatabaseError for Veiled {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.error.code().into())
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

    fn is_transient_in_connect_phase(&self) -> bool {
        self.error.is_transient_in_connect_phase()
    }

    fn constraint(&self) -> Option<&str> {
        self.error.constraint()
    }

    fn table(&self) -> Option<&str> {
        self.error.table()
    }

    fn kind(&self) -> ErrorKind {
        DatabaseError::kind(&*self.error)
    }
}
