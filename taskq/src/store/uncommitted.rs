//! Why a handler's transaction was not committed.

use sqlx::Error;

use super::Refusal;
use super::interruption::{is_forbidden, is_interruption, is_read_only, mixes_up_statements};
use super::session::Habits;
use crate::error::{of_database, veiled};

/// Why a handler's transaction was not committed.
#[derive(Debug)]
pub(crate) struct CompletionError {
    pub(crate) error: Error,
    /// Whether Postgres had accepted what the handler did. Then the error is of a statement of ours.
    pub(crate) was_accepted: bool,
    /// Whether the handler had left a query running, which was cancelled.
    pub(crate) is_of_leftover: bool,
}

impl CompletionError {
    /// An error of a statement of ours.
    pub(crate) fn ours(error: Error) -> Self {
        Self {
            was_accepted: true,
            ..Self::unanswered(veiled(error))
        }
    }

    /// An error of which nobody knows whose it is.
    pub(crate) fn unanswered(error: Error) -> Self {
        Self {
            error,
            was_accepted: false,
            is_of_leftover: false,
        }
    }

    /// An error of a text of which Postgres had accepted what the handler did, or had not.
    pub(super) fn after(was_accepted: bool, error: Error) -> Self {
        // A statement of ours finds out, and it is the handler's doing.
        match was_accepted && !has_ended(&error) && !is_isolated(&error) {
            true => Self::ours(error),
            false => Self::unanswered(error),
        }
    }

    /// Tells for what the completion was not prepared.
    pub(crate) fn habits(&self) -> Habits {
        Habits {
            deallocates: self.was_accepted && of_database(&self.error).any(mixes_up_statements),
            changes_role: self.was_accepted && is_forbidden(&self.error),
            reads_only: self.was_accepted && is_read_only(&self.error),
            is_tidy: false,
            is_untidy: self.was_accepted && is_untidy(&self.error),
        }
    }

    /// Returns why a statement of ours is refused, if one is.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.was_accepted
            .then(|| Refusal::of(&self.error))
            .flatten()
    }

    pub(crate) fn of_leftover(self) -> Self {
        Self {
            is_of_leftover: true,
            ..self
        }
    }

    /// Tells whether the handler has no part in it.
    pub(crate) fn is_interruption(&self) -> bool {
        self.was_accepted || !self.is_of_leftover && is_interruption(&self.error)
    }
}

/// What completions fail with: see `own_left.sql` and `own_silent.sql`.
const IS_GONE: &str = "the lease of this task is gone";
pub(super) const HAS_ENDED: &str = "the transaction of this attempt has ended";
const IS_LEFT: &str = "the handler left a temporary table or another role on its session, as none of its type did before";
pub(super) const IS_ISOLATED: &str = "the isolation of this attempt was changed";

/// Tells whether a completion failed because the task was rescued.
pub(crate) fn is_lease_gone(error: &Error) -> bool {
    says(error, IS_GONE)
}

/// Tells whether a completion failed because the handler has ended its transaction.
pub(crate) fn has_ended(error: &Error) -> bool {
    says(error, HAS_ENDED)
}

/// Tells whether a completion failed because the transaction does not see what others commit meanwhile.
pub(crate) fn is_isolated(error: &Error) -> bool {
    says(error, IS_ISOLATED)
}

/// Tells whether a completion failed that was to tell nothing, over something that was left.
fn is_untidy(error: &Error) -> bool {
    says(error, IS_LEFT)
}

fn says(error: &Error, what: &str) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().contains(what))
}
