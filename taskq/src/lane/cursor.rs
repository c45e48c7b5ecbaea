//! How far into a lane this worker has claimed, and when a scan sends it back.
//!
//! Postgres walks over rows that were deleted lately, so a claim begins where the last one ended, or at the first
//! task that a scan found. But it must come back for tasks that were left behind: those that another worker
//! reserved and did not claim, those that committed late, those that were handed back.
//!
//! Not all that stands there was left behind. Many workers that claim at once have many rows under way, and whoever goes back
//! for them walks over all of them and gets none. So what stands before the lane's frontier is first taken to be under way.

use std::time::{Duration, Instant};

use super::Place;

/// How far this worker believes a lane to be claimed: a hint, never a matter of correctness.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    /// The next claim begins behind it.
    place: Place,
    /// Where the cursor stood at the last scan, or after the first claim since; absent before the first claim.
    at_last_scan: Option<Place>,
    /// Where it stood when a scan sent it back for what was left behind.
    gone_back_from: Option<Place>,
    /// Whether the last claim brought less than it asked for.
    is_exhausted: bool,
    /// How far the lane was reserved at a scan, and when that was.
    reserved: Option<(Place, Instant)>,
}

impl Cursor {
    /// Returns the cursor of a lane of which nothing was claimed yet, behind a place.
    pub(super) fn behind(place: Place) -> Self {
        Self {
            place,
            at_last_scan: None,
            gone_back_from: None,
            is_exhausted: false,
            reserved: None,
        }
    }

    /// Returns the cursor of a lane whose first task stands at `head`.
    pub(super) fn at(head: Place) -> Self {
        Self::behind(head.before())
    }

    /// Returns the place behind which the next claim begins.
    pub(super) fn place(self) -> Place {
        self.place
    }

    /// Returns where this worker's last claim ended, if there was one.
    pub(super) fn claimed(self) -> Option<Place> {
        self.at_last_scan.map(|_| self.place)
    }

    /// Tells whether the next claim goes on where one ended that brought all it asked for, and not among what was left behind.
    pub(super) fn goes_on(self) -> bool {
        let is_among_left = self.gone_back_from.is_some_and(|from| self.place < from);
        self.at_last_scan.is_some() && !self.is_exhausted && !is_among_left
    }

    /// Records how far a claim has come.
    pub(super) fn record_claimed(&mut self, place: Place) {
        (self.place, self.is_exhausted) = (place, false);
        self.at_last_scan = self.at_last_scan.or(Some(place));
    }

    /// Records that a claim found nothing behind the cursor. Then whatever a scan finds before it was left behind.
    pub(super) fn record_exhausted(&mut self) {
        (self.at_last_scan, self.is_exhausted) = (Some(self.place), true);
    }

    /// Records that a scan found the lane's first task at `head`, and tells whether that was left behind, so that
    /// claims begin there again.
    ///
    /// What stands before the cursor of the last scan should long be gone: if a task is left there, the worker
    /// goes back for it. What stands between that place and the present one may be in the middle of a claim.
    pub(super) fn record_scan(&mut self, head: Place) -> bool {
        let has_left_none = self.at_last_scan.is_some_and(|place| head > place);
        if has_left_none {
            self.place = self.place.max(head.before());
            self.at_last_scan = Some(self.place);
        } else {
            *self = Self {
                gone_back_from: self.gone_back_from.max(Some(self.place)),
                reserved: self.reserved,
                ..Self::at(head)
            };
        }
        !has_left_none
    }

    /// Records that a scan found the lane's first task at `head`, and the lane reserved up to `frontier`, which is not before it.
    /// Returns until when that task is to be taken for one that is being claimed, if it is.
    ///
    /// It is, unless the lane was reserved past it `patience` ago already. Where it is, a worker that has claimed nothing yet begins
    /// at the frontier.
    pub(super) fn being_claimed_until(
        &mut self,
        head: Place,
        frontier: Place,
        now: Instant,
        patience: Duration,
    ) -> Option<Instant> {
        let (reserved, mut when) = *self.reserved.get_or_insert((frontier, now));
        if now >= when + patience {
            if head <= reserved {
                self.reserved = Some((frontier, if frontier == reserved { when } else { now }));
                return None;
            }
            (self.reserved, when) = (Some((frontier, now)), now);
        }
        if self.at_last_scan.is_none() {
            self.record_claimed(frontier);
        }
        Some(when + patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::fixtures::place;

    #[test]
    fn a_scan_goes_back_only_for_what_was_left_behind() {
        let mut cursor = Cursor::at(place(1));
        cursor.record_claimed(place(5));
        cursor.record_claimed(place(8));
        assert!(!cursor.record_scan(place(6)), "6 is being claimed");
        assert_eq!(cursor.place(), place(8));
        let mut later = cursor;
        assert!(!later.record_scan(place(12)));
        assert_eq!(later.place(), place(11), "nothing stands before 12");
        assert!(cursor.record_scan(place(7)), "7 should be gone");
        assert_eq!(cursor.place(), place(6));
    }

    #[test]
    fn what_stands_before_the_cursor_of_an_exhausted_lane_was_left_behind() {
        let mut cursor = Cursor::at(place(1));
        cursor.record_claimed(place(5));
        cursor.record_claimed(place(8));
        cursor.record_exhausted();
        assert!(cursor.record_scan(place(6)));
    }

    #[test]
    fn whoever_goes_back_goes_on_where_it_was() {
        let mut cursor = Cursor::at(place(1));
        assert!(!cursor.goes_on(), "it begins");
        cursor.record_claimed(place(9));
        assert!(cursor.goes_on());
        assert!(cursor.record_scan(place(3)));
        assert!(!cursor.goes_on());
        for (to, goes_on) in [(4, false), (8, false), (9, true)] {
            cursor.record_claimed(place(to));
            assert_eq!(cursor.goes_on(), goes_on, "behind {to}");
        }
        assert!(cursor.record_scan(place(2)));
        assert!(cursor.record_scan(place(1)), "again, and less far");
        cursor.record_claimed(place(5));
        assert!(!cursor.goes_on());
    }

    #[test]
    fn nobody_goes_on_from_an_exhausted_lane() {
        let mut cursor = Cursor::at(place(1));
        cursor.record_claimed(place(9));
        cursor.record_exhausted();
        assert!(!cursor.goes_on());
        assert!(!cursor.record_scan(place(10)));
        assert!(!cursor.goes_on(), "somebody may have had 10 before");
        cursor.record_claimed(place(12));
        assert!(cursor.goes_on());
    }

    const PATIENCE: Duration = Duration::from_secs(1);

    #[test]
    fn what_stands_before_a_frontier_that_moves_is_being_claimed_until_it_has_stood_there_for_long()
    {
        let began = Instant::now();
        let mut cursor = Cursor::at(place(1));
        let mut is_claimed = |head, frontier, seconds| {
            let now = began + Duration::from_secs_f64(seconds);
            let until = cursor.being_claimed_until(place(head), place(frontier), now, PATIENCE);
            until.map(|until| (until - began).as_millis())
        };
        assert_eq!(is_claimed(1, 50, 0.0), Some(1_000));
        assert_eq!(is_claimed(1, 90, 0.9), Some(1_000));
        let left = is_claimed(1, 95, 1.0);
        assert_eq!(left, None, "it was reserved a second ago");
        assert_eq!(is_claimed(60, 99, 1.5), Some(2_000), "it was not");
        assert_eq!(is_claimed(96, 120, 2.0), Some(3_000));
        assert_eq!(is_claimed(96, 130, 3.1), None);
    }

    #[test]
    fn what_stands_before_a_frontier_that_stands_still_was_left_behind() {
        let began = Instant::now();
        let mut cursor = Cursor::at(place(1));
        let mut is_claimed = |milliseconds| {
            let now = began + Duration::from_millis(milliseconds);
            let until = cursor.being_claimed_until(place(1), place(50), now, PATIENCE);
            until.is_some()
        };
        assert!(is_claimed(0));
        assert!(![1_000, 1_001, 1_500, 9_000].map(is_claimed).contains(&true));
    }

    #[test]
    fn a_worker_that_has_claimed_nothing_yet_begins_at_the_frontier() {
        let now = Instant::now();
        let is_claimed = |cursor: &mut Cursor, frontier, now| {
            let until = cursor.being_claimed_until(place(1), place(frontier), now, PATIENCE);
            until.is_some()
        };
        let mut new = Cursor::at(place(1));
        assert!(is_claimed(&mut new, 50, now));
        assert_eq!(new.claimed(), Some(place(50)));
        let mut old = Cursor::at(place(1));
        old.record_claimed(place(20));
        assert!(is_claimed(&mut old, 50, now));
        assert_eq!(old.claimed(), Some(place(20)), "it may be going back");
        assert!(!is_claimed(&mut old, 60, now + PATIENCE));
        assert!(old.record_scan(place(1)));
        assert_eq!((old.place(), old.claimed()), (place(0), None));
    }

    #[test]
    fn a_lane_that_was_not_claimed_from_begins_at_its_head() {
        let mut cursor = Cursor::at(place(6));
        assert_eq!(cursor.claimed(), None);
        assert!(cursor.record_scan(place(9)));
        assert_eq!(cursor.place(), place(8));
    }
}
