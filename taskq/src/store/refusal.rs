//! What Postgres says when it refuses what was asked, and not only fails for a while.

use std::fmt;

use serde::Serialize;
use sqlx::Error;
use sqlx::error::DatabaseError;

use crate::attempt::verdict::in_ascii;
use crate::error::{message_without_values, quotes_values, unveiled};

/// A refusal: the same statement would be refused again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Whether values of the row are in the detail, which is stored beside the row, and shown to nobody else.
    #[serde(skip)]
    quotes_values: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    constraint: Option<String>,
}

impl Refusal {
    /// Reads an error of the server, unless it is about the server's state and passes by itself.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        let error = error.as_database_error()?;
        let code = error.code()?.into_owned();
        if is_passing(&code) {
            return None;
        }
        let error = unveiled(error)?;
        Some(Self {
            code,
            message: message_without_values(error).into_owned(),
            quotes_values: quotes_values(error),
            detail: error.detail().map(str::to_owned),
            constraint: error.constraint().map(str::to_owned),
        })
    }

    /// Tells whether a row is in the way, or something that is tied to it: a value, a constraint, a trigger.
    /// Everything else is refused to each row alike.
    pub(crate) fn is_about_a_row(&self) -> bool {
        // Data, integrity, triggers and routines of users, limits.
        let classes = ["09", "21", "22", "23", "27", "38", "39", "44", "54", "P0"];
        classes.iter().any(|class| self.code.starts_with(class))
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Returns it as it is stored, with the outcome that was refused. Every database can store that.
    pub(crate) fn stored(&self, outcome: &str) -> String {
        #[derive(Serialize)]
        struct Stored<'a> {
            outcome: &'a str,
            #[serde(flatten)]
            refusal: &'a Refusal,
        }
        let stored = Stored {
            outcome,
            refusal: self,
        };
        // Strings alone have a JSON.
        let stored = serde_json::to_string(&stored).unwrap_or_else(|_| "{}".to_owned());
        in_ascii(&stored)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.detail {
            Some(detail) if !self.quotes_values => write!(f, ": {detail}"),
            _ => Ok(()),
        }
    }
}

/// Tells whether less may succeed where this was too much for the limits of the server or of its role.
pub(crate) fn is_too_much(error: &Error) -> bool {
    // Cancelled by `statement_timeout`, out of memory.
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("57014" | "53200"))
}

/// Tells whether a lock could not be had in time.
pub(crate) fn is_locked(error: &Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.as_deref() == Some("55P03")
}

/// Tells whether a statement gave way to others who had locked or changed the same rows.
pub(crate) fn has_met_others(error: &Error) -> bool {
    // Transaction rollback: serialization failures and deadlocks.
    let code = error.as_database_error().and_then(DatabaseError::code);
    is_locked(error) || code.is_some_and(|code| code.starts_with("40"))
}

/// Tells whether an error of the server is about its state, not about what was asked.
fn is_passing(code: &str) -> bool {
    // Connection, transaction rollback, resources, intervention by an operator, system, transaction
    // state, which includes a server that is read-only for now, and prepared statements that a pooler
    // has mixed up.
    let classes = ["08", "40", "53", "57", "58", "25", "55", "26"];
    classes.iter().any(|class| code.starts_with(class)) || code == "42P05"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_stored_without_what_a_database_may_not_know() {
        let refusal = Refusal {
            code: "23505".to_owned(),
            message: "duplicate key \u{2192} \"x\"".to_owned(),
            detail: None,
            quotes_values: true,
            constraint: Some("one_welcome".to_owned()),
        };
        assert_eq!(
            refusal.stored("retry"),
            r#"{"outcome":"retry","code":"23505","message":"duplicate key ? \"x\"","constraint":"one_welcome"}"#
        );
    }

    #[test]
    fn what_is_about_the_server_passes() {
        assert!(is_passing("57P01") && is_passing("40001") && is_passing("25006"));
        assert!(!is_passing("23505") && !is_passing("22P05"));
    }
}
