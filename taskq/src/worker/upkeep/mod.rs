//! What a worker does for all: a list of duties, each its own loop.
//!
//! Every worker runs all of them; what one worker does the others need not. A duty that takes long
//! delays no other: each has a connection of its own while it runs. If all workers stopped, the tasks
//! of killed processes would stay in their leases until a worker starts.

mod census;
mod prune;
mod rescue;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::faults::crash_point;
use crate::worker::shared::Core;

/// Every duty of a worker.
pub(crate) const DUTIES: &[Duty] = &[rescue::DUTY, census::DUTY, prune::DUTY];

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

/// Does a duty now and then once in each period, until `done`.
pub(crate) async fn run(core: Arc<Core>, duty: &'static Duty, done: CancellationToken) {
    let Some(period) = (duty.period)(&core) else {
        return done.cancelled().await;
    };
    let jitter = 0.9 + 0.2 * fastrand::f64();
    let mut pace = interval(period.mul_f64(jitter));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            _ = pace.tick() => {}
        }
        crash_point("before_duty");
        let ended = tokio::select! {
            () = done.cancelled() => return,
            ended = timeout(duty.limit, (duty.run)(&core)) => ended,
        };
        let Ok(went_well) = ended else {
            tracing::warn!(duty = duty.name, limit = ?duty.limit, "took too long; going on next time");
            continue;
        };
        if let Some(retry) = duty.retry
            && !went_well
        {
            pace.reset_after(retry);
        }
    }
}
