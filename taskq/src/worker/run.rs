//! A worker at work: starting its parts, running handlers, stopping in order.
//!
//! Everything that a worker does in the background is spawned here, into sets that are awaited before
//! [`run`] returns and aborted if its future is dropped.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::beats::Loop;
use super::claim::{Claimer, NewSlots};
use super::events::Event;
use super::held::heartbeat;
#[cfg(feature = "log")]
use super::lines;
use super::listen;
use super::operators::Wake;
use super::shared::Core;
use super::shutdown::StopNow;
use super::tell::Tellers;
use super::{blocked, notes, outcomes, release, slot, upkeep};
use crate::attempt::panics;
use crate::attempt::verdict::Settlement;
use crate::error::WorkerError;
use crate::faults::crash_point;

/// Outcomes that may wait to be written before handlers wait for it.
const OUTCOMES_WAITING: usize = 10_000;

/// How long a claim under way may take to end once the worker is asked to stop.
const LAST_CLAIM: Duration = Duration::from_secs(2);

/// How long dropped handlers may take to end: as long as a handler that blocks its thread.
const LAST_HANDLERS: Duration = Duration::from_secs(15);

/// How many running tasks a line of the log names.
const NAMED_IN_LOG: usize = 10;

/// How long the last outcomes may take to be written.
const LAST_OUTCOMES: Duration = Duration::from_secs(10);

/// How long the background services may take to end.
const LAST_SERVICES: Duration = Duration::from_secs(5);

/// Runs a worker until `stop` ends, and then stops it.
pub(crate) async fn run<S: StopNow>(
    core: Arc<Core>,
    stop: impl Future<Output = S>,
) -> Result<(), WorkerError> {
    panics::note_places();
    let _turning = core.beats.begin();
    let _watch = blocked::begin(&core);
    #[cfg(feature = "metrics")]
    super::metrics::describe();
    announce(&core);
    let (worker_id, heard) = (core.worker_id, core.around.speaker.0.clone());
    let (outcome_sender, outcomes) = mpsc::channel(OUTCOMES_WAITING);
    let (wake_sender, wakes) = mpsc::unbounded_channel();
    let mut parts = Parts::start(&core, outcomes, &wake_sender);
    heard.send(|| Event::WorkerStarted { worker_id });
    let work = work(&core, &mut parts.handlers, outcome_sender, wakes);
    let others = fails(&mut parts.services, &mut parts.writer);
    let mut stop = pin!(stop);
    let begun = work_until(&core, stop.as_mut(), work, others).await;
    // Kept until here, so that a worker that does not listen waits for wakes that never come.
    drop(wake_sender);
    let ended = match begun {
        Ok(begun) => {
            let stop_now = stop_now(begun, stop);
            grace(&core, &mut parts.handlers, stop_now).await;
            Ok(())
        }
        Err(error) => Err(error),
    };
    crash_point("before_hand_back");
    parts.stop(&core).await;
    heard.send(|| Event::WorkerStopped { worker_id });
    core.around.speaker.close();
    tracing::info!("worker stopped");
    ended
}

/// Says what this worker does, and what it looks to have been forgotten.
fn announce(core: &Core) {
    tracing::info!(
        schema = core.settings.schema.name,
        queues = ?core.settings.queues,
        task_types = ?core.registry.names(),
        "worker started"
    );
    if core.registry.is_empty() {
        tracing::warn!(
            "this program has no handlers, so the worker runs nothing: link the crate that has them with `use my_tasks as _;`, or name them with `.only`"
        );
    }
    for (queue, task_types) in core.unserved_queues() {
        tracing::warn!(
            queue,
            ?task_types,
            "this worker does not serve queue `{queue}`, which handlers of it declare: give it `.queue(\"{queue}\", …)`, unless another worker serves that queue"
        );
    }
}

/// What a worker has spawned.
struct Parts {
    services: JoinSet<()>,
    writer: JoinSet<()>,
    handlers: JoinSet<()>,
    /// They call hooks.
    tellers: Tellers,
    /// Ends the services.
    done: CancellationToken,
    /// Ends the writer, whatever is left to be written.
    give_up: CancellationToken,
}

impl Parts {
    /// Starts everything but the claims.
    fn start(
        core: &Arc<Core>,
        outcomes: mpsc::Receiver<Settlement>,
        wakes: &mpsc::UnboundedSender<Wake>,
    ) -> Self {
        let (done, give_up) = (CancellationToken::new(), CancellationToken::new());
        let mut services = JoinSet::new();
        let mut writer = JoinSet::new();
        if let Some(drain) = &core.settings.drain {
            drain.begin(core.buffers.len(), upkeep::at_start(core));
        }
        spawn(&mut services, heartbeat::beat(core.clone(), done.clone()));
        spawn(&mut services, heartbeat::watch(core.clone(), done.clone()));
        for duty in upkeep::DUTIES {
            spawn(&mut services, upkeep::run(core.clone(), duty, done.clone()));
        }
        if core.settings.listen {
            let listen = listen::listen(core.clone(), wakes.clone(), done.clone());
            spawn(&mut services, listen);
        }
        spawn(&mut services, release::release(core.clone(), done.clone()));
        spawn(&mut services, notes::write(core.clone(), done.clone()));
        #[cfg(feature = "log")]
        spawn(&mut services, lines::write(core.clone(), done.clone()));
        let write = outcomes::write(core.clone(), outcomes, give_up.clone());
        spawn(&mut writer, write);
        Self {
            services,
            writer,
            handlers: JoinSet::new(),
            tellers: Tellers::start(core),
            done,
            give_up,
        }
    }

    /// Ends everything in order: handlers, what they leave to be written, services.
    async fn stop(mut self, core: &Core) {
        stop_handlers(core, &mut self.handlers).await;
        // The last sender ended with the last handler.
        if !all_end_within(&mut self.writer, LAST_OUTCOMES).await {
            self.give_up.cancel();
            all_end_within(&mut self.writer, LAST_SERVICES).await;
        }
        self.tellers.stop(core).await;
        self.done.cancel();
        all_end_within(&mut self.services, LAST_SERVICES).await;
    }
}

/// What began a stop.
enum Begun<S> {
    /// What `run_until` was given has ended with this.
    Own(S),
    /// Somebody has asked for it from elsewhere.
    Asked,
}

/// Waits until there is no more time to be graceful.
async fn stop_now<S: StopNow>(begun: Begun<S>, stop: impl Future<Output = S>) {
    let own = match begun {
        Begun::Own(own) => own,
        // A first signal now says no more than has been said already.
        Begun::Asked => stop.await,
    };
    own.stop_now().await;
}

/// Works until `stop` ends, somebody asks for it, or the worker cannot go on, and then claims nothing more.
async fn work_until<S>(
    core: &Core,
    stop: impl Future<Output = S>,
    work: impl Future<Output = ()>,
    fails: impl Future<Output = ()>,
) -> Result<Begun<S>, WorkerError> {
    let mut work = pin!(work);
    let begun = tokio::select! {
        own = stop => Ok(Begun::Own(own)),
        () = core.stop.asked.cancelled() => Ok(Begun::Asked),
        () = core.pool.close_event() => Err(WorkerError::PoolClosed),
        () = fails => Err(WorkerError::PartEnded),
        () = &mut work => unreachable!("work ends only after the stop began"),
    };
    match &begun {
        Ok(Begun::Own(_)) => tracing::info!("worker is stopping"),
        Ok(Begun::Asked) => {
            tracing::info!("an operator has asked this worker to stop; it is stopping")
        }
        Err(error) => {
            tracing::error!(%error, "worker is stopping now, without a grace period");
        }
    }
    core.stop.gently.cancel();
    let worker_id = core.worker_id;
    let heard = &core.around.speaker.0;
    heard.send(|| Event::WorkerStopping { worker_id });
    work.await;
    begun
}

/// Waits until something ends that goes on until it is told to.
async fn fails(services: &mut JoinSet<()>, writer: &mut JoinSet<()>) {
    tokio::select! {
        _ = services.join_next() => {}
        _ = writer.join_next() => {}
    }
}

/// Claims tasks and runs their handlers until the stop begins; then gives back what has not begun.
async fn work(
    core: &Arc<Core>,
    handlers: &mut JoinSet<()>,
    outcomes: mpsc::Sender<Settlement>,
    wakes: mpsc::UnboundedReceiver<Wake>,
) {
    let mut claimer = Claimer::new(core.clone(), core.store(), wakes, outcomes.clone());
    let stopping = &core.stop.gently;
    tokio::select! {
        () = core.announced.cancelled() => {}
        () = stopping.cancelled() => {}
    }
    while let Some(new) = next_slots(&mut claimer, stopping).await {
        for _ in 0..new.count {
            let slot = slot::run(core.clone(), new.queue, outcomes.clone());
            handlers.spawn(slot.in_current_span());
        }
        while let Some(ended) = handlers.try_join_next() {
            log_failure(ended);
        }
    }
    claimer.hand_back_all().await;
    core.beats.end(Loop::Claims);
}

/// Claims tasks, and returns the slots to open for them; `None` once the stop begins.
async fn next_slots(claimer: &mut Claimer<'_>, stopping: &CancellationToken) -> Option<NewSlots> {
    tokio::select! {
        biased;
        new = claimer.claim() => new,
        () = last_claim_is_over(stopping) => None,
    }
}

/// Lets running handlers end by themselves, for as long as there is time.
async fn grace(core: &Core, handlers: &mut JoinSet<()>, stop_now: impl Future<Output = ()>) {
    let grace_period = core.settings.grace_period;
    tokio::select! {
        () = all_end(handlers) => {}
        () = sleep(grace_period) => log_running(core, "the grace period is over; dropping the handlers that still run"),
        () = stop_now => log_running(core, "asked to stop now; dropping the handlers that still run"),
    }
}

/// Drops the handlers that still run.
async fn stop_handlers(core: &Core, handlers: &mut JoinSet<()>) {
    core.stop.now.cancel();
    if !all_end_within(handlers, LAST_HANDLERS).await {
        log_running(
            core,
            "some handlers block their threads, so they cannot be stopped; their tasks will be rescued",
        );
        handlers.abort_all();
    }
}

/// Warns with the names of what runs: the longest-running first.
fn log_running(core: &Core, message: &str) {
    let running = core.held.running().len();
    let tasks = core.held.longest_running(NAMED_IN_LOG);
    tracing::warn!(running, ?tasks, "{message}");
}

fn spawn(set: &mut JoinSet<()>, service: impl Future<Output = ()> + Send + 'static) {
    set.spawn(service.in_current_span());
}

async fn all_end(set: &mut JoinSet<()>) {
    while let Some(ended) = set.join_next().await {
        log_failure(ended);
    }
}

fn log_failure(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "internal error: a task of the worker failed");
    }
}

async fn all_end_within(set: &mut JoinSet<()>, limit: Duration) -> bool {
    timeout(limit, all_end(set)).await.is_ok()
}

async fn last_claim_is_over(stopping: &CancellationToken) {
    stopping.cancelled().await;
    sleep(LAST_CLAIM).await;
}
