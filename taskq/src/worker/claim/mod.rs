//! Claiming tasks: from which queue, which of them, and what to do where nothing is due.
//!
//! The worker's main loop runs the [`Claimer`]. It serves one queue after the other on one connection. While a
//! queue's buffer has room and its claims bring tasks, it claims without a pause. [`take`] makes one claim. [`pace`]
//! decides how large claims are and how often it scans, [`idle`] what follows when nothing is due.

mod alone;
mod batches;
pub(crate) mod buffer;
pub(crate) mod buffered;
mod contents;
mod fair;
pub(crate) mod gather;
mod hand_back;
mod idle;
mod limited;
mod pace;
mod prefetch;
mod queue;
mod take;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Error;
use tokio::sync::mpsc;
use tokio::time::{Interval, sleep};

use self::buffer::Buffer;
pub(crate) use self::queue::Queue;
use super::beats::{self, Loop};
use super::drain;
use super::held::strays::Looks;
use super::operators::Wake;
use super::shared::{Core, sleep_until_some};
use super::trouble::Said;
use super::{limits, pauses};
use crate::attempt::verdict::Settlement;
use crate::lane::suspects::Claimable;
use crate::lane::{Ageing, Reach};
use crate::store::{ClaimedTask, Store};

/// How often the claimer asks whether prefetched tasks have waited too long.
const STALE_PERIOD: Duration = Duration::from_millis(250);

/// A claim that takes so long may bring what was paused meanwhile.
const SLOW: Duration = Duration::from_millis(500);

/// The most tasks to claim before a scan has looked: something of a better priority may be due as well.
const MOST_GUESSED: usize = 1;

/// Claims for all queues of a worker.
pub(crate) struct Claimer<'c> {
    core: Arc<Core>,
    store: Store<'c>,
    /// The task types that this worker has handlers for, each with the newest payload version that it decodes.
    known: Vec<(String, u16)>,
    transactional: Vec<String>,
    /// The task types whose tasks may have keys of which one runs at a time.
    in_turns: HashSet<String>,
    queues: Vec<Queue>,
    wakes: mpsc::UnboundedReceiver<Wake>,
    outcomes: mpsc::Sender<Settlement>,
    /// Whose turn it is.
    next_queue: usize,
    looks: Looks,
    /// Comes while there is nothing to do.
    beat: Interval,
}

/// Slots to open for the tasks of a queue.
pub(crate) struct NewSlots {
    pub(crate) queue: usize,
    pub(crate) count: usize,
}

impl<'c> Claimer<'c> {
    /// Speaks to Postgres through `store`.
    pub(crate) fn new(
        core: Arc<Core>,
        store: Store<'c>,
        wakes: mpsc::UnboundedReceiver<Wake>,
        outcomes: mpsc::Sender<Settlement>,
    ) -> Self {
        let queues = core.settings.queues.iter();
        let ageing = Ageing(core.settings.priority_ageing);
        let by_chance: Arc<[String]> = core.registry.names_by_chance().into();
        Self {
            store,
            known: core.registry.known(),
            transactional: core.registry.names_with_own_leases(),
            in_turns: core.registry.names_in_turns().map(str::to_owned).collect(),
            queues: queues
                .map(|(name, _)| Queue::new(name, ageing, by_chance.clone()))
                .collect(),
            wakes,
            outcomes,
            next_queue: 0,
            looks: Looks::default(),
            beat: beats::pace(),
            core,
        }
    }
}

impl Claimer<'_> {
    /// Waits until a queue has room and due tasks, claims them into its buffer, and returns the slots to open for
    /// them. Returns `None` once the worker is asked to stop; then the claimer begins no other call.
    ///
    /// # Cancel safety
    ///
    /// What a claim under way was taking is handed back when the worker stops, or stays in its lease until that runs out.
    pub(crate) async fn claim(&mut self) -> Option<NewSlots> {
        while !self.core.stop.gently.is_cancelled() {
            self.core.beats.beat(Loop::Claims);
            self.hand_back_stale().await;
            self.hand_back_paused().await;
            self.hand_back_limited().await;
            self.open_limited();
            self.hand_back_strays().await;
            let Some(queue) = self.take_turn() else {
                self.wait().await;
                continue;
            };
            let began = Instant::now();
            let claimed = match self.claim_from(queue).await {
                Ok(tasks) => self.keep_if_heard(tasks, began).await,
                Err(error) => Err(error),
            };
            match claimed {
                Ok(tasks) if tasks.is_empty() => {}
                Ok(tasks) => {
                    #[cfg(feature = "metrics")]
                    self.core.meters.record_claimed(queue, tasks.len());
                    let count = self.core.buffers[queue].put(tasks);
                    return Some(NewSlots { queue, count });
                }
                Err(error) => self.record_failure(queue, &error),
            }
        }
        None
    }

    /// Makes one claim from a queue, which looks into its lanes from their heads. `known` is what an earlier claimer of this
    /// worker has learnt.
    #[cfg(feature = "testing")]
    pub(crate) async fn claim_once(
        &mut self,
        at: usize,
        known: Option<Vec<Queue>>,
    ) -> Result<Vec<ClaimedTask>, Error> {
        if let Some(known) = known {
            self.queues = known;
        }
        self.record_wake(&Wake::AllQueues);
        self.open_limited();
        self.claim_from(at).await
    }

    /// Returns what it has learnt of the queues.
    #[cfg(feature = "testing")]
    pub(crate) fn into_queues(self) -> Vec<Queue> {
        self.queues
    }

    /// Returns what a claim brought. If it took long and nobody hears of pauses, they are read first: slots hand back what
    /// was paused meanwhile.
    async fn keep_if_heard(
        &mut self,
        tasks: Vec<ClaimedTask>,
        began: Instant,
    ) -> Result<Vec<ClaimedTask>, Error> {
        let is_slow = !tasks.is_empty() && began.elapsed() >= SLOW;
        if is_slow
            && self.core.pauses.are_unheard(Instant::now())
            && let Err(error) = pauses::read(&self.core, &mut self.store).await
        {
            self.hand_back(tasks).await;
            return Err(error);
        }
        Ok(tasks)
    }

    /// Gives the turn to the next queue that has room and does not pause.
    fn take_turn(&mut self) -> Option<usize> {
        let now = Instant::now();
        let count = self.queues.len();
        if self
            .core
            .settings
            .drain
            .as_ref()
            .is_some_and(|drain| drain.left() == 0)
        {
            return None;
        }
        let queue = (0..count)
            .map(|turn| (self.next_queue + turn) % count)
            .filter(|at| self.queues[*at].idle.paused_until(now).is_none())
            .find(|at| {
                let buffer = &self.core.buffers[*at];
                buffer.adjust_prefetch();
                buffer.room() > 0 && !self.queues[*at].is_crowded
            })?;
        self.next_queue = queue + 1;
        Some(queue)
    }

    /// Waits for room, for the end of a pause, or for a notification.
    async fn wait(&mut self) {
        let now = Instant::now();
        let drain = self.core.settings.drain.as_ref();
        if let Some(drain) = drain
            && drain.left() == 0
            && self.core.is_at_rest()
        {
            drain.done.cancel();
        }
        let pauses = self.queues.iter();
        let next_end = pauses
            .filter_map(|queue| queue.idle.paused_until(now))
            .min();
        let has_waiting = self.core.buffers.iter().any(Buffer::has_waiting);
        tokio::select! {
            () = self.core.stop.gently.cancelled() => {}
            () = self.core.room.notified() => {}
            () = self.core.held.limited_left() => {}
            Some(wake) = self.wakes.recv() => self.record_wake(&wake),
            () = sleep_until_some(next_end) => {}
            () = sleep_until_some(self.looks.next()) => {}
            () = sleep(STALE_PERIOD), if has_waiting => {}
            () = sleep(drain::PERIOD), if drain.is_some() => {}
            _ = self.beat.tick() => {}
        }
        self.queues
            .iter_mut()
            .for_each(|queue| queue.is_crowded = false);
    }

    fn record_wake(&mut self, wake: &Wake) {
        match wake {
            Wake::Queue(name) | Wake::WholeQueue(name) => {
                let named = self.queues.iter_mut().filter(|queue| queue.name == *name);
                for queue in named {
                    match wake {
                        Wake::WholeQueue(_) => {
                            queue.idle.record_notified();
                            queue.allow_scan_from_heads();
                        }
                        _ => queue.record_notified(),
                    }
                }
            }
            Wake::Listening => self
                .queues
                .iter_mut()
                .for_each(|queue| queue.idle.record_notified()),
            Wake::Limited(name) => {
                let named = self.queues.iter_mut().filter(|queue| queue.name == *name);
                named.for_each(|queue| queue.open_limited(|_| Vec::new()));
            }
            Wake::Limits => self
                .queues
                .iter_mut()
                .for_each(|queue| queue.open_limited(|_| Vec::new())),
            Wake::AllQueues => {
                for queue in &mut self.queues {
                    queue.allow_scan_from_heads();
                    // A server that crashed has forgotten its waiting listeners.
                    queue.idle.record_not_listening();
                    queue.idle.record_notified();
                }
            }
        }
    }

    fn record_failure(&mut self, at: usize, error: &Error) {
        if error.as_database_error().is_none() {
            // The server may have claimed, or may still be about to.
            self.looks.begin(self.core.settings.lease);
        }
        let queue = &mut self.queues[at];
        let pause = queue.idle.record_failure(Instant::now(), fastrand::f64());
        if let Some(Said { error, again }) = self.core.trouble("claim", error) {
            tracing::warn!(
                queue = queue.name,
                error,
                ?pause,
                "claim failed; trying again{again}"
            );
        }
    }

    // The claim is the last call that may fail: its tasks must run.
    async fn claim_from(&mut self, at: usize) -> Result<Vec<ClaimedTask>, Error> {
        if self.queues[at].idle.should_stop_listening() {
            self.stop_listening(at).await?;
        }
        if self.queues[at].begins() && self.core.settings.drain.is_none() {
            self.begin(at).await?;
        }
        let is_guess = self.queues[at].should_guess();
        if !is_guess && let Some(reach) = self.queues[at].next_scan() {
            self.scan(at, reach).await?;
        }
        if self.core.pauses.are_unheard(Instant::now())
            && pauses::read(&self.core, &mut self.store).await?
        {
            self.record_wake(&Wake::AllQueues);
        }
        self.queues[at].open_timed();
        self.queues[at].close_braked(&self.core.brakes);
        self.queues[at].close_paused(&self.core.pauses);
        let claimable = self.next_claimable(at);
        let queue = &mut self.queues[at];
        queue.record_turn(claimable);
        if queue.lanes.have_no(claimable) {
            if !is_guess {
                self.idle(at).await?;
            }
            return Ok(Vec::new());
        }
        let most = if is_guess { MOST_GUESSED } else { usize::MAX };
        let tasks = self.claim_tasks(at, claimable, most).await?;
        let queue = &mut self.queues[at];
        queue.idle.record_claim(!tasks.is_empty());
        if tasks.is_empty() && is_guess {
            queue.lanes.expect_nothing();
        } else if tasks.is_empty() && queue.lanes.have_no(Claimable::Fresh) {
            // Other workers have what was due.
            self.idle(at).await?;
        }
        Ok(tasks)
    }

    async fn stop_listening(&mut self, at: usize) -> Result<(), Error> {
        let queue = &mut self.queues[at];
        queue.idle.record_not_listening();
        self.store
            .unlisten(self.core.worker_id, &[&queue.name])
            .await
    }

    /// Begins where others have come to, if there are others. Each worker that starts would walk over all that they have
    /// claimed, if it looked into lanes from their heads.
    async fn begin(&mut self, at: usize) -> Result<(), Error> {
        let queue = &mut self.queues[at];
        let (name, known, worker_id) = (&queue.name, &self.known, self.core.worker_id);
        let frontiers = self.store.frontiers(name, known, worker_id).await?;
        queue.begin_at(frontiers);
        Ok(())
    }

    /// Finds the lanes in which tasks are due.
    async fn scan(&mut self, at: usize, reach: Reach) -> Result<(), Error> {
        let must_be_read = self.core.pauses.must_be_read(Instant::now());
        if must_be_read && pauses::read(&self.core, &mut self.store).await? {
            self.record_wake(&Wake::AllQueues);
        }
        if self.core.limits.must_be_read(Instant::now()) {
            limits::read(&self.core, &mut self.store).await?;
        }
        let queue = &mut self.queues[at];
        let (name, known, worker_id) = (&queue.name, &self.known, self.core.worker_id);
        let drain = self.core.settings.drain.as_ref();
        let is_proof = reach == Reach::Heads
            && drain.is_some_and(|drain| drain.has_begun() && self.core.is_at_rest());
        let began = Instant::now();
        let heads = match reach {
            Reach::Heads => self.store.scan(name, known, worker_id).await?,
            Reach::Lanes | Reach::Marks => {
                let (marked, into_others) = (queue.lanes.marked(), reach == Reach::Lanes);
                self.store
                    .scan_marked(name, known, worker_id, &marked, into_others)
                    .await?
            }
        };
        if let Some(head) = heads.first() {
            let clock = &self.core.database_clock;
            clock.record(head.scanned_at, Instant::now());
        }
        let (took, round_trip) = (began.elapsed(), self.store.round_trip());
        queue.pace.record_round_trip(round_trip);
        if drain.is_none() {
            // Else it ends with a scan from the heads, which is to wait for nobody's.
            queue.record_workers(&heads);
        }
        queue.record_scan(reach, heads, took.saturating_sub(round_trip));
        if let Some(drain) = drain {
            drain.record_scan(at, is_proof);
        }
        Ok(())
    }

    /// Returns what to claim next. Suspects have one turn after each scan, and only if they can start at once.
    fn next_claimable(&self, at: usize) -> Claimable {
        let buffers = &self.core.buffers;
        let alone = usize::from(!buffers.iter().any(Buffer::has_one_alone));
        let suspects = Claimable::Suspects { alone };
        if self.queues[at].is_turn_of(suspects) && buffers[at].room_to_run() > 0 {
            suspects
        } else {
            Claimable::Fresh
        }
    }

    /// Nothing is due: registers as a waiting listener, or pauses.
    async fn idle(&mut self, at: usize) -> Result<(), Error> {
        if let Some(drain) = &self.core.settings.drain {
            drain.record_idle(at);
        }
        let settings = &self.core.settings;
        let queue = &mut self.queues[at];
        let longest = queue.longest_pause(settings.poll_interval);
        queue.idle.record_empty();
        let now = Instant::now();
        match queue.idle.listening_time(now, longest) {
            Some(duration) if settings.listen => {
                let worker_id = self.core.worker_id;
                self.store
                    .listen(worker_id, &[&queue.name], duration)
                    .await?;
                queue.idle.record_listening(now + duration);
            }
            _ => {
                let next_scan_in = queue.next_scan_in(now).unwrap_or(longest);
                queue.idle.record_pause(now, longest, next_scan_in);
            }
        }
        Ok(())
    }
}
