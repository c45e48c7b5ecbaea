//! Dividing a claim among lanes: by rank, and within one in equal shares.
//!
//! A lane's rank is its priority, which its age may have improved. Ranks are strict, and within one no task type can
//! block another. So a claim goes on to the next rank where a single lane has the whole claim: Postgres comes to the
//! next lane only when that one is exhausted. Lanes that share a claim may have more than their shares, so it ends with
//! them.

use super::range::is_worth_reserving;
use super::suspects::{self, Claimable};
use super::{Lane, LaneRange, Place};

/// What a claim may take from one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) lane: Lane,
    /// The claim begins behind it.
    pub(crate) cursor: Place,
    /// Whether others have reserved what stands before the cursor, and nobody what stands behind it.
    pub(super) is_reserved: bool,
    /// The end of the reserved range, if there is one: what lies behind is reserved for others.
    pub(crate) range_end: Option<Place>,
    pub(crate) limit: usize,
    /// By which the claim was divided. Smaller has its turn earlier.
    pub(super) rank: i16,
    /// Whether chance decides which tasks of the lane are claimed.
    pub(crate) is_by_chance: bool,
    /// Where the lanes of the queue have it.
    pub(super) at: usize,
}

impl Share {
    /// Keeps the share to a range that was reserved for it.
    pub(crate) fn keep_to(&mut self, range: &LaneRange) {
        (self.cursor, self.range_end) = (range.start, range.end);
        self.is_reserved = true;
    }
}

/// A claim of fewer tasks than this asks so many lanes nevertheless: others may have what was in them.
const FEW_LANES: usize = 20;

/// A lane that a claim may take from.
pub(super) struct Candidate<'a> {
    pub(super) lane: &'a Lane,
    pub(super) cursor: Place,
    pub(super) rank: i16,
    pub(super) is_by_chance: bool,
    pub(super) at: usize,
}

/// Divides a claim of `limit` tasks among lanes, given in the order of their turns.
pub(super) fn divide(
    mut lanes: Vec<Candidate<'_>>,
    claimable: Claimable,
    limit: usize,
) -> Vec<Share> {
    lanes.retain(|it| claimable.includes(it.lane));
    lanes.sort_by_key(|it| it.rank);
    // Each should have a task at least.
    let most_lanes = limit.max(FEW_LANES);
    let mut shares = Vec::new();
    for group in lanes.chunk_by(|one, other| one.rank == other.rank) {
        let mut group: Vec<_> = group.iter().collect();
        let has_whole_claim = group.len() == 1 && claimable == Claimable::Fresh;
        suspects::retain_one_alone(&mut group, |it| it.lane);
        group.truncate(most_lanes);
        let share = share_of(limit, group.len());
        shares.extend(group.iter().map(|it| Share {
            lane: it.lane.clone(),
            cursor: it.cursor,
            is_reserved: false,
            range_end: None,
            limit: claimable.limit(it.lane, share),
            rank: it.rank,
            is_by_chance: it.is_by_chance,
            at: it.at,
        }));
        if !has_whole_claim || shares.len() >= most_lanes {
            break;
        }
    }
    shares
}

/// Returns how much of a claim one of so many lanes gets.
pub(super) fn share_of(limit: usize, lanes: usize) -> usize {
    let share = limit / lanes;
    if is_worth_reserving(share) {
        // A claim takes reserved ranges to their last tasks: together they hold no more than the limit.
        share
    } else {
        limit.div_ceil(lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::fixtures::{lane, place};

    /// Returns the type and the limit of each share.
    fn divided(lanes: &[Lane], claimable: Claimable, limit: usize) -> Vec<(&str, usize)> {
        let candidate = |(at, lane)| Candidate {
            lane,
            cursor: place(0),
            rank: lane.priority,
            is_by_chance: false,
            at,
        };
        let candidates = lanes.iter().enumerate().map(candidate).collect();
        let shares = divide(candidates, claimable, limit);
        let limit_of = |lane: &Lane| {
            let share = shares.iter().find(|share| share.lane == *lane);
            share.map(|share| share.limit)
        };
        lanes
            .iter()
            .filter_map(|lane| Some((lane.task_type.as_str(), limit_of(lane)?)))
            .collect()
    }

    #[test]
    fn the_best_priority_has_the_whole_claim() {
        let lanes = [lane("a", 0, -1), lane("b", 0, 5), lane("c", 0, -1)];
        assert_eq!(
            divided(&lanes, Claimable::Fresh, 10),
            [("a", 5), ("c", 5)],
            "each may have more than its share"
        );
    }

    #[test]
    fn a_claim_goes_on_to_the_next_priority_behind_a_lane_that_has_it_whole() {
        let priorities = |limit| {
            let mut priorities: Vec<i16> = (1..=30).collect();
            priorities.reverse();
            let lanes = priorities.into_iter();
            let lanes: Vec<_> = lanes.map(|priority| lane("a", 0, priority)).collect();
            let candidates = lanes.iter().enumerate().map(|(at, lane)| Candidate {
                lane,
                cursor: place(0),
                rank: lane.priority,
                is_by_chance: false,
                at,
            });
            let shares = divide(candidates.collect(), Claimable::Fresh, limit);
            let shares = shares.iter().map(|it| (it.lane.priority, it.limit));
            shares.collect::<Vec<_>>()
        };
        let asked = |lanes: i16, limit| (1..=lanes).map(|it| (it, limit)).collect::<Vec<_>>();
        assert_eq!(priorities(25), asked(25, 25));
        assert_eq!(priorities(2), asked(20, 2));
    }

    #[test]
    fn types_of_one_priority_share_a_claim() {
        let lanes = [lane("a", 0, 0), lane("b", 0, 0), lane("c", 0, 0)];
        let shares = |limit| divided(&lanes, Claimable::Fresh, limit);
        assert_eq!(shares(10), [("a", 4), ("b", 4), ("c", 4)]);
        assert_eq!(shares(1), [("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(shares(1_000), [("a", 333), ("b", 333), ("c", 333)]);
    }

    #[test]
    fn suspects_are_claimed_apart_and_old_ones_one_at_a_time() {
        let lanes = [
            lane("fresh", 0, 0),
            lane("first", 1, 0),
            lane("second", 2, 0),
            lane("third", 3, 0),
        ];
        let shares = |claimable| divided(&lanes, claimable, 6);
        assert_eq!(shares(Claimable::Fresh), [("fresh", 6)]);
        let one = shares(Claimable::Suspects { alone: 1 });
        assert_eq!(one, [("first", 3), ("second", 1)]);
        assert_eq!(shares(Claimable::Suspects { alone: 0 }), [("first", 6)]);
    }

    #[test]
    fn nothing_is_divided_where_nothing_is_due() {
        assert!(divided(&[], Claimable::Fresh, 5).is_empty());
    }
}
