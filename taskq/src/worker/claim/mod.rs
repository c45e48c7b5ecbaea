//! Taking tasks: when to look, what to claim, and when to sleep.
//!
//! Run by the worker's main loop, one queue after the other on one connection. A queue whose buffer has
//! room is claimed from without a pause for as long as claims bring something. When nothing is due the queue
//! rests, and the race with an enqueue that commits just then is closed in three steps: rest a few
//! milliseconds; register as asleep, so that enqueues notify, and look once more; then wait for a
//! notification. An enqueue whose transaction looked for sleepers before the registration, and
//! commits after the last look, is the one that is missed: for it the worker looks again after 20,
//! 100, 500 milliseconds and so on up to the poll interval.

pub(crate) mod buffer;
mod prefetch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Error;
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use self::buffer::Buffer;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::lane::suspects::Claimable;
use crate::lane::{DueLanes, LaneKey, Place, Share};
use crate::store::{ClaimRequest, ClaimedLease, ClaimedTask, Store};
use crate::worker::operators::Wake;
use crate::worker::shared::{Core, sleep_until_some};

/// How long a queue rests after it was found empty the first time, the second time and so on; then
/// for the poll interval.
const NAPS: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// How long the lanes found by a look are believed at least while claims bring something.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A look is repeated so rarely that it takes a hundredth of the time, but no less often than this. Under
/// load it walks over the rows that were taken lately, and so does the claim after it, which begins
/// without floors. The more workers there are, the longer each look takes, and the more of them look.
const LOOK_SHARE: u32 = 100;
const LONGEST_LOOK_PAUSE: Duration = Duration::from_secs(2);

/// How long to wait after the first failure of the database; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The most tasks that one claim takes. Larger ones are no faster.
const MOST_AT_ONCE: usize = 2_000;

/// The most bytes of payloads that a claim is meant to take, by the mean of those before. A row of
/// leases cannot hold more than a gigabyte, and a worker has to hold them all.
const MOST_BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

/// How many tasks a queue's first claim takes, before anything is known of their size.
const FIRST_CLAIM: usize = 100;

/// How often what was claimed ahead is looked at, whether its turn comes.
const STALE_PERIOD: Duration = Duration::from_millis(250);

/// Claims for all queues of a worker.
pub(crate) struct Claimer {
    core: Arc<Core>,
    store: Store<'static>,
    known: Vec<(String, u16)>,
    transactional: Vec<String>,
    queues: Vec<Queue>,
    wakes: mpsc::UnboundedReceiver<Wake>,
    outcomes: mpsc::Sender<Settlement>,
    /// Whose turn it is.
    next_queue: usize,
}

/// One queue, as its worker sees it.
struct Queue {
    name: String,
    lanes: DueLanes,
    looked: Instant,
    look_pause: Duration,
    /// Whether suspects have had their turn since the last look.
    suspects_asked: bool,
    /// The most tasks to claim at once, by the size of those claimed last.
    most_at_once: usize,
    /// When to look again, while nothing is to be had.
    rest_until: Option<Instant>,
    /// Fruitless looks since the last claim that brought something.
    naps: usize,
    /// Claims that brought something since the last fruitless look.
    streak: u32,
    asleep_until: Option<Instant>,
    failures: u32,
}

/// A queue for whose tasks slots are to be opened.
pub(crate) struct Opening {
    pub(crate) queue: usize,
    pub(crate) slots: usize,
}

impl Claimer {
    pub(crate) fn new(
        core: Arc<Core>,
        wakes: mpsc::UnboundedReceiver<Wake>,
        outcomes: mpsc::Sender<Settlement>,
    ) -> Self {
        let queues = core.settings.queues.iter();
        Self {
            store: core.store(),
            known: core.registry.known(),
            transactional: core.registry.transactional_names(),
            queues: queues.map(|(name, _)| Queue::new(name)).collect(),
            wakes,
            outcomes,
            next_queue: 0,
            core,
        }
    }

    /// Waits until there is room and something to claim, claims it into the queue's buffer, and
    /// returns how many slots to open for it. Each queue in its turn. Once the worker
    /// is asked to stop it begins no further call, and returns.
    ///
    /// # Cancel safety
    ///
    /// What a claim under way was taking stays in its lease until that runs out.
    pub(crate) async fn claim(&mut self) -> Opening {
        loop {
            if self.core.stop.gently.is_cancelled() {
                return Opening { queue: 0, slots: 0 };
            }
            self.hand_back_stale().await;
            let Some(queue) = self.ready() else {
                self.wait().await;
                continue;
            };
            self.next_queue = queue + 1;
            match self.claim_from(queue).await {
                Ok(claimed) if claimed.is_empty() => {}
                Ok(claimed) => {
                    let slots = self.core.buffers[queue].put(claimed);
                    return Opening { queue, slots };
                }
                Err(error) => {
                    let queue = &mut self.queues[queue];
                    let pause = queue.failed();
                    tracing::warn!(queue = queue.name, %error, ?pause, "claim failed; trying again");
                }
            }
        }
    }

    /// Returns the next queue that has room and does not rest.
    fn ready(&self) -> Option<usize> {
        let count = self.queues.len();
        let now = Instant::now();
        (0..count)
            .map(|turn| (self.next_queue + turn) % count)
            .find(|at| {
                let rests = self.queues[*at].rest_until.is_some_and(|until| until > now);
                let buffer = &self.core.buffers[*at];
                !rests && {
                    buffer.adjust_prefetch();
                    buffer.room() > 0
                }
            })
    }

    /// Waits for room, for a time to look again, or for somebody who says that there is something.
    async fn wait(&mut self) {
        let next_look = (self.queues.iter())
            .filter_map(|queue| queue.rest_until)
            .filter(|until| *until > Instant::now())
            .min();
        tokio::select! {
            () = self.core.stop.gently.cancelled() => {}
            () = self.core.room.notified() => {}
            Some(wake) = self.wakes.recv() => self.woken(&wake),
            () = sleep_until_some(next_look) => {}
            () = sleep(STALE_PERIOD), if self.core.buffers.iter().any(Buffer::has_waiting) => {}
        }
    }

    fn woken(&mut self, wake: &Wake) {
        for queue in &mut self.queues {
            if *wake == Wake::AllQueues {
                // A server that crashed has forgotten who sleeps.
                queue.asleep_until = None;
            }
            let concerned = match wake {
                Wake::AllQueues => true,
                Wake::Queue(name) => queue.name == *name,
            };
            if concerned {
                // Whoever woke it may be about to commit: look again soon if nothing is there yet.
                queue.rest_until = None;
                queue.naps = 0;
            }
        }
    }

    async fn hand_back_stale(&self) {
        for buffer in &self.core.buffers {
            if buffer.has_stale() {
                hand_back(buffer.take_stale(), &self.outcomes).await;
            }
        }
    }

    // The claim is the last call that may fail: what it brought must be run.
    async fn claim_from(&mut self, at: usize) -> Result<Vec<ClaimedTask>, Error> {
        let queue = &mut self.queues[at];
        // A single task does not end the sleep: the next look will find the queue empty again.
        if queue.streak >= 2 && queue.asleep_until.take().is_some() {
            self.unregister(at).await?;
        }
        if self.queues[at].should_look() {
            self.look(at).await?;
        }
        let kind = self.next_kind(at);
        if self.queues[at].lanes.have_no(kind) {
            self.rest(at).await?;
            return Ok(Vec::new());
        }
        let tasks = self.claim_lanes(at, kind).await?;
        let queue = &mut self.queues[at];
        queue.failures = 0;
        if !tasks.is_empty() {
            queue.naps = 0;
            queue.streak += 1;
        } else if queue.lanes.have_no(Claimable::Fresh) {
            // Others have what was due.
            self.rest(at).await?;
        }
        Ok(tasks)
    }

    /// Suspects have one turn after each look, and only places where nothing waits ahead of them.
    fn next_kind(&mut self, at: usize) -> Claimable {
        let buffers = &self.core.buffers;
        let alone = usize::from(!buffers.iter().any(Buffer::has_one_alone));
        let suspects = Claimable::Suspects { alone };
        let queue = &mut self.queues[at];
        let is_their_turn = !queue.suspects_asked
            && buffers[at].room_to_run() > 0
            && !queue.lanes.have_no(suspects);
        queue.suspects_asked |= is_their_turn;
        match is_their_turn {
            true => suspects,
            false => Claimable::Fresh,
        }
    }

    /// Finds the lanes that hold something.
    async fn look(&mut self, at: usize) -> Result<(), Error> {
        let queue = &mut self.queues[at];
        let began = Instant::now();
        let worker_id = self.core.worker_id;
        let found = self.store.scan(&queue.name, &self.known, worker_id).await?;
        queue.lanes.record_scan(found);
        queue.suspects_asked = false;
        queue.looked = Instant::now();
        queue.look_pause = (began.elapsed() * LOOK_SHARE).clamp(LOOK_PAUSE, LONGEST_LOOK_PAUSE);
        Ok(())
    }

    async fn claim_lanes(&mut self, at: usize, kind: Claimable) -> Result<Vec<ClaimedTask>, Error> {
        let buffer = &self.core.buffers[at];
        let queue = &mut self.queues[at];
        let room = match kind {
            Claimable::Fresh => {
                buffer.adjust_prefetch();
                buffer.room()
            }
            Claimable::Suspects { .. } => buffer.room_to_run(),
        };
        let limit = room.min(queue.most_at_once);
        if limit == 0 {
            // Handlers have slowed down since there was room.
            return Ok(Vec::new());
        }
        let mut shares = queue.lanes.divide(kind, limit);
        self.reserve(at, &mut shares).await?;
        let queue = &mut self.queues[at];
        let request = ClaimRequest {
            lease_id: Uuid::new_v4(),
            worker_id: self.core.worker_id,
            lease_duration: self.core.settings.lease,
            queue: &queue.name,
            limit,
            shares: &shares,
            transactional: &self.transactional,
            is_durable: kind.must_be_durable(),
        };
        let began = Instant::now();
        let claim = self.store.claim(&request).await;
        let leases = claim.inspect_err(|_| queue.claim_less(limit))?;
        let rows = || leases.iter().flat_map(|lease| &lease.tasks);
        let taken: Vec<(LaneKey<'_>, Place)> =
            rows().map(|task| (task.lane(), task.place())).collect();
        if !taken.is_empty() {
            tracing::debug!(queue = queue.name, claimed = taken.len(), "claimed");
        }
        queue.lanes.record_claimed(&shares, limit, &taken);
        queue.learn_size_of(taken.len(), rows().map(|row| row.payload.get().len()).sum());
        let mut claimed = self.hold(leases, began);
        claimed.sort_unstable_by_key(ClaimedTask::place);
        Ok(claimed)
    }

    /// Has ranges of lanes for itself from which others claim at the same time. Each of them would
    /// walk over the rows that all the others are just taking.
    async fn reserve(&mut self, at: usize, shares: &mut [Share]) -> Result<(), Error> {
        let Queue { name, lanes, .. } = &self.queues[at];
        let asked = lanes.worth_reserving(shares);
        if asked.is_empty() {
            return Ok(());
        }
        let ranges = self.store.reserve(name, &asked).await?;
        for share in shares {
            if let Some(range) = ranges.iter().find(|it| it.lane == share.lane) {
                share.keep_to(range);
            }
        }
        Ok(())
    }

    /// Takes in the leases of what was claimed.
    fn hold(&self, leases: Vec<ClaimedLease>, claimed: Instant) -> Vec<ClaimedTask> {
        let mut tasks = Vec::with_capacity(leases.iter().map(|lease| lease.tasks.len()).sum());
        for lease in leases {
            let held = &self.core.held;
            held.record_claimed(lease.lease_id, lease.tasks.len(), claimed);
            tasks.extend(lease.tasks);
        }
        tasks
    }

    /// Nothing is due: decides when to look again, and falls asleep by and by.
    async fn rest(&mut self, at: usize) -> Result<(), Error> {
        let settings = &self.core.settings;
        let queue = &mut self.queues[at];
        queue.streak = 0;
        queue.failures = 0;
        // Suspects that must wait for one another are not announced when their turn comes.
        let longest = match queue.lanes.have_no(Claimable::Suspects { alone: 1 }) {
            true => settings.poll_interval,
            false => NAPS[2].min(settings.poll_interval),
        };
        let nap = NAPS
            .get(queue.naps)
            .copied()
            .unwrap_or(longest)
            .min(longest);
        let now = Instant::now();
        let registered = queue
            .asleep_until
            .is_some_and(|until| until > now + longest);
        if settings.listen && queue.naps > 0 && !registered {
            let duration = longest * 3 + NAPS[NAPS.len() - 1];
            let worker_id = self.core.worker_id;
            self.store
                .listen(worker_id, &[&queue.name], duration)
                .await?;
            queue.asleep_until = Some(now + duration);
            // What was committed before the registration is seen by one more look.
            queue.rest_until = None;
            return Ok(());
        }
        queue.naps += 1;
        let due_in = queue.lanes.next_due_in().unwrap_or(longest);
        queue.rest_until = Some(now + nap.min(due_in));
        Ok(())
    }

    async fn unregister(&mut self, at: usize) -> Result<(), Error> {
        let queue = self.queues[at].name.as_str();
        self.store.unlisten(self.core.worker_id, &[queue]).await
    }
}

/// Gives tasks back that have not begun.
pub(crate) async fn hand_back(tasks: Vec<ClaimedTask>, outcomes: &mpsc::Sender<Settlement>) {
    for task in tasks {
        let settlement = Settlement {
            lease_id: task.lease_id,
            task_id: task.task_id,
            verdict: Verdict::HandBack,
            keep: false,
        };
        // The receiver is there for as long as the worker runs.
        let _ = outcomes.send(settlement).await;
    }
}

impl Queue {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            lanes: DueLanes::default(),
            looked: Instant::now(),
            look_pause: Duration::ZERO,
            suspects_asked: false,
            most_at_once: FIRST_CLAIM,
            rest_until: None,
            naps: 0,
            streak: 0,
            asleep_until: None,
            failures: 0,
        }
    }

    /// Takes in how large so many payloads are together.
    fn learn_size_of(&mut self, count: usize, bytes: usize) {
        if count > 0 {
            let fitting = MOST_BYTES_AT_ONCE * count / bytes.max(1);
            self.most_at_once = fitting.clamp(1, MOST_AT_ONCE);
        }
    }

    /// A claim failed that asked for so many: perhaps they are too large together.
    fn claim_less(&mut self, limit: usize) {
        self.most_at_once = (limit / 2).max(1);
    }

    fn should_look(&self) -> bool {
        self.lanes.have_no(Claimable::Fresh) || self.looked.elapsed() >= self.look_pause
    }

    fn failed(&mut self) -> Duration {
        let longest = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE);
        let pause = longest.mul_f64(0.5 + 0.5 * fastrand::f64());
        self.failures += 1;
        self.rest_until = Some(Instant::now() + pause);
        pause
    }
}
