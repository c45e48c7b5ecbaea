//! Writing payloads for an enqueue, and what is said where a payload or its row is refused.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::error::EnqueueError;
use crate::json::MAX_STORED_SIZE;
use crate::store::{holder_of_key, is_busy, is_too_large, is_unserializable, refusal_of_group};
use crate::task::payload::{Payload, Unwritable, write};

/// Writes a payload, or says of which of many payloads what is wrong with it.
pub(super) fn encode<P: Payload>(
    payload: P,
    index: Option<usize>,
) -> Result<Box<RawValue>, EnqueueError> {
    write(&payload).map_err(|error| refused(P::TASK_TYPE, index, error))
}

fn refused(task_type: &'static str, index: Option<usize>, error: Unwritable) -> EnqueueError {
    match error {
        Unwritable::Invalid(source) => EnqueueError::Invalid {
            task_type,
            index,
            source,
        },
        Unwritable::Encode(source) => EnqueueError::Encode {
            task_type,
            index,
            source,
        },
        Unwritable::TooLarge { size } => EnqueueError::TooLarge {
            task_type,
            index,
            size,
            limit: MAX_STORED_SIZE,
        },
        #[cfg(feature = "encryption")]
        Unwritable::NoKeys => EnqueueError::NoKeys { task_type },
    }
}

/// Says how another transaction was in the way of one that asked for a key, if one was.
pub(super) fn refused_key(
    task_type: &'static str,
    busy_after: Option<Duration>,
    error: &sqlx::Error,
) -> Option<EnqueueError> {
    if is_unserializable(error) {
        return Some(EnqueueError::Conflict { task_type });
    }
    let waited = busy_after.filter(|_| is_busy(error))?;
    Some(EnqueueError::Busy { task_type, waited })
}

/// Says what Postgres refused. The table measures payloads too, and may have found one too large that is not: a
/// trigger may have changed it. Then `which` tells its index and its size.
pub(super) fn refused_by_table(
    task_type: &'static str,
    error: sqlx::Error,
    which: impl FnOnce() -> (Option<usize>, usize),
) -> EnqueueError {
    if let Some(task_id) = holder_of_key(&error) {
        return EnqueueError::Duplicate { task_type, task_id };
    }
    if let Some(problem) = refusal_of_group(&error) {
        return EnqueueError::Group { problem };
    }
    if !is_too_large(&error) {
        return error.into();
    }
    let (index, size) = which();
    EnqueueError::TooLarge {
        task_type,
        index,
        size,
        limit: MAX_STORED_SIZE,
    }
}
