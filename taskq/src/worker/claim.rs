//! Taking tasks: when to look, what to claim, and when to sleep.
//!
//! Run by the worker's main loop, one queue after the other on one connection. A queue with room is
//! claimed from without a pause for as long as claims bring something. When nothing is due the queue
//! rests, and the race with an enqueue that commits just then is closed in three steps: rest a few
//! milliseconds; register as asleep, so that enqueues notify, and look once more; then wait for a
//! notification. An enqueue whose transaction looked for sleepers before the registration, and
//! commits after the last look, is the one that is missed: for it the worker looks again after 20,
//! 100, 500 milliseconds and so on up to the poll interval.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Error;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Core;
use super::listen::Wake;
use crate::faults;
use crate::lanes::{Floor, Lanes, Taken};
use crate::store::{self, ClaimRequest, ClaimedRow, Link};

/// How long a queue rests after it was found empty the first time, the second time and so on; then
/// for the poll interval.
const NAPS: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// How long the lanes found by a look are believed at least while claims bring something. What
/// appears in a new lane, or before a floor, waits so long at the most under load.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A look is repeated so rarely that it takes a twentieth of the time, however long it takes.
const LOOK_SHARE: u32 = 20;

/// How long to wait after the first failure of the database; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Claims for all queues of a worker.
pub(super) struct Claimer {
    core: Arc<Core>,
    link: Link,
    task_types: Vec<String>,
    transactional: Vec<String>,
    queues: Vec<Queue>,
    /// Whose turn it is.
    next_queue: usize,
}

/// One queue, as its worker sees it.
struct Queue {
    name: String,
    concurrency: usize,
    running: usize,
    lanes: Lanes,
    looked: Instant,
    look_pause: Duration,
    /// When to look again, while nothing is to be had.
    rest_until: Option<Instant>,
    /// Fruitless looks since the last claim that brought something.
    naps: usize,
    /// Claims that brought something since the last fruitless look.
    streak: u32,
    asleep_until: Option<Instant>,
    failures: u32,
}

/// A task that this worker has a lease on.
pub(super) struct Claimed {
    pub(super) queue: usize,
    pub(super) row: ClaimedRow,
    /// Cancelled when the lease is lost.
    pub(super) lost: CancellationToken,
}

impl Claimer {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let queues = core
            .settings
            .queues
            .iter()
            .map(|(name, concurrency)| Queue::new(name, *concurrency))
            .collect();
        Self {
            link: Link::new(core.pool.clone()),
            task_types: core.registry.names(),
            transactional: core.registry.transactional_names(),
            queues,
            next_queue: 0,
            core,
        }
    }

    /// Claims from a queue that has room and does not rest, each in its turn. Returns `None` if
    /// there is none.
    ///
    /// # Cancel safety
    ///
    /// What a claim under way was taking stays in its lease until that runs out.
    pub(super) async fn claim(&mut self) -> Option<Vec<Claimed>> {
        let count = self.queues.len();
        let at = (0..count)
            .map(|turn| (self.next_queue + turn) % count)
            .find(|at| self.queues[*at].is_ready())?;
        self.next_queue = at + 1;
        let claimed = self.claim_from(at).await.unwrap_or_else(|error| {
            let queue = &mut self.queues[at];
            let pause = queue.failed();
            tracing::warn!(queue = queue.name, %error, ?pause, "claim failed; trying again");
            Vec::new()
        });
        Some(claimed)
    }

    /// Returns when to claim again if nothing else happens; `None` while all queues are full.
    pub(super) fn next_claim(&self) -> Option<Instant> {
        self.queues
            .iter()
            .filter(|queue| queue.room() > 0)
            .map(|queue| queue.rest_until.unwrap_or_else(Instant::now))
            .min()
    }

    pub(super) fn started(&mut self, queue: usize) {
        self.queues[queue].running += 1;
    }

    pub(super) fn ended(&mut self, queue: usize) {
        self.queues[queue].running -= 1;
    }

    pub(super) fn woken(&mut self, wake: &Wake) {
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

    pub(super) fn queue_name(&self, queue: usize) -> &str {
        &self.queues[queue].name
    }

    // The claim is the last call that may fail: what it brought must be run.
    async fn claim_from(&mut self, at: usize) -> Result<Vec<Claimed>, Error> {
        let queue = &mut self.queues[at];
        // A single task does not end the sleep: the next look will find the queue empty again.
        if queue.streak >= 2 && queue.asleep_until.take().is_some() {
            self.unregister(at).await?;
        }
        if self.queues[at].should_look() {
            self.look(at).await?;
        }
        if self.queues[at].lanes.is_empty() {
            self.rest(at).await?;
            return Ok(Vec::new());
        }
        let tasks = self.claim_lanes(at).await?;
        let queue = &mut self.queues[at];
        queue.failures = 0;
        if !tasks.is_empty() {
            queue.naps = 0;
            queue.streak += 1;
        } else if queue.lanes.is_empty() {
            // Others have what was due.
            self.rest(at).await?;
        }
        Ok(tasks)
    }

    /// Finds the lanes that hold something.
    async fn look(&mut self, at: usize) -> Result<(), Error> {
        let queue = &mut self.queues[at];
        let began = Instant::now();
        let (schema, task_types) = (self.core.settings.schema, &self.task_types);
        let found = self
            .link
            .call(async |db| store::lanes(db, schema, &queue.name, task_types).await)
            .await?;
        queue.lanes.replace(found);
        queue.looked = Instant::now();
        queue.look_pause = LOOK_PAUSE.max(began.elapsed() * LOOK_SHARE);
        Ok(())
    }

    async fn claim_lanes(&mut self, at: usize) -> Result<Vec<Claimed>, Error> {
        let queue = &mut self.queues[at];
        let limit = queue.room();
        let shares = queue.lanes.shares(limit);
        let request = ClaimRequest {
            lease_id: Uuid::new_v4(),
            worker_id: self.core.worker_id,
            lease_duration: self.core.settings.lease,
            queue: &queue.name,
            limit,
            shares: &shares,
            transactional: &self.transactional,
        };
        let schema = self.core.settings.schema;
        let began = Instant::now();
        let rows = self
            .link
            .call(async |db| store::claim(db, schema, &request).await)
            .await?;
        let taken: Vec<Taken<'_>> = rows.iter().map(taken).collect();
        queue.lanes.claimed(&shares, limit, &taken);
        if !rows.is_empty() {
            tracing::debug!(queue = queue.name, claimed = rows.len(), "claimed");
        }
        let mut counts: HashMap<Uuid, usize> = HashMap::new();
        for row in &rows {
            *counts.entry(row.lease_id).or_default() += 1;
        }
        let leases: HashMap<Uuid, CancellationToken> = counts
            .into_iter()
            .map(|(id, count)| (id, self.core.leases.insert(id, count, began)))
            .collect();
        let claimed = rows.into_iter().map(|row| Claimed {
            queue: at,
            lost: leases[&row.lease_id].clone(),
            row,
        });
        Ok(claimed.collect())
    }

    /// Nothing is due: decides when to look again, and falls asleep by and by.
    async fn rest(&mut self, at: usize) -> Result<(), Error> {
        let settings = &self.core.settings;
        let queue = &mut self.queues[at];
        queue.streak = 0;
        queue.failures = 0;
        let longest = settings.poll_interval;
        let nap = NAPS
            .get(queue.naps)
            .copied()
            .unwrap_or(longest)
            .min(longest);
        let nap = match faults::is_planted("short_is_empty") {
            true => longest,
            false => nap,
        };
        let now = Instant::now();
        let registered = queue
            .asleep_until
            .is_some_and(|until| until > now + longest);
        if settings.listen && queue.naps > 0 && !registered {
            let duration = longest * 3 + NAPS[NAPS.len() - 1];
            let (schema, worker_id) = (settings.schema, self.core.worker_id);
            self.link
                .call(async |db| {
                    store::sleep(db, schema, worker_id, &[&queue.name], duration).await
                })
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
        let (schema, worker_id) = (self.core.settings.schema, self.core.worker_id);
        let queue = self.queues[at].name.as_str();
        self.link
            .call(async |db| store::wake(db, schema, worker_id, &[queue]).await)
            .await
    }
}

fn taken(row: &ClaimedRow) -> Taken<'_> {
    Taken {
        task_type: &row.task_type,
        priority: row.priority,
        place: Floor {
            run_at: row.run_at,
            task_id: row.task_id,
        },
    }
}

impl Queue {
    fn new(name: &str, concurrency: usize) -> Self {
        Self {
            name: name.to_owned(),
            concurrency,
            running: 0,
            lanes: Lanes::default(),
            looked: Instant::now(),
            look_pause: Duration::ZERO,
            rest_until: None,
            naps: 0,
            streak: 0,
            asleep_until: None,
            failures: 0,
        }
    }

    fn room(&self) -> usize {
        self.concurrency.saturating_sub(self.running)
    }

    fn is_ready(&self) -> bool {
        self.room() > 0 && self.rest_until.is_none_or(|until| until <= Instant::now())
    }

    fn should_look(&self) -> bool {
        self.lanes.is_empty() || self.looked.elapsed() >= self.look_pause
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
