//! What a worker does for all: rescuing tasks of others, and counting what nobody serves.
//!
//! Run by every worker, on one connection; what one of them does the others need not. If they all
//! stopped, tasks of killed processes would stay in their leases until a worker starts.

mod census;
mod rescue;

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::faults;
use crate::worker::Core;

/// Looks for expired leases twice in the duration of one, and takes the census, until `done`.
pub(crate) async fn run(core: Arc<Core>, done: CancellationToken) {
    if faults::is_planted("part_ends") {
        return sleep(core.settings.lease).await;
    }
    // Workers that start together need not look together.
    let jitter = 0.9 + 0.2 * fastrand::f64();
    let mut rescue_pace = interval(core.settings.lease.mul_f64(jitter / 2.0));
    let mut census_pace = interval(core.settings.census_interval.mul_f64(jitter));
    rescue_pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    census_pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            _ = rescue_pace.tick() => rescue::rescue_expired(&core).await,
            _ = census_pace.tick() => census::take(&core).await,
        }
    }
}
