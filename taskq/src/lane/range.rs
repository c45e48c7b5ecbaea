//! Ranges: parts of a lane that one claim reserves for itself, because other workers claim from the lane at
//! the same time and each claim would walk over the rows that all the others are just taking.
//!
//! The lane's frontier says how far it is reserved. It is a hint: a scan finds the tasks of a range whose worker
//! vanished. Where a lane holds too little for a range, a claim takes what stands behind the frontier: from its own cursor on it
//! would walk over what all others have claimed since.

use super::{Lane, Place};

/// From so many tasks on a claim reserves a range. A smaller claim is over before another one comes.
const WORTH_RESERVING: usize = 100;

/// A wish for the next tasks of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeRequest<'a> {
    pub(crate) lane: &'a Lane,
    /// Where this worker's last claim from the lane ended: the range begins there, or at the frontier if that is
    /// further.
    pub(crate) cursor: Place,
    pub(crate) tasks: usize,
}

/// A part of a lane that one claim has for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneRange {
    pub(crate) lane: Lane,
    /// The first task stands behind it.
    pub(crate) start: Place,
    /// The last task stands here; absent where the lane held less than was wished for, and has no end.
    pub(crate) end: Option<Place>,
}

impl<'a> RangeRequest<'a> {
    /// Returns the wish of a claim of so many tasks, if a range is worth it: if the claim is a large one, and its
    /// worker has passed the frontier that a scan found.
    ///
    /// Until then the worker claims without ranges what was left before the frontier, so that nobody overtakes
    /// those tasks for long.
    pub(super) fn if_worth_it(
        lane: &'a Lane,
        tasks: usize,
        cursor: Option<Place>,
        frontier: Option<Place>,
    ) -> Option<Self> {
        let cursor = cursor?;
        let has_passed_frontier = frontier.is_none_or(|frontier| cursor >= frontier);
        // Suspects have no frontier.
        let is_worth_it =
            is_worth_reserving(tasks) && has_passed_frontier && !lane.holds_suspects();
        is_worth_it.then_some(Self {
            lane,
            cursor,
            tasks,
        })
    }
}

/// Tells whether a claim of so many tasks is large enough for a range.
pub(super) fn is_worth_reserving(tasks: usize) -> bool {
    tasks >= WORTH_RESERVING
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::fixtures::{lane, place};

    #[test]
    fn large_claims_reserve_a_range_once_they_have_passed_the_frontier() {
        let fresh = lane("a", 0, 0);
        let is_worth_it = |tasks, cursor: Option<i64>, frontier: Option<i64>| {
            let (cursor, frontier) = (cursor.map(place), frontier.map(place));
            RangeRequest::if_worth_it(&fresh, tasks, cursor, frontier).is_some()
        };
        assert!(is_worth_it(500, Some(7), None));
        assert!(is_worth_it(500, Some(7), Some(6)));
        assert!(!is_worth_it(500, Some(5), Some(6)), "6 may have been left");
        assert!(!is_worth_it(500, None, None), "it begins at the head");
        assert!(!is_worth_it(50, Some(7), None), "it is over soon");
        let suspects = lane("a", 1, 0);
        assert_eq!(
            RangeRequest::if_worth_it(&suspects, 500, Some(place(7)), None),
            None
        );
    }
}
