//! One claim: of which lanes, how much of each, and what to do where Postgres refuses it.

use std::time::{Duration, Instant};

use sqlx::Error;
use uuid::Uuid;

use super::Claimer;
use super::alone::Alone;
use crate::lane::suspects::Claimable;
use crate::lane::{Share, scatter};
use crate::store::{ClaimRequest, ClaimedLease, ClaimedTask, Refusal, Sharing, has_met_others};
use crate::worker::shared::Core;

/// How long a task is put off that Postgres does not let a claim take.
const PUT_OFF: Duration = Duration::from_secs(5 * 60);

/// How long a lane is closed that has a task which can be neither claimed nor put off.
const CLOSED_FOR: Duration = Duration::from_secs(5);

impl Claimer<'_> {
    /// Makes one claim of no more than `most` tasks, and holds the leases that it brought.
    pub(super) async fn claim_tasks(
        &mut self,
        at: usize,
        claimable: Claimable,
        most: usize,
    ) -> Result<Vec<ClaimedTask>, Error> {
        let room = self.room_for(at, claimable);
        let queue = &mut self.queues[at];
        let drain = self.core.settings.drain.as_ref();
        let most = most.min(drain.map_or(usize::MAX, |drain| drain.left()));
        let limit = room.min(queue.pace.most_at_once()).min(most);
        if limit == 0 {
            // Handlers have slowed down since there was room.
            return Ok(Vec::new());
        }
        let mut shares = queue.lanes.divide(claimable, limit);
        let failing = &self.core.failing;
        failing.set_apart(&mut shares, claimable, limit, &mut queue.failing_turns);
        queue.refused.narrow(&mut shares);
        queue.keep_braked_out(&self.core.brakes, &mut shares);
        let limit = self.keep_what_fits(at, claimable, &mut shares, limit);
        match self.keep_one_kind(at, &mut shares) {
            Some(Alone::Limited(share)) => return self.claim_limited(at, &share).await,
            Some(Alone::Fair(share)) => return self.claim_fair(at, &share, claimable).await,
            None => {}
        }
        let queue = &mut self.queues[at];
        if shares.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(share) = queue.lanes.standing_still(&shares) {
            if self.put_off(at, share).await? {
                return Ok(Vec::new());
            }
            self.queues[at].lanes.record_moving(share);
        }
        self.reserve(at, &mut shares).await?;
        let shares = self.scatter(at, shares).await?;
        let sharing = match self.core.buffers[at].leased_batches(&shares) {
            Some(size) => Sharing::Batches(size),
            None => Sharing::of(&shares, &self.transactional),
        };
        let may_be_undisputed = self.store.may_delete_unlocked();
        let queue = &mut self.queues[at];
        let mut request = ClaimRequest {
            lease_id: Uuid::new_v4(),
            worker_id: self.core.worker_id,
            lease_duration: self.core.settings.lease,
            queue: &queue.name,
            limit,
            shares: &shares,
            sharing,
            is_undisputed: may_be_undisputed && queue.lanes.are_undisputed(&shares, limit),
            is_durable: claimable.must_be_durable(),
        };
        let began = Instant::now();
        let mut claim = self.store.claim(&request).await;
        if request.is_undisputed && claim.as_ref().is_err_and(has_met_others) {
            request.is_undisputed = false;
            claim = self.store.claim(&request).await;
        }
        queue.lanes.record_claim_took(began.elapsed());
        let leases = match claim {
            Ok(leases) => leases,
            Err(error) => {
                queue.pace.record_failed(limit);
                self.pass_over(at, &shares, error).await?;
                return Ok(Vec::new());
            }
        };
        let tasks = hold(&self.core, leases, began);
        let mut tasks = self.keep_out_of_turn(at, tasks).await;
        let queue = &mut self.queues[at];
        if !tasks.is_empty() {
            tracing::debug!(queue = queue.name, claimed = tasks.len(), "claimed");
        }
        queue.record_claimed(&shares, limit, &tasks);
        if let Some(drain) = &self.core.settings.drain
            && !tasks.is_empty()
        {
            drain.record_claimed(tasks.len());
        }
        sort(&mut tasks, &shares);
        Ok(tasks)
    }

    /// Finds the task that Postgres does not let a claim take, by claims of less and less, and puts it off.
    pub(super) async fn pass_over(
        &mut self,
        at: usize,
        shares: &[Share],
        error: Error,
    ) -> Result<(), Error> {
        let is_about_a_row = Refusal::of(&error).is_some_and(|refusal| refusal.is_about_a_row());
        if self.store.is_lent() || !is_about_a_row {
            return Err(error);
        }
        let queue = &mut self.queues[at];
        let Some(share) = queue.refused.record_refused(shares) else {
            return Ok(());
        };
        match self.put_off(at, share).await? {
            true => Ok(()),
            // Another worker has it, or what was in the way is something else.
            false => Err(error),
        }
    }

    /// Puts off the first task of a share's lane, if Postgres does not let a claim take it. Returns whether that is so.
    pub(super) async fn put_off(&mut self, at: usize, share: &Share) -> Result<bool, Error> {
        let queue = &mut self.queues[at];
        let Some(head) = self.store.put_off(&queue.name, share, PUT_OFF).await? else {
            return Ok(false);
        };
        let mut alone = [share.clone()];
        alone[0].limit = 1;
        queue.refused.record_refused(&alone);
        let (task_id, refusal) = (head.place.task_id, head.refusal);
        let task_type = &share.lane.task_type;
        if head.is_put_off {
            tracing::error!(
                task_id,
                task_type,
                "task put off for {PUT_OFF:?}: Postgres does not let it be claimed: {refusal}"
            );
        } else {
            tracing::error!(
                task_id,
                task_type,
                "task passed over: Postgres lets it be neither claimed nor put off: {refusal}"
            );
            let opens = Instant::now() + CLOSED_FOR;
            queue.refused.close(&share.lane, opens);
            let passed = [(share.lane.key(), head.place)];
            queue.lanes.record_claimed(&alone, 1, &passed);
        }
        Ok(true)
    }

    /// Has those shares begin at places by chance whose lanes want it.
    pub(super) async fn scatter(
        &mut self,
        at: usize,
        shares: Vec<Share>,
    ) -> Result<Vec<Share>, Error> {
        let by_chance: Vec<&Share> = shares.iter().filter(|share| share.is_by_chance).collect();
        if by_chance.is_empty() {
            return Ok(shares);
        }
        let queue = &self.queues[at];
        let stretches = self.store.anywhere(&queue.name, &by_chance).await?;
        Ok(scatter(shares, &stretches))
    }

    fn room_for(&self, at: usize, claimable: Claimable) -> usize {
        let buffer = &self.core.buffers[at];
        match claimable {
            Claimable::Fresh => {
                buffer.adjust_prefetch();
                buffer.room()
            }
            Claimable::Suspects { .. } => buffer.room_to_run(),
        }
    }

    /// Reserves ranges for those shares that are worth it.
    async fn reserve(&mut self, at: usize, shares: &mut [Share]) -> Result<(), Error> {
        let queue = &self.queues[at];
        let requests = queue.lanes.worth_reserving(shares);
        if requests.is_empty() {
            return Ok(());
        }
        let ranges = self.store.reserve(&queue.name, &requests).await?;
        for share in shares {
            if let Some(range) = ranges.iter().find(|range| range.lane == share.lane) {
                share.keep_to(range);
            }
        }
        Ok(())
    }
}

/// Brings tasks into the order in which they run: by priority, then the oldest first, then those by chance.
pub(super) fn sort(tasks: &mut [ClaimedTask], shares: &[Share]) {
    let by_chance: Vec<&Share> = shares.iter().filter(|share| share.is_by_chance).collect();
    if by_chance.is_empty() {
        tasks.sort_unstable_by_key(|task| (task.priority, task.place()));
        return;
    }
    tasks.sort_by_cached_key(|task| {
        let is_by_chance = by_chance.iter().any(|it| it.lane.key() == task.lane());
        let chance = is_by_chance.then(|| fastrand::u64(..));
        (task.priority, chance, task.place())
    });
}

/// Adds claimed leases to those that this worker holds, and returns their tasks.
pub(super) fn hold(core: &Core, leases: Vec<ClaimedLease>, claimed: Instant) -> Vec<ClaimedTask> {
    let mut tasks = Vec::with_capacity(leases.iter().map(|lease| lease.tasks.len()).sum());
    for lease in leases {
        core.held.record_claimed(&lease, claimed);
        tasks.extend(lease.tasks);
    }
    tasks
}
