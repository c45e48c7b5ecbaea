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
    pub(crate) first: fn(&Core) -> First,
    /// Ends when it is to be done before its next period, where there is such a time.
    pub(crate) sooner: Option<for<'a> fn(&'a Core) -> BoxFuture<'a, ()>>,
    /// How long it may take at most. The next period does what is left.
    pub(crate) limit: Duration,
    /// How soon it is tried again after a failure, where that is sooner than the next period.
    pub(crate) retry: Option<Duration>,
    /// Does it once. Returns whether that went well.
    pub(crate) run: for<'a> fn(&'a Core) -> BoxFuture<'a, bool>,
}

/// When a worker does a duty for the first time.
pub(crate) enum First {
    AtStart,
    /// At some time in its first period: workers that start together have enough to do, and one of them is the first.
    WithinPeriod,
}
