//! Keeping leases while their handlers run.
//!
//! Run by each worker, for the leases that it holds in memory: a lease is extended because a handler
//! is alive, not because a process is. A heartbeat is sent four times in a lease's duration, on a
//! connection of its own that handlers cannot take. While none comes through, leases are given up
//! shortly before they end, by this process's monotonic clock, and their handlers stopped. If the
//! loop stopped, the leases would run out and the tasks be rescued. It stops only after the last
//! handler has ended.
//!
//! With each heartbeat the worker says that it is alive, hears whether it is asked to stop, and writes what it has counted.
//! Where heartbeats are rare, because leases are long, it does that in between too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::strays;
use crate::store::{Store, WorkerRow};
use crate::worker::beats::{self, Loop};
use crate::worker::shared::Core;
use crate::worker::trouble::Said;
use crate::worker::{blocked, cancel, minutes};

/// How late the watch may be before that is worth a line.
const LATE: Duration = Duration::from_secs(1);

/// How many running tasks a line of the log names.
const NAMED_IN_LOG: usize = 10;

/// Heartbeats in the duration of a lease. Three may be missed.
const BEATS_PER_LEASE: u32 = 4;

/// Sends heartbeats until `done`.
pub(crate) async fn beat(core: Arc<Core>, done: CancellationToken) {
    let itself = core.itself();
    let period = core.settings.lease / BEATS_PER_LEASE;
    let mut store = core.store();
    let mut pace = interval(period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut between = interval(minutes::PERIOD);
    between.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = beats::pace();
    loop {
        core.beats.beat(Loop::Heartbeats);
        tokio::select! {
            biased;
            () = done.cancelled() => break,
            _ = pace.tick() => {}
            _ = between.tick(), if period > minutes::PERIOD => {
                if let Err(error) = report(&core, &itself, &mut store).await {
                    tracing::debug!(%error, "cannot say yet what was counted");
                }
                continue;
            }
            _ = turn.tick() => continue,
        }
        // The first tick is at once, and registers the worker.
        if let Err(error) = beat_once(&core, &itself, &mut store).await {
            core.announced.cancel();
            if let Some(Said { error, again }) = core.trouble("heartbeat", &error) {
                tracing::warn!(error, "heartbeat failed; trying again{again}");
            }
            tokio::select! {
                () = done.cancelled() => break,
                () = sleep((period / 4).min(minutes::PERIOD)) => pace.reset_immediately(),
            }
        }
    }
    if let Err(error) = minutes::write(&core, &mut store).await {
        tracing::warn!(%error, "cannot write the counters; the counts of the last seconds are lost");
    }
    // No claim is under way any more.
    if let Err(error) = strays::hand_back(&core, &mut store).await {
        tracing::warn!(%error, "cannot hand back the last tasks; they will be rescued");
    }
    if let Err(error) = store.unregister(itself.worker_id).await {
        tracing::debug!(%error, "cannot unregister this worker; its registration will expire");
    }
    core.beats.end(Loop::Heartbeats);
}

async fn beat_once(
    core: &Core,
    itself: &WorkerRow,
    store: &mut Store<'_>,
) -> Result<(), sqlx::Error> {
    let lease = core.settings.lease;
    let asked = core.held.to_extend();
    if !asked.is_empty() {
        let sent = Instant::now();
        let extended = store.heartbeat(&asked, lease).await?;
        let lost = core.held.record_extended(sent, &asked, &extended);
        if lost > 0 {
            #[cfg(feature = "metrics")]
            core.meters.record_lost(lost);
            tracing::warn!(
                lost,
                "leases lost: other workers have rescued their tasks; their handlers are stopped"
            );
        }
    }
    core.beats.beat(Loop::Heartbeats);
    cancel::look(core, store).await?;
    core.beats.beat(Loop::Heartbeats);
    report(core, itself, store).await
}

/// Says that this worker is alive and what it has counted, and hears whether it is asked to stop.
async fn report(core: &Core, itself: &WorkerRow, store: &mut Store<'_>) -> Result<(), sqlx::Error> {
    let registered = store.register(itself, core.settings.lease).await?;
    core.announced.cancel();
    if registered.is_asked_to_stop {
        core.stop.asked.cancel();
    }
    #[cfg(feature = "metrics")]
    core.meters.record_leads(registered.leads);
    blocked::write(core, store).await?;
    minutes::write(core, store).await
}

/// Says which handlers may have kept the threads of the runtime from everything else.
fn warn_of_blocked_threads(core: &Core, late: Duration, began: Instant) {
    let tasks = core.held.ran_since(began, NAMED_IN_LOG);
    tracing::warn!(
        ?late,
        ?tasks,
        "this worker stood still: its process was paused, or handlers blocked the threads of the runtime; such work belongs in `spawn_blocking`"
    );
}

/// Gives up leases that no heartbeat has extended in time, until `done`.
pub(crate) async fn watch(core: Arc<Core>, done: CancellationToken) {
    let period = core.settings.lease / 30;
    let mut pace = interval(period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let began = Instant::now();
        tokio::select! {
            () = done.cancelled() => return,
            _ = pace.tick() => {}
        }
        let late = began.elapsed().saturating_sub(period);
        if late > period.max(LATE) {
            warn_of_blocked_threads(&core, late, began);
        }
        let given_up = core.held.give_up_overdue();
        if given_up > 0 {
            #[cfg(feature = "metrics")]
            core.meters.record_lost(given_up);
            tracing::warn!(
                given_up,
                "leases given up: no heartbeat reached Postgres in time; their handlers are stopped"
            );
            core.look_for_strays();
        }
    }
}
