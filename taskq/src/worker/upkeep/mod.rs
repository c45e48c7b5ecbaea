//! What a worker does for all: rescuing tasks of others, counting what nobody serves, and pruning the
//! history.
//!
//! Run by every worker, on one connection; what one of them does the others need not. If they all
//! stopped, tasks of killed processes would stay in their leases until a worker starts.

mod census;
mod prune;
mod rescue;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::faults;
use crate::worker::Core;

/// How often the history is pruned. Its unit is a day.
const PRUNE_PERIOD: Duration = Duration::from_secs(60 * 60);

/// How soon it is tried again: somebody may have held the table's lock.
const PRUNE_AGAIN: Duration = Duration::from_secs(5);

/// Looks for expired leases twice in the duration of one, takes the census, and prunes, until `done`.
pub(crate) async fn run(core: Arc<Core>, done: CancellationToken) {
    if faults::is_planted("part_ends") {
        return sleep(core.settings.lease).await;
    }
    // Workers that start together need not look together.
    let jitter = 0.9 + 0.2 * fastrand::f64();
    let mut rescue_pace = interval(core.settings.lease.mul_f64(jitter / 2.0));
    let mut census_pace = interval(core.settings.census_interval.mul_f64(jitter));
    let mut prune_pace = interval(PRUNE_PERIOD.mul_f64(jitter));
    let keeps_some = core.settings.keep_completed || core.registry.keeps_some();
    rescue_pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    census_pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            _ = rescue_pace.tick() => rescue::rescue_expired(&core).await,
            _ = census_pace.tick() => census::take(&core).await,
            _ = prune_pace.tick(), if keeps_some => {
                if !prune::prune_history(&core).await {
                    prune_pace.reset_after(PRUNE_AGAIN);
                }
            }
        }
    }
}
