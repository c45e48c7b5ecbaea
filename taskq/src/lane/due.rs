//! The lanes of one queue, as a worker knows them.
//!
//! A scan of the table tells in which of them something is due; after that each claim tells how far it came, and
//! which lanes are exhausted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::HashMap;

use super::ageing::Ageing;
use super::expected::Expected;
use super::known::KnownLane;
use super::mark::{MarkedLane, Reach};
use super::patience::Patience;
use super::range::{RangeRequest, is_worth_reserving};
use super::share::{self, Candidate, Share};
use super::suspects::Claimable;
use super::{Lane, LaneHead, LaneKey, Place};

/// After so many claims that brought nothing, though scans saw the same first task, a lane stands still.
const STANDS_STILL_AFTER: u32 = 3;

/// The lanes of one queue, and in which of them this worker believes something to be due.
#[derive(Debug, Default)]
pub(crate) struct DueLanes {
    pub(super) lanes: Vec<KnownLane>,
    ageing: Ageing,
    /// Task types in whose lanes chance decides what is claimed.
    by_chance: Arc<[String]>,
    expected: Expected,
    patience: Patience,
}

impl DueLanes {
    pub(crate) fn new(ageing: Ageing, by_chance: Arc<[String]>) -> Self {
        Self {
            ageing,
            by_chance,
            ..Self::default()
        }
    }

    /// Takes the lane for due from which the last claims brought all that they did, if there is such a one. Returns whether
    /// there is.
    pub(crate) fn expect_more(&mut self) -> bool {
        let Some(expected) = self.expected.lane(Instant::now()) else {
            return false;
        };
        match self.lanes.iter_mut().find(|it| it.lane == expected.lane) {
            Some(known) => known.is_due = true,
            None => self.lanes.push(expected),
        }
        true
    }

    /// Records that nothing was there.
    pub(crate) fn expect_nothing(&mut self) {
        self.expected = Expected::default();
    }

    /// Tells whether nothing of this kind is due.
    pub(crate) fn have_no(&self, claimable: Claimable) -> bool {
        !self.due().any(|known| claimable.includes(&known.lane))
    }

    /// Returns how long until the next task is due, if any is waiting for its time, may start by its rates, or is taken for one that is
    /// being claimed.
    pub(crate) fn next_due_in(&self, now: Instant) -> Option<Duration> {
        let later = self.lanes.iter();
        let later = later.flat_map(|known| {
            let later = known.due_later.into_iter().chain(known.claimed_until);
            later.chain(known.turn.opens())
        });
        later.min().map(|when| when.saturating_duration_since(now))
    }

    /// Returns from where a scan is to look into the lanes that are marked.
    pub(crate) fn marked(&self) -> Vec<MarkedLane<'_>> {
        let marked = self.lanes.iter().filter_map(|known| {
            Some(MarkedLane {
                lane: &known.lane,
                place: known.looked_into_from()?,
            })
        });
        marked.collect()
    }

    /// Returns which of the shares are worth a range of their own: of lanes from which other workers claim too.
    pub(crate) fn worth_reserving<'a>(&self, shares: &'a [Share]) -> Vec<RangeRequest<'a>> {
        // A claim may be full before the turn of another rank comes.
        let best = shares.first().map(|share| share.rank);
        shares
            .iter()
            .filter(|share| Some(share.rank) == best)
            .filter_map(
                |Share {
                     lane, limit, at, ..
                 }| {
                    let known = self.lanes.get(*at)?;
                    if !known.is_shared || known.is_by_chance {
                        return None;
                    }
                    RangeRequest::if_worth_it(lane, *limit, known.cursor.claimed(), known.frontier)
                },
            )
            .collect()
    }

    /// Tells whether no other claim is expected to come to what these shares ask for: each has a range of its own, or is of a lane
    /// from which no other worker claims.
    ///
    /// What was left behind is not among it, nor what a scan finds in an exhausted lane: somebody may have had it, or have it
    /// still. Few tasks are not worth another statement.
    pub(crate) fn are_undisputed(&self, shares: &[Share], limit: usize) -> bool {
        is_worth_reserving(limit)
            && shares.iter().all(|share| {
                self.lanes.get(share.at).is_some_and(|known| {
                    let is_ours = share.range_end.is_some() || !known.is_shared;
                    is_ours && !known.is_by_chance && known.cursor.goes_on()
                })
            })
    }

    /// Divides a claim of `limit` tasks among the lanes.
    pub(crate) fn divide(&mut self, claimable: Claimable, limit: usize) -> Vec<Share> {
        let now = Instant::now();
        let best = self.due().filter(|known| claimable.includes(&known.lane));
        let best = best.map(|known| known.lane.priority).min();
        let best = best.unwrap_or(i16::MIN);
        let due = self.lanes.iter().enumerate();
        let due = due.filter(|(_, known)| known.is_due);
        let mut candidates: Vec<_> = due
            .map(|(at, known)| Candidate {
                lane: &known.lane,
                cursor: known.cursor.place(),
                rank: self
                    .ageing
                    .rank(known.lane.priority, known.waited(now), best),
                is_by_chance: known.is_by_chance,
                at,
            })
            .collect();
        // Where there are more lanes than room, chance decides which of them are served now.
        fastrand::shuffle(&mut candidates);
        share::divide(candidates, claimable, limit)
    }

    /// Returns a share of a lane that stands still, as where a trigger of a user's keeps its tasks.
    pub(crate) fn standing_still<'a>(&self, shares: &'a [Share]) -> Option<&'a Share> {
        shares.iter().find(|share| {
            let known = self.lanes.get(share.at);
            known.is_some_and(|known| known.empty_claims >= STANDS_STILL_AFTER)
        })
    }

    /// Records that the first task of a share's lane can be claimed, or that others have it.
    pub(crate) fn record_moving(&mut self, share: &Share) {
        if let Some(known) = self.lanes.get_mut(share.at) {
            known.empty_claims = 0;
        }
    }

    /// Records what a scan found that ended now.
    pub(crate) fn record_scan(&mut self, reach: Reach, heads: Vec<LaneHead>, now: Instant) {
        let heads = heads.into_iter().map(|head| (head.lane.clone(), head));
        let mut heads: HashMap<Lane, LaneHead> = heads.collect();
        let patience = self.patience.get();
        for known in &mut self.lanes {
            match heads.remove(&known.lane) {
                Some(head) if reach == Reach::Heads => known.record_scan(&head, now, patience),
                Some(head) => known.record_scan_from_mark(&head, now, patience),
                None if reach == Reach::Marks && known.mark.is_none() => {}
                // It holds nothing, or is paused.
                None => known.record_empty(),
            }
        }
        let unknown = heads.into_values();
        let by_chance = &self.by_chance;
        self.lanes.extend(unknown.map(|head| {
            let is_by_chance = by_chance.contains(&head.lane.task_type);
            KnownLane::new(head, is_by_chance, now, patience)
        }));
        self.lanes
            .retain(|known| known.is_due || known.due_later.is_some() || known.mark.is_some());
    }

    /// Takes what others have come to in lanes for the first tasks of these.
    pub(crate) fn begin_at(&mut self, frontiers: Vec<LaneHead>, now: Instant) {
        let patience = self.patience.get();
        self.lanes
            .extend(frontiers.into_iter().map(|frontier| KnownLane {
                is_reserved: true,
                ..KnownLane::new(frontier, false, now, patience)
            }));
    }

    /// Has nothing claimed from some lanes until the next scan.
    pub(crate) fn close(&mut self, mut is_closed: impl FnMut(&Lane) -> bool) {
        for known in self.lanes.iter_mut().filter(|it| it.is_due) {
            known.is_due = !is_closed(&known.lane);
        }
    }

    /// Forgets the lanes that hold nothing: to look into all of them from their heads takes no time.
    pub(crate) fn forget_empty(&mut self) {
        self.lanes
            .retain(|known| known.is_due || known.due_later.is_some());
    }

    /// Records how long a claim took, whatever it brought.
    pub(crate) fn record_claim_took(&mut self, took: Duration) {
        self.patience.record_claim(took);
    }

    /// Records what a claim of `limit` tasks brought: the lane and the place of each task.
    ///
    /// A lane that gave less than its share is exhausted, unless the claim was full before the lane's turn came
    /// or was kept to a range.
    pub(crate) fn record_claimed(
        &mut self,
        shares: &[Share],
        limit: usize,
        tasks: &[(LaneKey<'_>, Place)],
    ) {
        let by_lane = counted_by_lane(tasks);
        let given = |share: &Share| by_lane.get(&share.lane.key()).copied();
        // Lanes have their turns in order, and all had theirs before the last that gave something.
        let turns = match tasks.len() >= limit {
            true => shares.iter().rposition(|it| given(it).is_some()),
            false => Some(shares.len()),
        };
        for (turn, share) in shares.iter().enumerate() {
            let Some(known) = self.lanes.get_mut(share.at) else {
                continue;
            };
            let (count, last) = given(share).unzip();
            let has_whole_lane = share.range_end.is_none();
            let reserved = share.is_reserved.then_some(share.cursor);
            known.record_reserved(reserved);
            let is_exhausted = has_whole_lane
                && turns.is_some_and(|turns| turn < turns)
                && known.is_exhausted_by(count.unwrap_or(0), share.limit);
            if known.is_by_chance {
                // Its cursor stays: what was taken says nothing of what stands before.
            } else if last.is_some() || reserved.is_some() {
                let from = Some(share.cursor);
                known
                    .cursor
                    .record_claimed(from.max(last).unwrap_or(share.cursor));
            }
            match count {
                Some(_) => known.record_brought(),
                None => known.empty_claims += u32::from(is_exhausted),
            }
            if is_exhausted {
                if !known.is_by_chance {
                    known.record_exhausted(reserved);
                }
                known.is_due = false;
            }
            if count.is_some_and(|count| count == tasks.len()) {
                self.expected.record_claimed(known);
            }
        }
    }

    fn due(&self) -> impl Iterator<Item = &KnownLane> {
        self.lanes.iter().filter(|known| known.is_due)
    }
}

/// Returns how many tasks each lane gave, and the place of the last of them.
fn counted_by_lane<'a>(tasks: &[(LaneKey<'a>, Place)]) -> HashMap<LaneKey<'a>, (usize, Place)> {
    let mut by_lane = HashMap::default();
    for (lane, place) in tasks {
        let (count, last) = by_lane.entry(*lane).or_insert((0, *place));
        *count += 1;
        *last = (*last).max(*place);
    }
    by_lane
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::lane::LaneRange;
    use crate::lane::fixtures::{lane, place};

    const FRESH: Claimable = Claimable::Fresh;

    fn scanned(found: &[(Lane, u64)]) -> DueLanes {
        let mut lanes = DueLanes::default();
        let head = |(lane, due_in): &(Lane, u64)| LaneHead {
            due_in: Duration::from_secs(*due_in),
            ..head(lane.clone(), 0)
        };
        let heads = found.iter().map(head).collect();
        lanes.record_scan(Reach::Heads, heads, Instant::now());
        lanes
    }

    fn head(lane: Lane, first: i64) -> LaneHead {
        LaneHead {
            lane,
            first: Some(place(first)),
            due_in: Duration::ZERO,
            scanned_at: DateTime::UNIX_EPOCH,
            frontier: None,
            others: 0,
        }
    }

    /// Scans a lane from which others claim too.
    fn scan_shared(lanes: &mut DueLanes, first: i64, frontier: Option<i64>) {
        scan_shared_at(lanes, first, frontier, Instant::now());
    }

    fn scan_shared_at(lanes: &mut DueLanes, first: i64, frontier: Option<i64>, now: Instant) {
        let head = LaneHead {
            frontier: frontier.map(place),
            others: 1,
            ..head(lane("a", 0, 0), first)
        };
        lanes.record_scan(Reach::Heads, vec![head], now);
    }

    fn task(task_type: &str, task_id: i64) -> (LaneKey<'_>, Place) {
        let key = LaneKey {
            task_type,
            payload_version: 1,
            crashes: 0,
            priority: 0,
        };
        (key, place(task_id))
    }

    /// Claims from a lane's cursor on, up to this task.
    fn claim_up_to(lanes: &mut DueLanes, task_id: i64) {
        let shares = lanes.divide(FRESH, 1);
        lanes.record_claimed(&shares, 1, &[task("a", task_id)]);
    }

    #[test]
    fn a_lane_by_chance_is_not_exhausted_because_stretches_of_it_overlap() {
        let mut lanes = DueLanes::new(Ageing::default(), Arc::from(["a".to_owned()]));
        let heads = vec![head(lane("a", 0, 0), 0)];
        lanes.record_scan(Reach::Heads, heads, Instant::now());
        let mut claim = |count| {
            let shares = lanes.divide(FRESH, 10);
            let tasks: Vec<_> = (1..=count).map(|n| task("a", n)).collect();
            lanes.record_claimed(&shares, 10, &tasks);
            lanes.have_no(FRESH)
        };
        assert!(!claim(6));
        assert!(claim(4));
    }

    #[test]
    fn a_worse_priority_is_claimed_once_the_better_ones_are_exhausted() {
        let mut lanes = scanned(&[
            (lane("a", 0, 5), 0),
            (lane("b", 0, 0), 0),
            (lane("c", 0, 5), 0),
        ]);
        let shares = lanes.divide(FRESH, 10);
        let limits: Vec<_> = shares.iter().map(|share| share.limit).collect();
        assert_eq!(limits, [10, 5, 5], "b has the whole claim");
        let ten: Vec<_> = (1..=10).map(|n| task("b", n)).collect();
        lanes.record_claimed(&shares, 10, &ten);
        let shares = lanes.divide(FRESH, 10);
        assert_eq!(shares[0].lane.task_type, "b", "it may have more");
        lanes.record_claimed(&shares[..1], 10, &[]);
        assert_eq!(lanes.divide(FRESH, 10).len(), 2);
    }

    #[test]
    fn a_lane_that_gave_its_share_goes_on_from_there() {
        let mut lanes = scanned(&[(lane("a", 0, 0), 0), (lane("b", 0, 0), 0)]);
        let shares = lanes.divide(FRESH, 4);
        lanes.record_claimed(&shares, 4, &[task("a", 7), task("a", 9), task("b", 3)]);
        let shares = lanes.divide(FRESH, 4);
        assert_eq!(shares.len(), 1);
        assert_eq!(shares[0].cursor, place(9));
    }

    #[test]
    fn a_lane_whose_turn_did_not_come_is_not_exhausted() {
        let mut lanes = scanned(&[(lane("a", 0, 0), 0), (lane("b", 0, 0), 0)]);
        let shares = lanes.divide(FRESH, 1);
        lanes.record_claimed(&shares, 1, &[task(&shares[0].lane.task_type, 7)]);
        assert_eq!(lanes.divide(FRESH, 2).len(), 2);
    }

    #[test]
    fn ranges_are_reserved_where_others_claim_and_nothing_was_left_behind() {
        let mut lanes = DueLanes::default();
        let reserved_from = |lanes: &mut DueLanes, limit| {
            let shares = lanes.divide(FRESH, limit);
            let requests = lanes.worth_reserving(&shares);
            requests.first().map(|request| request.cursor.task_id)
        };
        scan_shared(&mut lanes, 1, Some(6));
        let reserved = reserved_from(&mut lanes, 500);
        assert_eq!(reserved, Some(6), "others are claiming what stands before");
        let again = lanes.next_due_in(Instant::now()).expect("a time");
        assert!(
            again <= Duration::from_secs(1),
            "then it was left: {again:?}"
        );
        (0..3).for_each(|_| lanes.record_claim_took(Duration::ZERO));
        scan_shared(&mut lanes, 1, Some(6));
        assert_eq!(reserved_from(&mut lanes, 500), None, "it goes back");
        assert_eq!(lanes.next_due_in(Instant::now()), None);
        claim_up_to(&mut lanes, 5);
        assert_eq!(reserved_from(&mut lanes, 500), None, "6 may have been left");
        claim_up_to(&mut lanes, 7);
        assert_eq!(reserved_from(&mut lanes, 500), Some(7));
        assert_eq!(reserved_from(&mut lanes, 50), None, "it is over soon");
        scan_shared(&mut lanes, 9, Some(20));
        assert_eq!(reserved_from(&mut lanes, 500), Some(7), "nothing was left");
        scan_shared(&mut lanes, 3, Some(20));
        claim_up_to(&mut lanes, 12);
        assert_eq!(
            reserved_from(&mut lanes, 500),
            None,
            "more may have been left"
        );
        let alone = vec![head(lane("a", 0, 0), 30)];
        lanes.record_scan(Reach::Heads, alone, Instant::now());
        assert_eq!(reserved_from(&mut lanes, 500), None, "there is nobody else");
    }

    #[test]
    fn what_nobody_else_is_expected_to_claim_is_undisputed() {
        let of_range = |start, end: Option<i64>| LaneRange {
            lane: lane("a", 0, 0),
            start: place(start),
            end: end.map(place),
        };
        let mut lanes = scanned(&[(lane("a", 0, 0), 0)]);
        let shares = lanes.divide(FRESH, 500);
        assert!(!lanes.are_undisputed(&shares, 500), "it was left perhaps");
        lanes.record_claimed(&shares, 1, &[task("a", 5)]);
        let mut shares = lanes.divide(FRESH, 500);
        assert!(lanes.are_undisputed(&shares, 500));
        assert!(!lanes.are_undisputed(&shares, 50), "they are few");
        scan_shared(&mut lanes, 7, None);
        assert!(!lanes.are_undisputed(&shares, 500), "others may have it");
        shares[0].keep_to(&of_range(10, None));
        assert!(!lanes.are_undisputed(&shares, 500), "the end is nobody's");
        shares[0].keep_to(&of_range(10, Some(510)));
        assert!(lanes.are_undisputed(&shares, 500));
        scan_shared(&mut lanes, 3, None);
        assert!(!lanes.are_undisputed(&shares, 500), "3 was left behind");
        let mut by_chance = DueLanes::new(Ageing::default(), Arc::from(["a".to_owned()]));
        by_chance.record_scan(Reach::Heads, vec![head(lane("a", 0, 0), 0)], Instant::now());
        let shares = by_chance.divide(FRESH, 500);
        by_chance.record_claimed(&shares, 1, &[task("a", 5)]);
        let shares = by_chance.divide(FRESH, 500);
        assert!(!by_chance.are_undisputed(&shares, 500));
    }

    /// Makes a claim that had reserved the tasks from one to another, and brings the last of them.
    fn claim_range(lanes: &mut DueLanes, start: i64, end: i64) {
        let mut shares = lanes.divide(FRESH, 500);
        shares[0].keep_to(&LaneRange {
            lane: lane("a", 0, 0),
            start: place(start),
            end: Some(place(end)),
        });
        lanes.record_claimed(&shares, 500, &[task("a", end)]);
    }

    fn looked_from(lanes: &DueLanes) -> Place {
        lanes.marked()[0].place
    }

    /// Claims what stands behind a lane's frontier, which is too little for a range.
    fn claim_rest(lanes: &mut DueLanes, start: i64, tasks: &[(LaneKey<'_>, Place)]) {
        let mut shares = lanes.divide(FRESH, 500);
        shares[0].keep_to(&LaneRange {
            lane: lane("a", 0, 0),
            start: place(start),
            end: None,
        });
        assert_eq!(shares[0].cursor, place(start));
        lanes.record_claimed(&shares, 500, tasks);
    }

    #[test]
    fn a_lane_of_which_claims_reserve_ranges_is_looked_into_from_its_head_alone() {
        let mut lanes = DueLanes::default();
        scan_shared(&mut lanes, 1, None);
        claim_up_to(&mut lanes, 1);
        assert_eq!(lanes.marked()[0].place, place(0));
        claim_range(&mut lanes, 100, 600);
        assert_eq!(lanes.marked()[0].place, Place::END);
        let not_looked_into = LaneHead {
            first: None,
            others: 1,
            ..head(lane("a", 0, 0), 0)
        };
        lanes.record_scan(Reach::Lanes, vec![not_looked_into], Instant::now());
        assert_eq!(lanes.divide(FRESH, 1)[0].cursor, place(600), "it goes on");
        (0..3).for_each(|_| lanes.record_claim_took(Duration::ZERO));
        scan_shared(&mut lanes, 50, Some(700));
        scan_shared(&mut lanes, 50, Some(800));
        assert_eq!(lanes.divide(FRESH, 1)[0].cursor, place(49), "50 was left");
        let exhausted = lanes.divide(FRESH, 500);
        lanes.record_claimed(&exhausted, 500, &[]);
        assert_ne!(lanes.marked()[0].place, Place::END, "no claim tells more");
    }

    #[test]
    fn a_reserved_lane_that_nobody_else_claims_from_any_more_is_looked_into_again() {
        let mut lanes = DueLanes::default();
        scan_shared(&mut lanes, 1, None);
        claim_range(&mut lanes, 0, 500);
        assert_eq!(lanes.marked()[0].place, Place::END);
        let alone = LaneHead {
            first: None,
            ..head(lane("a", 0, 0), 0)
        };
        lanes.record_scan(Reach::Marks, vec![alone], Instant::now());
        assert!(!lanes.have_no(FRESH), "it was not looked into");
        assert_eq!(lanes.marked()[0].place, place(0));
    }

    #[test]
    fn a_worker_that_begins_where_others_have_come_to_looks_into_other_lanes_alone() {
        let mut lanes = DueLanes::default();
        let reserved = LaneHead {
            frontier: Some(place(700)),
            others: 3,
            ..head(lane("a", 0, 0), 700)
        };
        lanes.begin_at(vec![reserved], Instant::now());
        let shares = lanes.divide(FRESH, 500);
        assert_eq!(shares[0].cursor, place(700));
        assert_eq!(lanes.worth_reserving(&shares).len(), 1);
        assert_eq!(lanes.marked()[0].place, Place::END);
    }

    #[test]
    fn what_is_taken_for_being_claimed_is_looked_at_again_unless_claims_bring_more() {
        let begun_beside = || {
            let mut lanes = DueLanes::default();
            let reserved = LaneHead {
                frontier: Some(place(700)),
                others: 3,
                ..head(lane("a", 0, 0), 700)
            };
            lanes.begin_at(vec![reserved], Instant::now());
            scan_shared(&mut lanes, 5, Some(700));
            lanes
        };
        let mut lanes = begun_beside();
        let nothing = lanes.divide(FRESH, 500);
        assert_eq!(nothing[0].cursor, place(700));
        lanes.record_claimed(&nothing, 500, &[]);
        assert!(lanes.have_no(FRESH));
        assert_eq!(lanes.marked()[0].place, place(4), "as soon as it is time");
        let mut lanes = begun_beside();
        claim_range(&mut lanes, 700, 1_200);
        let nothing = lanes.divide(FRESH, 500);
        lanes.record_claimed(&nothing, 500, &[]);
        assert_eq!(lanes.marked()[0].place, place(699));
    }

    #[test]
    fn a_range_that_others_have_taken_does_not_exhaust_the_lane() {
        let mut lanes = DueLanes::default();
        scan_shared(&mut lanes, 1, None);
        claim_up_to(&mut lanes, 1);
        let mut shares = lanes.divide(FRESH, 500);
        shares[0].keep_to(&LaneRange {
            lane: lane("a", 0, 0),
            start: place(100),
            end: Some(place(600)),
        });
        lanes.record_claimed(&shares, 500, &[task("a", 300)]);
        assert_eq!(lanes.divide(FRESH, 1)[0].cursor, place(300));
        let shares = lanes.divide(FRESH, 500);
        lanes.record_claimed(&shares, 500, &[]);
        assert!(lanes.have_no(FRESH));
    }

    #[test]
    fn a_lane_that_holds_too_little_for_a_range_is_claimed_behind_its_frontier() {
        let mut lanes = DueLanes::default();
        scan_shared(&mut lanes, 1, None);
        claim_range(&mut lanes, 100, 600);
        claim_rest(&mut lanes, 9_000, &[task("a", 9_001)]);
        assert!(lanes.have_no(FRESH), "it had no more");
    }

    #[test]
    fn a_lane_whose_first_task_is_not_due_is_a_time_to_scan_again() {
        let mut lanes = scanned(&[(lane("a", 0, 0), 30), (lane("b", 0, 0), 10)]);
        assert!(lanes.have_no(FRESH));
        assert!(lanes.divide(FRESH, 5).is_empty());
        let next = lanes.next_due_in(Instant::now()).expect("later");
        assert!(next > Duration::from_secs(9) && next <= Duration::from_secs(10));
    }

    #[test]
    fn lanes_that_a_full_claim_passed_by_are_exhausted() {
        let mut lanes = scanned(&[
            (lane("a", 0, 1), 0),
            (lane("b", 0, 2), 0),
            (lane("c", 0, 3), 0),
        ]);
        let shares = lanes.divide(FRESH, 2);
        assert_eq!(shares.len(), 3);
        let two = [task("a", 1), task("b", 1)].map(|(key, place)| {
            let priority = if key.task_type == "a" { 1 } else { 2 };
            (LaneKey { priority, ..key }, place)
        });
        lanes.record_claimed(&shares, 2, &two);
        let left = lanes.divide(FRESH, 5);
        let left: Vec<_> = left.iter().map(|share| share.lane.priority).collect();
        assert_eq!(left, [2, 3], "b may have more, and c had no turn");
    }

    #[test]
    fn an_exhausted_lane_is_looked_into_from_its_mark() {
        let mut lanes = DueLanes::default();
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        lanes.record_scan(Reach::Heads, vec![head(lane("a", 0, 0), 10)], began);
        claim_up_to(&mut lanes, 20);
        let shares = lanes.divide(FRESH, 5);
        lanes.record_claimed(&shares, 5, &[]);
        assert!(lanes.have_no(FRESH));
        lanes.record_scan(Reach::Marks, vec![head(lane("a", 0, 0), 30)], after(1));
        assert_eq!(looked_from(&lanes), place(9), "nothing stood before 10");
        assert_eq!(lanes.divide(FRESH, 5)[0].cursor, place(29));
        lanes.record_scan(Reach::Marks, vec![head(lane("a", 0, 0), 40)], after(2));
        assert_eq!(looked_from(&lanes), place(29));
        lanes.record_scan(Reach::Heads, vec![head(lane("a", 0, 0), 5)], after(3));
        assert_eq!(looked_from(&lanes), place(4), "claims went back there");
    }

    #[test]
    fn an_exhausted_lane_is_looked_into_from_where_nobody_had_reserved_it() {
        let from_after = |seconds| {
            let mut lanes = DueLanes::default();
            let scanned_at = DateTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let shared = LaneHead {
                scanned_at,
                others: 1,
                ..head(lane("a", 0, 0), 10)
            };
            lanes.record_scan(Reach::Heads, vec![shared], Instant::now());
            claim_up_to(&mut lanes, 20);
            assert_eq!(looked_from(&lanes), place(9));
            claim_rest(&mut lanes, 9_000, &[]);
            looked_from(&lanes)
        };
        assert_eq!(from_after(60), place(9_000));
        assert_eq!(from_after(0), place(9), "more may commit before it");
    }

    #[test]
    fn what_was_left_behind_between_the_last_claim_and_the_frontier_is_claimed() {
        let mut lanes = DueLanes::default();
        scan_shared(&mut lanes, 1, None);
        claim_range(&mut lanes, 100, 600);
        claim_rest(&mut lanes, 9_000, &[]);
        assert!(lanes.have_no(FRESH));
        let (head, later) = (Some(9_000), Instant::now() + Duration::from_secs(60));
        for now in [Instant::now(), later] {
            scan_shared_at(&mut lanes, 700, head, now);
        }
        let shares = lanes.divide(FRESH, 500);
        assert_eq!(shares[0].cursor, place(699));
        assert_eq!(lanes.worth_reserving(&shares), [], "700 would be passed");
    }

    #[test]
    fn a_marked_lane_that_a_scan_leaves_out_is_paused_and_looked_into_from_the_same_place_afterwards()
     {
        let mut lanes = scanned(&[(lane("a", 0, 0), 0)]);
        let mark = lanes.marked()[0].place;
        lanes.record_scan(Reach::Marks, Vec::new(), Instant::now());
        assert!(lanes.have_no(FRESH));
        assert_eq!(lanes.marked()[0].place, mark);
        lanes.record_scan(Reach::Marks, vec![head(lane("a", 0, 0), 1)], Instant::now());
        assert!(!lanes.have_no(FRESH));
    }

    #[test]
    fn a_scan_of_the_marked_lanes_says_nothing_of_the_others() {
        let mut lanes = scanned(&[(lane("a", 0, 0), 0), (lane("a", 1, 0), 0)]);
        let suspects = Claimable::Suspects { alone: 1 };
        let nothing = LaneHead {
            first: None,
            ..head(lane("a", 0, 0), 0)
        };
        lanes.record_scan(Reach::Marks, vec![nothing], Instant::now());
        assert!(lanes.have_no(FRESH) && !lanes.have_no(suspects));
        lanes.record_scan(Reach::Lanes, Vec::new(), Instant::now());
        assert!(lanes.have_no(suspects));
        assert_eq!(lanes.marked().len(), 1, "it is known");
        lanes.forget_empty();
        assert!(lanes.marked().is_empty());
    }
}
