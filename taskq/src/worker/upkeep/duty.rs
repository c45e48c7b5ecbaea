//! What a duty is.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::worker::shared::Core;

/// Something that a worker does again and again, for all workers.
pub(crate) struct Duty {
    /// What the log calls it.
    pub(crate) name: &'static str,
    /// How often it is done; `None` where this worker has nothing to do there. Workers that start together
    /// need not do it together, so each worker's period is up to a tenth shorter or longer.
    pub(crate) period: fn(&Core) -> Option<Duration>,
    /// How long it may take at most. The next period does what is left.
    pub(crate) limit: Duration,
    /// How soon it is tried again after a failure, where that is sooner than the next period.
    pub(crate) retry: Option<Duration>,
    /// Does it once. Returns whether that went well.
    pub(crate) run: for<'a> fn(&'a Core) -> BoxFuture<'a, bool>,
}
