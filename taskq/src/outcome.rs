//! What a handler's return value means.

use crate::error::BoxError;

/// How one attempt ended, as its handler tells it.
#[derive(Debug)]
pub enum Outcome {
    /// The handler did what it was for.
    Completed,
    /// The handler failed. The worker retries, unless the error carries another wish:
    /// [`retry_in`](crate::retry_in), [`snooze`](crate::snooze), [`discard`](crate::discard) or
    /// [`cancel`](crate::cancel).
    Failed(BoxError),
}

/// A type that a handler may return: `()`, or `Result<T, E>` for any error that can be boxed.
#[diagnostic::on_unimplemented(
    message = "a task returns `()` or `Result<T, E>` with `E: Into<Box<dyn Error + Send + Sync>>`, not `{Self}`",
    label = "not an outcome of a task",
    note = "errors of std, anyhow, eyre and thiserror fit, and so do `String` and `&str`"
)]
pub trait IntoOutcome {
    /// Tells how the attempt ended.
    fn into_outcome(self) -> Outcome;
}

#[diagnostic::do_not_recommend]
impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Completed
    }
}

#[diagnostic::do_not_recommend]
impl<T, E: Into<BoxError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(_) => Outcome::Completed,
            Err(error) => Outcome::Failed(error.into()),
        }
    }
}
