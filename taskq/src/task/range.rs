//! What the options of an enqueue may be, and what is said where they are not.

use std::time::Duration;

use crate::error::EnqueueError;

/// The furthest a task may be put off: a hundred years. More is a mistake of units.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

pub(super) fn refuse(option: &'static str, problem: String) -> EnqueueError {
    EnqueueError::Option { option, problem }
}
