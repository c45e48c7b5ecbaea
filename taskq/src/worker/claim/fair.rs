//! Claims from lanes whose keys have fair turns: one lane at a time, from where the last claim ended in the round of the
//! keys.

use std::time::Instant;

use sqlx::Error;
use uuid::Uuid;

use super::Claimer;
use super::take::hold;
use crate::lane::suspects::Claimable;
use crate::lane::{FairEnd, Share};
use crate::store::{ClaimedTask, FairRequest, Refusal};

impl Claimer<'_> {
    /// Makes one claim in fair turns, and holds the leases that it brought.
    pub(super) async fn claim_fair(
        &mut self,
        at: usize,
        share: &Share,
        claimable: Claimable,
    ) -> Result<Vec<ClaimedTask>, Error> {
        let shares = std::slice::from_ref(share);
        if self.queues[at].lanes.standing_still(shares).is_some() {
            if self.put_off_next(at, share).await? {
                return Ok(Vec::new());
            }
            self.queues[at].lanes.record_moving(share);
        }
        let core = &self.core;
        let queue = &mut self.queues[at];
        let (place, looks_for_keyless) = queue.lanes.round(share);
        let request = FairRequest {
            lease_id: Uuid::new_v4(),
            worker_id: core.worker_id,
            lease_duration: core.settings.lease,
            queue: &queue.name,
            names: &core.registry.names_of(&share.lane.task_type),
            share,
            place: &place,
            looks_for_keyless,
            is_transactional: self.transactional.contains(&share.lane.task_type),
            is_durable: claimable.must_be_durable(),
        };
        let began = Instant::now();
        let (leases, end) = match self.store.claim_fair(&request).await {
            Ok(claimed) => claimed,
            Err(error) => {
                queue.pace.record_failed(share.limit);
                self.pass_over_next(at, share, error).await?;
                return Ok(Vec::new());
            }
        };
        let tasks = hold(core, leases, began);
        if !tasks.is_empty() {
            tracing::debug!(
                queue = queue.name,
                claimed = tasks.len(),
                "claimed in fair turns"
            );
        }
        queue.record_fair(share, &tasks, end);
        if let Some(drain) = &core.settings.drain
            && !tasks.is_empty()
        {
            drain.record_claimed(tasks.len());
        }
        Ok(self.keep_out_of_turn(at, tasks).await)
    }

    /// Finds the task that Postgres does not let a claim take, by claims of less and less, and puts it off.
    async fn pass_over_next(
        &mut self,
        at: usize,
        share: &Share,
        error: Error,
    ) -> Result<(), Error> {
        let is_about_a_row = Refusal::of(&error).is_some_and(|refusal| refusal.is_about_a_row());
        if self.store.is_lent() || !is_about_a_row {
            return Err(error);
        }
        let refused = &mut self.queues[at].refused;
        if refused
            .record_refused(std::slice::from_ref(share))
            .is_none()
        {
            return Ok(());
        }
        match self.put_off_next(at, share).await? {
            true => Ok(()),
            // Another worker has it, or what was in the way is something else.
            false => Err(error),
        }
    }

    /// Puts off the task that a claim of one would take, if Postgres does not let it be taken. Returns whether that is
    /// so. Then the turn of its key is over.
    async fn put_off_next(&mut self, at: usize, share: &Share) -> Result<bool, Error> {
        let core = &self.core;
        let queue = &self.queues[at];
        let (place, _) = queue.lanes.round(share);
        let mut one = share.clone();
        one.limit = 1;
        let request = FairRequest {
            lease_id: Uuid::nil(),
            worker_id: core.worker_id,
            lease_duration: core.settings.lease,
            queue: &queue.name,
            names: &core.registry.names_of(&share.lane.task_type),
            share: &one,
            place: &place,
            looks_for_keyless: false,
            is_transactional: false,
            is_durable: false,
        };
        let Some((first, behind)) = self.store.next_fair(&request).await? else {
            return Ok(false);
        };
        one.cursor = first.before();
        let is_put_off = self.put_off(at, &one).await?;
        if is_put_off {
            let end = FairEnd {
                place: behind.behind(),
                is_end: false,
            };
            self.queues[at].lanes.record_fair(share, 0, end);
        }
        Ok(is_put_off)
    }
}
