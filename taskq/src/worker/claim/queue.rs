//! One queue as its worker sees it: its due lanes, its pace, and whether it is idle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::idle::{Idle, LONGEST_WITH_SUSPECTS};
use super::pace::Pace;
use crate::lane::suspects::Claimable;
use crate::lane::{
    Ageing, Brakes, DueLanes, FailingTurns, FairEnd, Lane, LaneHead, LimitedEnd, Pauses, Reach,
    RefusedLanes, Share,
};
use crate::store::ClaimedTask;

/// One queue, as its worker sees it.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(super) name: String,
    pub(super) lanes: DueLanes,
    pub(super) refused: RefusedLanes,
    pub(super) failing_turns: FailingTurns,
    pub(super) pace: Pace,
    pub(super) idle: Idle,
    /// Whether there is no room for what is due, though there is for tasks that run in batches, or for others than those.
    pub(super) is_crowded: bool,
    /// When the next of the lanes that brakes have closed is worth a probe.
    next_probe: Option<Instant>,
    /// When the next pause of anything ends by itself.
    next_pause_end: Option<Instant>,
    /// Whether a claim has asked for suspects since the last scan.
    has_asked_for_suspects: bool,
    /// Whether an enqueue has notified this worker, and neither a scan nor a claim has followed.
    is_notified: bool,
    /// Whether this worker is only starting.
    begins: bool,
    /// How many workers claim from its lanes, this one included.
    workers: u32,
}

impl Queue {
    pub(super) fn new(name: &str, ageing: Ageing, by_chance: Arc<[String]>) -> Self {
        Self {
            name: name.to_owned(),
            lanes: DueLanes::new(ageing, by_chance),
            refused: RefusedLanes::default(),
            failing_turns: FailingTurns::default(),
            pace: Pace::new(Instant::now()),
            idle: Idle::default(),
            is_crowded: false,
            next_probe: None,
            next_pause_end: None,
            has_asked_for_suspects: false,
            is_notified: false,
            begins: true,
            workers: 1,
        }
    }

    /// Records that an enqueue has notified this worker.
    pub(super) fn record_notified(&mut self) {
        self.idle.record_notified();
        self.is_notified = true;
    }

    /// Tells whether to claim before a scan has looked, from the lane in which tasks came before. A task that comes to an idle
    /// worker then starts after one statement in place of two.
    pub(super) fn should_guess(&mut self) -> bool {
        let is_notified = std::mem::take(&mut self.is_notified);
        is_notified && self.lanes.have_no(Claimable::Fresh) && self.lanes.expect_more()
    }

    /// Returns how thoroughly to scan before the next claim, if at all.
    pub(super) fn next_scan(&self) -> Option<Reach> {
        let now = Instant::now();
        if self.lanes.have_no(Claimable::Fresh) {
            return Some(self.pace.reach_of_empty(now));
        }
        self.pace.is_scan_due(now).then(|| self.pace.reach(now))
    }

    /// Tells once whether this worker is only starting.
    pub(super) fn begins(&mut self) -> bool {
        std::mem::take(&mut self.begins)
    }

    /// Has claims begin where others have come to, and the first scan from the heads wait.
    pub(super) fn begin_at(&mut self, mut frontiers: Vec<LaneHead>) {
        let now = Instant::now();
        frontiers.retain(LaneHead::is_shared);
        if !frontiers.is_empty() {
            self.record_workers(&frontiers);
            self.pace.begin_beside(now, self.workers, fastrand::f64());
        }
        self.lanes.begin_at(frontiers, now);
    }

    /// Has the next scan look into the lanes from their heads.
    pub(super) fn allow_scan_from_heads(&mut self) {
        self.begins = false;
        self.pace.allow_scan_from_heads();
    }

    /// Tells whether the next claim is one for suspects: there is one after each scan.
    pub(super) fn is_turn_of(&self, suspects: Claimable) -> bool {
        !self.has_asked_for_suspects && !self.lanes.have_no(suspects)
    }

    /// Returns how long the queue pauses at most.
    pub(super) fn longest_pause(&self, poll_interval: Duration) -> Duration {
        if self.lanes.have_no(Claimable::Suspects { alone: 1 }) {
            poll_interval
        } else {
            LONGEST_WITH_SUSPECTS.min(poll_interval)
        }
    }

    /// Returns how long until there is a reason to scan again: until the next task is due, until the scan
    /// from the heads that was not allowed, until the next probe, or until the end of a pause.
    pub(super) fn next_scan_in(&self, now: Instant) -> Option<Duration> {
        let next_due_in = self.lanes.next_due_in(now);
        let missing = self.pace.scan_from_heads_missing(now);
        let ends = self.next_probe.into_iter().chain(self.next_pause_end);
        let ends = ends.map(|end| end.saturating_duration_since(now));
        next_due_in.into_iter().chain(missing).chain(ends).min()
    }

    /// Records how many workers claim from lanes of the queue, if any was found.
    pub(super) fn record_workers(&mut self, heads: &[LaneHead]) {
        if let Some(others) = heads.iter().map(|head| head.others).max() {
            self.workers = others.saturating_add(1);
        }
    }

    pub(super) fn record_scan(&mut self, reach: Reach, heads: Vec<LaneHead>, took: Duration) {
        let now = Instant::now();
        self.lanes.record_scan(reach, heads, now);
        self.lanes.close(|lane| self.refused.is_closed(lane, now));
        if self.pace.record_scan(now, reach, took, self.workers) {
            self.lanes.forget_empty();
        }
        self.has_asked_for_suspects = false;
    }

    /// Has nothing claimed from lanes that brakes have closed.
    pub(super) fn close_braked(&mut self, brakes: &Brakes) {
        self.next_probe = None;
        if !brakes.has_some() {
            return;
        }
        let now = Instant::now();
        let next_probe = &mut self.next_probe;
        self.lanes.close(|lane| {
            let until = brakes.closed_until(lane, now);
            *next_probe = (*next_probe).into_iter().chain(until).min();
            until.is_some()
        });
    }

    /// Has nothing claimed from lanes that are paused.
    pub(super) fn close_paused(&mut self, pauses: &Pauses) {
        self.next_pause_end = None;
        if !pauses.has_some() {
            return;
        }
        let now = Instant::now();
        self.next_pause_end = pauses.next_end(now);
        let name = &self.name;
        self.lanes
            .close(|lane| pauses.hold(name, &lane.task_type, now));
    }

    /// Leaves of a claim's shares those of lanes that no brake has closed, and one for a probe if it is time.
    pub(super) fn keep_braked_out(&mut self, brakes: &Brakes, shares: &mut Vec<Share>) {
        let next_probe = brakes.narrow(shares, Instant::now());
        self.next_probe = self.next_probe.into_iter().chain(next_probe).min();
    }

    /// Has claims made again from limited lanes that were full, because something has ended: of which keys of a lane, if
    /// it is known.
    pub(super) fn open_limited(&mut self, freed: impl Fn(&Lane) -> Vec<String>) {
        self.lanes.open_limited(freed, Instant::now());
        self.idle.record_notified();
    }

    /// Has claims made again from limited lanes for which it is time.
    pub(super) fn open_timed(&mut self) {
        self.lanes.open_timed(Instant::now());
    }

    /// Records what a claim from a limited lane brought and told, and whether the next begins where it did.
    pub(super) fn record_limited(
        &mut self,
        share: &Share,
        tasks: &[ClaimedTask],
        end: LimitedEnd,
        keeps_place: bool,
    ) {
        let last = tasks.iter().map(ClaimedTask::place).max();
        let last = last.filter(|_| !keeps_place);
        self.lanes
            .record_limited(share, tasks.len(), last, end, Instant::now());
        self.refused.record_claimed(std::slice::from_ref(share));
        let bytes = tasks.iter().map(ClaimedTask::size).sum();
        self.pace.record_claimed(tasks.len(), bytes);
    }

    /// Records what a claim from a lane with fair turns brought and told.
    pub(super) fn record_fair(&mut self, share: &Share, tasks: &[ClaimedTask], end: FairEnd) {
        self.lanes.record_fair(share, tasks.len(), end);
        self.refused.record_claimed(std::slice::from_ref(share));
        let bytes = tasks.iter().map(ClaimedTask::size).sum();
        self.pace.record_claimed(tasks.len(), bytes);
    }

    pub(super) fn record_turn(&mut self, claimable: Claimable) {
        self.has_asked_for_suspects |= claimable != Claimable::Fresh;
    }

    /// Records what a claim of `limit` tasks brought.
    pub(super) fn record_claimed(&mut self, shares: &[Share], limit: usize, tasks: &[ClaimedTask]) {
        let places: Vec<_> = tasks
            .iter()
            .map(|task| (task.lane(), task.place()))
            .collect();
        self.lanes.record_claimed(shares, limit, &places);
        self.refused.record_claimed(shares);
        let bytes = tasks.iter().map(ClaimedTask::size).sum();
        self.pace.record_claimed(tasks.len(), bytes);
    }
}
