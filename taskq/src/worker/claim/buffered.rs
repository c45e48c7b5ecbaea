//! A task that waits for a slot.

use std::time::{Duration, Instant};

use crate::store::ClaimedTask;

/// How long a task may wait for a slot.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct BufferedTask {
    pub(super) task: ClaimedTask,
    /// When the claim had brought it.
    pub(super) arrived: Instant,
}

/// What a slot runs in one call of a handler.
#[derive(Debug)]
pub(crate) enum Work {
    One(ClaimedTask),
    Many(Vec<ClaimedTask>),
}
