//! What an error says of the connection, the server or the session, whatever was asked.

use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgSeverity;

use crate::error::unveiled;

/// Tells whether a statement failed because the connection or the server did, or because others were in the
/// way. What was asked makes no difference then.
pub(crate) fn is_interruption(error: &Error) -> bool {
    let Some(refusal) = error.as_database_error() else {
        return true;
    };
    let code = refusal.code();
    let code = code.as_deref().unwrap_or_default();
    // Connection, serialization and deadlocks, resources, an operator's intervention, system. But a limit that
    // cancels a query is mostly one that somebody has set for it.
    matches!(code.get(..2), Some("08" | "40" | "53" | "57" | "58")) && code != "57014"
        || ends_session(refusal)
}

/// Tells whether a connection of which a statement failed so can be used no more.
pub(crate) fn is_lost(error: &Error) -> bool {
    error.as_database_error().is_none_or(ends_session)
}

fn ends_session(refusal: &dyn DatabaseError) -> bool {
    unveiled(refusal)
        .is_some_and(|it| matches!(it.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Tells whether a statement failed because of what somebody else has prepared on its session, or deallocated.
pub(crate) fn mixes_up_statements(refusal: &dyn DatabaseError) -> bool {
    matches!(refusal.code().as_deref(), Some("26000" | "42P05"))
}

/// Tells whether a statement failed because the server writes nothing: a standby, or one that was told so.
pub(crate) fn is_read_only(error: &Error) -> bool {
    error.as_database_error().is_some_and(writes_nothing)
}

pub(crate) fn writes_nothing(refusal: &dyn DatabaseError) -> bool {
    refusal.code().as_deref() == Some("25006")
}

/// Tells whether a statement failed because the role must not do that.
pub(super) fn is_forbidden(error: &Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.as_deref() == Some("42501")
}
