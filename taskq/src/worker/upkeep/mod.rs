//! What a worker does for all: a list of duties, each its own loop.
//!
//! Every worker runs all of them; what one worker does the others need not. A duty that takes long
//! delays no other: each has a connection of its own while it runs. If all workers stopped, the tasks
//! of killed processes would stay in their leases until a worker starts.

mod census;
mod duty;
mod gates;
#[cfg(feature = "metrics")]
mod gauges;
mod groups;
mod keep;
mod keys;
mod limits;
mod log;
mod minutes;
mod progress;
mod prune;
mod rescue;
#[cfg(feature = "cron")]
mod schedules;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use self::duty::{Duty, First};
use crate::faults::crash_point;
use crate::worker::shared::Core;

/// Every duty of a worker.
pub(crate) const DUTIES: &[Duty] = &[
    rescue::DUTY,
    census::DUTY,
    tables::DUTY,
    prune::DUTY,
    keep::DUTY,
    keys::DUTY,
    groups::DUTY,
    gates::DUTY,
    limits::DUTY,
    minutes::DUTY,
    progress::DUTY,
    log::DUTY,
    #[cfg(feature = "metrics")]
    gauges::DUTY,
    #[cfg(feature = "cron")]
    schedules::DUTY,
];

/// Returns how many duties a worker does as it starts.
pub(crate) fn at_start(core: &Core) -> usize {
    let at_start = |duty: &&Duty| matches!((duty.first)(core), First::AtStart);
    DUTIES.iter().filter(at_start).count()
}

/// Does a duty once in each period, until `done`.
pub(crate) async fn run(core: Arc<Core>, duty: &'static Duty, done: CancellationToken) {
    let first = (duty.first)(&core);
    let mut drain = match first {
        First::AtStart => core.settings.drain.as_ref(),
        First::WithinPeriod => None,
    };
    let Some(period) = (duty.period)(&core) else {
        drain.inspect(|drain| drain.record_duty());
        return done.cancelled().await;
    };
    let jitter = 0.9 + 0.2 * fastrand::f64();
    let period = period.mul_f64(jitter);
    let first = match first {
        First::AtStart => Duration::ZERO,
        First::WithinPeriod => period.mul_f64(fastrand::f64()),
    };
    let mut pace = interval_at(Instant::now() + first, period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            _ = pace.tick() => {}
            () = sooner(&core, duty) => {}
        }
        crash_point("before_duty");
        let ended = tokio::select! {
            () = done.cancelled() => return,
            ended = timeout(duty.limit, (duty.run)(&core)) => ended,
        };
        if let Some(drain) = drain.take() {
            drain.record_duty();
        }
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

async fn sooner(core: &Core, duty: &Duty) {
    match duty.sooner {
        Some(sooner) => sooner(core).await,
        None => std::future::pending().await,
    }
}
