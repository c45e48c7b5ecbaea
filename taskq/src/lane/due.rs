//! The lanes of one queue in which a worker believes something to be due.
//!
//! A scan of the table tells it which; after that each claim tells how far it came, and which lanes are exhausted.

use std::collections::HashMap;
use std::time::Duration;

use super::cursor::Cursor;
use super::range::RangeRequest;
use super::share::{self, Share};
use super::suspects::Claimable;
use super::{Lane, LaneHead, LaneKey, Place};

/// The lanes of one queue in which this worker believes something to be due.
#[derive(Debug, Default)]
pub(crate) struct DueLanes {
    lanes: Vec<DueLane>,
    next_due_in: Option<Duration>,
}

/// A lane whose first task was due at the last scan, and that was not exhausted since.
#[derive(Debug)]
struct DueLane {
    lane: Lane,
    cursor: Cursor,
    /// How far the lane was reserved when this worker began to claim at its head.
    frontier: Option<Place>,
    /// Whether other workers claimed from it at the last scan.
    is_shared: bool,
}

impl DueLanes {
    /// Tells whether nothing of this kind is due.
    pub(crate) fn have_no(&self, claimable: Claimable) -> bool {
        !self.lanes.iter().any(|due| claimable.includes(&due.lane))
    }

    /// Returns how long after the last scan the next task is due, if any was waiting for its time.
    pub(crate) fn next_due_in(&self) -> Option<Duration> {
        self.next_due_in
    }

    /// Returns which of the shares are worth a range of their own: of lanes from which other workers claim too.
    pub(crate) fn worth_reserving<'a>(&self, shares: &'a [Share]) -> Vec<RangeRequest<'a>> {
        shares
            .iter()
            .filter_map(|Share { lane, limit, .. }| {
                let mut shared = self.lanes.iter().filter(|due| due.is_shared);
                let due = shared.find(|due| due.lane == *lane)?;
                RangeRequest::if_worth_it(lane, *limit, due.cursor.place(), due.frontier)
            })
            .collect()
    }

    /// Divides a claim of `limit` tasks among the lanes of the best priority.
    pub(crate) fn divide(&mut self, claimable: Claimable, limit: usize) -> Vec<Share> {
        // Where there are more lanes than room, chance decides which of them are served now.
        fastrand::shuffle(&mut self.lanes);
        let lanes = self.lanes.iter().map(|due| (&due.lane, due.cursor.place()));
        share::divide(lanes, claimable, limit)
    }

    /// Records which lanes a scan found.
    pub(crate) fn record_scan(&mut self, heads: Vec<LaneHead>) {
        let later = heads.iter().map(|head| head.due_in);
        self.next_due_in = later.filter(|due_in| !due_in.is_zero()).min();
        let mut before = std::mem::take(&mut self.lanes);
        self.lanes = heads
            .into_iter()
            .filter(|head| head.due_in.is_zero())
            .map(|head| {
                let known = before.iter().position(|due| due.lane == head.lane);
                match known {
                    Some(at) => before.swap_remove(at).scanned_again(head),
                    None => DueLane::at_its_head(head),
                }
            })
            .collect();
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
        let is_full = tasks.len() >= limit;
        let by_lane = counted_by_lane(tasks);
        for share in shares {
            let (count, last) = match by_lane.get(&share.lane.key()) {
                Some((count, last)) => (*count, Some(*last)),
                None => (0, None),
            };
            if count < share.limit && !is_full && share.range_end.is_none() {
                self.lanes.retain(|due| due.lane != share.lane);
            } else if let Some(due) = self.lanes.iter_mut().find(|due| due.lane == share.lane) {
                due.cursor.record_claimed(share.cursor.max(last));
            }
        }
    }
}

impl DueLane {
    fn at_its_head(head: LaneHead) -> Self {
        Self {
            lane: head.lane,
            cursor: Cursor::default(),
            frontier: head.frontier,
            is_shared: head.is_shared,
        }
    }

    fn scanned_again(self, head: LaneHead) -> Self {
        match self.cursor.after_scan(head.place) {
            Some(cursor) => Self {
                cursor,
                is_shared: head.is_shared,
                ..self
            },
            None => Self::at_its_head(head),
        }
    }
}

/// Returns how many tasks each lane gave, and the place of the last of them.
fn counted_by_lane<'a>(tasks: &[(LaneKey<'a>, Place)]) -> HashMap<LaneKey<'a>, (usize, Place)> {
    let mut by_lane = HashMap::new();
    for (lane, place) in tasks {
        let (count, last) = by_lane.entry(*lane).or_insert((0, *place));
        *count += 1;
        *last = (*last).max(*place);
    }
    by_lane
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::LaneRange;
    use crate::lane::fixtures::{lane, place};

    const FRESH: Claimable = Claimable::Fresh;

    fn scanned(found: &[(Lane, u64)]) -> DueLanes {
        let mut lanes = DueLanes::default();
        let head = |(lane, due_in): &(Lane, u64)| LaneHead {
            lane: lane.clone(),
            place: place(0),
            due_in: Duration::from_secs(*due_in),
            frontier: None,
            is_shared: false,
        };
        lanes.record_scan(found.iter().map(head).collect());
        lanes
    }

    /// What a scan finds of a lane from which others claim too.
    fn shared(first: i64, frontier: Option<i64>) -> Vec<LaneHead> {
        vec![LaneHead {
            lane: lane("a", 0, 0),
            place: place(first),
            due_in: Duration::ZERO,
            frontier: frontier.map(place),
            is_shared: true,
        }]
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
    fn a_worse_priority_is_claimed_once_the_better_ones_are_exhausted() {
        let mut lanes = scanned(&[
            (lane("a", 0, 5), 0),
            (lane("b", 0, 0), 0),
            (lane("c", 0, 5), 0),
        ]);
        let shares = lanes.divide(FRESH, 10);
        assert_eq!(shares.len(), 1);
        lanes.record_claimed(&shares, 10, &[task("b", 1)]);
        assert_eq!(lanes.divide(FRESH, 10).len(), 2);
    }

    #[test]
    fn a_lane_that_gave_its_share_goes_on_from_there() {
        let mut lanes = scanned(&[(lane("a", 0, 0), 0), (lane("b", 0, 0), 0)]);
        let shares = lanes.divide(FRESH, 4);
        lanes.record_claimed(&shares, 4, &[task("a", 7), task("a", 9), task("b", 3)]);
        let shares = lanes.divide(FRESH, 4);
        assert_eq!(shares.len(), 1);
        assert_eq!(shares[0].cursor, Some(place(9)));
    }

    #[test]
    fn a_lane_whose_turn_did_not_come_is_not_exhausted() {
        let mut lanes = scanned(&[(lane("a", 0, 0), 0), (lane("b", 0, 0), 0)]);
        let shares = lanes.divide(FRESH, 1);
        lanes.record_claimed(&shares, 1, &[task("a", 7)]);
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
        lanes.record_scan(shared(1, Some(6)));
        assert_eq!(
            reserved_from(&mut lanes, 500),
            None,
            "it begins at the head"
        );
        claim_up_to(&mut lanes, 5);
        assert_eq!(reserved_from(&mut lanes, 500), None, "6 may have been left");
        claim_up_to(&mut lanes, 7);
        assert_eq!(reserved_from(&mut lanes, 500), Some(7));
        assert_eq!(reserved_from(&mut lanes, 50), None, "it is over soon");
        lanes.record_scan(shared(9, Some(20)));
        assert_eq!(reserved_from(&mut lanes, 500), Some(7), "nothing was left");
        lanes.record_scan(shared(3, Some(20)));
        claim_up_to(&mut lanes, 12);
        assert_eq!(
            reserved_from(&mut lanes, 500),
            None,
            "more may have been left"
        );
        let mut alone = shared(30, Some(20));
        alone[0].is_shared = false;
        lanes.record_scan(alone);
        assert_eq!(reserved_from(&mut lanes, 500), None, "there is nobody else");
    }

    #[test]
    fn a_range_that_others_have_taken_does_not_exhaust_the_lane() {
        let mut lanes = DueLanes::default();
        lanes.record_scan(shared(1, None));
        claim_up_to(&mut lanes, 1);
        let mut shares = lanes.divide(FRESH, 500);
        shares[0].keep_to(&LaneRange {
            lane: lane("a", 0, 0),
            start: place(100),
            end: place(600),
        });
        lanes.record_claimed(&shares, 500, &[task("a", 300)]);
        assert_eq!(lanes.divide(FRESH, 1)[0].cursor, Some(place(300)));
        let shares = lanes.divide(FRESH, 500);
        lanes.record_claimed(&shares, 500, &[]);
        assert!(lanes.have_no(FRESH));
    }

    #[test]
    fn a_lane_whose_first_task_is_not_due_is_a_time_to_scan_again() {
        let mut lanes = scanned(&[(lane("a", 0, 0), 30), (lane("b", 0, 0), 10)]);
        assert!(lanes.have_no(FRESH));
        assert!(lanes.divide(FRESH, 5).is_empty());
        assert_eq!(lanes.next_due_in(), Some(Duration::from_secs(10)));
    }
}
