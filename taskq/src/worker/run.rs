//! A worker at work: starting its parts, running handlers, stopping in order.
//!
//! Everything that a worker does in the background is spawned here, into sets that are awaited before
//! [`run`] returns and aborted if its future is dropped.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::claim::{Claimed, Claimer};
use super::execute::Execution;
use super::listen::{self, Wake};
use super::shutdown::StopNow;
use super::{Core, heartbeat, outcomes, sleep_until_some};
use crate::error::WorkerError;
use crate::faults::crash_point;
use crate::maintenance;
use crate::verdict::Settlement;

/// Outcomes that may wait to be written before handlers wait for it.
const OUTCOMES_WAITING: usize = 10_000;

/// How long a claim under way may take to end once the worker is asked to stop.
const LAST_CLAIM: Duration = Duration::from_secs(2);

/// How long dropped handlers may take to end: as long as a handler that blocks its thread.
const LAST_HANDLERS: Duration = Duration::from_secs(15);

/// How long the last outcomes may take to be written.
const LAST_OUTCOMES: Duration = Duration::from_secs(10);

/// How long the background services may take to end.
const LAST_SERVICES: Duration = Duration::from_secs(5);

/// Runs a worker until `stop` ends, and then stops it.
pub(super) async fn run<S: StopNow>(
    core: Arc<Core>,
    stop: impl Future<Output = S>,
) -> Result<(), WorkerError> {
    tracing::info!(
        schema = core.settings.schema.name,
        queues = ?core.settings.queues,
        task_types = ?core.registry.names(),
        "worker started"
    );
    if core.registry.is_empty() {
        tracing::warn!(
            "no task type is linked into this program: write `use my_tasks as _;` for the crate of the handlers, or name them with `.only`"
        );
    }
    for (task_type, queue) in core.registry.declared_queues() {
        if !core.works_on(queue) {
            tracing::info!(
                "`{task_type}` belongs to queue `{queue}`, on which this worker does not work"
            );
        }
    }
    let (outcome_sender, outcomes) = mpsc::channel(OUTCOMES_WAITING);
    let (wake_sender, wakes) = mpsc::unbounded_channel();
    let (done, give_up) = (CancellationToken::new(), CancellationToken::new());
    let mut services = JoinSet::new();
    let mut writer = JoinSet::new();
    let mut handlers = JoinSet::new();

    spawn(&mut services, heartbeat::beat(core.clone(), done.clone()));
    spawn(&mut services, heartbeat::watch(core.clone(), done.clone()));
    spawn(&mut services, maintenance::run(core.clone(), done.clone()));
    if core.settings.listen {
        let listen = listen::listen(core.clone(), wake_sender.clone(), done.clone());
        spawn(&mut services, listen);
    }
    spawn(
        &mut writer,
        outcomes::write(core.clone(), outcomes, give_up.clone()),
    );

    let stop_now = {
        let mut work = pin!(work(&core, &mut handlers, outcome_sender, wakes));
        let stop_now = tokio::select! {
            stop_now = stop => Ok(stop_now),
            () = core.pool.close_event() => Err(WorkerError::PoolClosed),
            // They go on until they are told that all is done.
            _ = services.join_next() => Err(WorkerError::PartEnded),
            _ = writer.join_next() => Err(WorkerError::PartEnded),
            () = &mut work => unreachable!("work ends only after the stop began"),
        };
        match &stop_now {
            Ok(_) => tracing::info!("worker is stopping"),
            Err(error) => tracing::error!(%error, "worker is stopping at once"),
        }
        core.stop.gently.cancel();
        work.await;
        stop_now
    };
    // Kept until here, so that a worker that does not listen waits for wakes that never come.
    drop(wake_sender);

    let ended = match stop_now {
        Ok(stop_now) => {
            grace(&core, &mut handlers, stop_now).await;
            Ok(())
        }
        Err(error) => Err(error),
    };
    crash_point("before_hand_back");
    stop_handlers(&core, &mut handlers).await;
    // The last sender ended with the last handler.
    if !all_end_within(&mut writer, LAST_OUTCOMES).await {
        give_up.cancel();
        all_end_within(&mut writer, LAST_SERVICES).await;
    }
    done.cancel();
    all_end_within(&mut services, LAST_SERVICES).await;
    tracing::info!("worker stopped");
    ended
}

/// Claims tasks and runs their handlers until the stop begins.
async fn work(
    core: &Arc<Core>,
    handlers: &mut JoinSet<usize>,
    outcomes: mpsc::Sender<Settlement>,
    mut wakes: mpsc::UnboundedReceiver<Wake>,
) {
    let mut claimer = Claimer::new(core.clone());
    let stopping = &core.stop.gently;
    while !stopping.is_cancelled() {
        let claimed = tokio::select! {
            biased;
            claimed = claimer.claim() => claimed,
            () = last_claim_is_over(stopping) => return,
        };
        let is_idle = claimed.is_none();
        for task in claimed.into_iter().flatten() {
            let queue = task.queue;
            if start(core, handlers, &outcomes, claimer.queue_name(queue), task) {
                claimer.started(queue);
            }
        }
        while let Some(ended) = handlers.try_join_next() {
            claimer.ended(unaborted(ended));
        }
        if is_idle {
            tokio::select! {
                () = stopping.cancelled() => return,
                Some(ended) = handlers.join_next() => claimer.ended(unaborted(ended)),
                Some(wake) = wakes.recv() => claimer.woken(&wake),
                () = sleep_until_some(claimer.next_claim()) => {}
            }
        }
    }
}

/// Starts the handler of a task. Returns `false` if there is none, which does not happen: the claim
/// names the types that it wants.
fn start(
    core: &Arc<Core>,
    handlers: &mut JoinSet<usize>,
    outcomes: &mpsc::Sender<Settlement>,
    queue_name: &str,
    task: Claimed,
) -> bool {
    let Claimed { queue, row, lost } = task;
    let Some(registration) = core.registry.find(&row.task_type) else {
        tracing::error!(
            task_type = row.task_type,
            "claimed a task of an unknown type; it will be rescued"
        );
        core.leases.settled(row.lease_id, 1);
        return false;
    };
    // At the level of errors, so that they are never without the task that they are about.
    let span = tracing::error_span!(
        "task",
        task_type = row.task_type,
        task_id = row.task_id,
        attempt = row.attempts.saturating_add(1),
        queue = queue_name,
    );
    let (holder, lease_id) = (core.clone(), row.lease_id);
    let execution = Execution {
        core: core.clone(),
        registration: *registration,
        row,
        lost,
        outcomes: outcomes.clone(),
    };
    let handler = AssertUnwindSafe(execution.run()).catch_unwind();
    let handler = async move {
        if handler.await.is_err() {
            tracing::error!("panicked while ending an attempt; the task will be rescued");
            holder.leases.settled(lease_id, 1);
        }
        queue
    };
    handlers.spawn(handler.instrument(span));
    true
}

fn unaborted(ended: Result<usize, JoinError>) -> usize {
    ended.expect("handlers are neither aborted while the worker works, nor do they panic")
}

/// Lets running handlers end by themselves, for as long as there is time.
async fn grace<S: StopNow>(core: &Core, handlers: &mut JoinSet<usize>, stop_now: S) {
    let grace_period = core.settings.grace_period;
    tokio::select! {
        () = all_end(handlers) => {}
        () = sleep(grace_period) => tracing::warn!(
            running = handlers.len(),
            "the grace period is over; stopping handlers"
        ),
        () = stop_now.stop_now() => tracing::warn!(
            running = handlers.len(),
            "asked to stop now; stopping handlers"
        ),
    }
}

/// Drops the handlers that still run.
async fn stop_handlers(core: &Core, handlers: &mut JoinSet<usize>) {
    core.stop.now.cancel();
    if !all_end_within(handlers, LAST_HANDLERS).await {
        tracing::error!(
            running = handlers.len(),
            "handlers block their threads and cannot be stopped; their tasks will be rescued"
        );
        handlers.abort_all();
    }
}

fn spawn(set: &mut JoinSet<()>, service: impl Future<Output = ()> + Send + 'static) {
    set.spawn(service.in_current_span());
}

async fn all_end<T: 'static>(set: &mut JoinSet<T>) {
    while let Some(ended) = set.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a part of the worker failed");
        }
    }
}

async fn all_end_within<T: 'static>(set: &mut JoinSet<T>, limit: Duration) -> bool {
    timeout(limit, all_end(set)).await.is_ok()
}

async fn last_claim_is_over(stopping: &CancellationToken) {
    stopping.cancelled().await;
    sleep(LAST_CLAIM).await;
}
