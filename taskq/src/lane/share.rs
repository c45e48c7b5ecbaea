//! Dividing a claim among lanes: those of the best priority only, in equal shares.
//!
//! Priorities are strict, and within one no task type can block another.

use super::range::is_worth_reserving;
use super::suspects::{self, Claimable};
use super::{Lane, LaneRange, Place};

/// What a claim may take from one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) lane: Lane,
    /// The claim begins behind it, or at the lane's head if there is none.
    pub(crate) cursor: Option<Place>,
    /// The end of the reserved range, if there is one: what lies behind is reserved for others.
    pub(crate) range_end: Option<Place>,
    pub(crate) limit: usize,
}

impl Share {
    /// Keeps the share to a range that was reserved for it.
    pub(crate) fn keep_to(&mut self, range: &LaneRange) {
        self.cursor = Some(range.start);
        self.range_end = Some(range.end);
    }
}

/// Divides a claim of `limit` tasks among lanes, each given with its cursor, in the order of their turns.
pub(super) fn divide<'a>(
    lanes: impl Iterator<Item = (&'a Lane, Option<Place>)>,
    claimable: Claimable,
    limit: usize,
) -> Vec<Share> {
    let mut lanes: Vec<_> = lanes.filter(|(lane, _)| claimable.includes(lane)).collect();
    let Some(best) = lanes.iter().map(|(lane, _)| lane.priority).min() else {
        return Vec::new();
    };
    lanes.retain(|(lane, _)| lane.priority == best);
    suspects::retain_one_alone(&mut lanes, |(lane, _)| lane);
    let share = share_of(limit, lanes.len());
    lanes
        .into_iter()
        .map(|(lane, cursor)| Share {
            lane: lane.clone(),
            cursor,
            range_end: None,
            limit: claimable.limit(lane, share),
        })
        .collect()
}

/// Returns how much of a claim one of so many lanes gets.
fn share_of(limit: usize, lanes: usize) -> usize {
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
    use crate::lane::fixtures::lane;

    /// Returns the type and the limit of each share.
    fn divided(lanes: &[Lane], claimable: Claimable, limit: usize) -> Vec<(&str, usize)> {
        let shares = divide(lanes.iter().map(|lane| (lane, None)), claimable, limit);
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
        let lanes = [lane("a", 0, 5), lane("b", 0, -1), lane("c", 0, 5)];
        assert_eq!(divided(&lanes, Claimable::Fresh, 10), [("b", 10)]);
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
