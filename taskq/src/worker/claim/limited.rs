//! Claims from limited lanes: one lane at a time, and no more than can start, unless there is plenty of room.
//!
//! Lanes whose tasks have keys of which one runs at a time are claimed so too. Either the task type says so, or an
//! enqueue did. The worker finds the latter out by a claim without regard to keys: it hands the task back, and makes no
//! other such claim of that type.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sqlx::Error;

use super::Claimer;
use super::alone::Alone;
use crate::lane::Share;
use crate::store::{ClaimedTask, LimitedRequest};

impl Claimer<'_> {
    /// Decides by chance whether this claim is for a lane that has claims of its own. If so, returns its share;
    /// otherwise leaves the shares of lanes that have none.
    pub(super) fn keep_one_kind(&self, at: usize, shares: &mut Vec<Share>) -> Option<Alone> {
        if !self.core.limits.has_some() && self.in_turns.is_empty() {
            return None;
        }
        let queue = &self.queues[at].name;
        let limits = &self.core.limits;
        let alone = |share: &Share| -> Option<fn(Share) -> Alone> {
            if self.in_turns.contains(&share.lane.task_type) {
                return Some(Alone::Limited);
            }
            let names = self.core.registry.names_of(&share.lane.task_type);
            let own_name = names.first().copied().unwrap_or_default();
            if limits.bind(queue, own_name) {
                Some(Alone::Limited)
            } else if limits.are_fair(own_name) {
                Some(Alone::Fair)
            } else {
                None
            }
        };
        // Shares stand in an order by chance.
        if let Some(of_kind) = shares.first().and_then(alone) {
            return Some(of_kind(shares.swap_remove(0)));
        }
        shares.retain(|share| alone(share).is_none());
        None
    }

    /// Makes one claim from a limited lane, and holds the leases that it brought.
    pub(super) async fn claim_limited(
        &mut self,
        at: usize,
        share: &Share,
    ) -> Result<Vec<ClaimedTask>, Error> {
        let starts = self.scatter(at, vec![share.clone()]).await?;
        let core = &self.core;
        let queue = &mut self.queues[at];
        let task_type = &share.lane.task_type;
        let takes_turns = self.in_turns.contains(task_type);
        let from_key = queue.lanes.passed_key(share).map(str::to_owned);
        let freed = queue.lanes.freed(share);
        let request = LimitedRequest {
            worker_id: core.worker_id,
            lease_duration: core.settings.lease,
            queue: &queue.name,
            names: &core.registry.names_of(task_type),
            share,
            starts: &starts,
            slots: core.buffers[at].room_to_run_of(task_type),
            from_key: from_key.as_deref(),
            freed,
            is_transactional: self.transactional.contains(task_type),
            takes_turns,
        };
        let began = Instant::now();
        let (leases, end) = match self.store.claim_limited(&request).await {
            Ok(claimed) => claimed,
            Err(error) => {
                queue.pace.record_failed(share.limit);
                self.pass_over(at, std::slice::from_ref(share), error)
                    .await?;
                return Ok(Vec::new());
            }
        };
        let mut tasks = super::take::hold(core, leases, began);
        if !tasks.is_empty() {
            tracing::debug!(
                queue = queue.name,
                claimed = tasks.len(),
                "claimed within limits"
            );
        }
        // What waits for its turn stands before what was taken.
        queue.record_limited(share, &tasks, end, takes_turns);
        if let Some(drain) = &core.settings.drain
            && !tasks.is_empty()
        {
            drain.record_claimed(tasks.len());
        }
        super::take::sort(&mut tasks, &starts);
        Ok(tasks)
    }

    /// Returns those of claimed tasks that wait for no turn. It hands the others back, which were claimed without
    /// regard to turns.
    pub(super) async fn keep_out_of_turn(
        &mut self,
        at: usize,
        tasks: Vec<ClaimedTask>,
    ) -> Vec<ClaimedTask> {
        if !tasks.iter().any(|task| task.metadata.takes_turns()) {
            return tasks;
        }
        let (in_turns, others) = tasks
            .into_iter()
            .partition::<Vec<_>, _>(|task| task.metadata.takes_turns());
        let names = in_turns.iter().map(|task| task.task_type.clone());
        self.in_turns.extend(names);
        self.hand_back(in_turns).await;
        self.queues[at].idle.record_notified();
        others
    }

    /// Hands back what is limited and has not started, where limits have changed.
    pub(super) async fn hand_back_limited(&mut self) {
        if !self.core.limits.take_changed() {
            return;
        }
        for at in 0..self.core.buffers.len() {
            let (buffer, queue) = (&self.core.buffers[at], &self.core.queue_names[at]);
            let limited = buffer.take_of(|task_type| {
                let names = self.core.registry.names_of(task_type);
                let own_name = names.first();
                own_name.is_some_and(|name| self.core.limits.bind(queue, name))
            });
            self.hand_back(limited).await;
        }
    }

    /// Gives rates back what tasks have cost that have not started.
    pub(super) async fn return_starts(&mut self, tasks: &[ClaimedTask]) {
        let mut unstarted = BTreeMap::new();
        let limited = tasks.iter().map(|task| task.lease_id);
        for lease_id in limited.filter(|lease_id| self.core.held.is_limited(*lease_id)) {
            *unstarted.entry(lease_id).or_insert(0) += 1;
        }
        if unstarted.is_empty() {
            return;
        }
        let unstarted: Vec<_> = unstarted.into_iter().collect();
        if let Err(error) = self.store.return_starts(&unstarted).await {
            // Then fewer start than might.
            tracing::debug!(%error, "cannot give back what tasks have cost that did not start");
        }
    }

    /// Has limited lanes claimed from that were full, where limited tasks have ended.
    pub(super) fn open_limited(&mut self) {
        let Some(ended) = self.core.held.take_limited_left() else {
            return;
        };
        let registry = &self.core.registry;
        let own_name = |task_type: &str| registry.names_of(task_type).first().copied();
        for queue in &mut self.queues {
            queue.open_limited(|lane| {
                let of_lane = own_name(&lane.task_type);
                let ended = ended.iter().filter(|it| own_name(&it.task_type) == of_lane);
                // Two names of a type may have one key. Of none it is known where one is not.
                let keys: Option<BTreeSet<String>> = ended.map(|it| it.key.clone()).collect();
                keys.unwrap_or_default().into_iter().collect()
            });
        }
    }
}
