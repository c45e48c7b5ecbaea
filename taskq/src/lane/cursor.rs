//! How far into a lane this worker has claimed, and when a scan sends it back to the lane's head.
//!
//! Postgres walks over rows that were deleted lately, so a claim begins where the last one ended. But it must
//! come back for tasks that were left behind: those that another worker reserved and did not claim, those that
//! committed late, those that were handed back.

use super::Place;

/// How far this worker believes a lane to be claimed: a hint, never a matter of correctness.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    /// Where this worker's last claim from the lane ended, if there was one.
    place: Option<Place>,
    /// Where the cursor stood at the last scan, or after the first claim since.
    at_last_scan: Option<Place>,
}

impl Cursor {
    /// Returns the place behind which the next claim begins; the lane's head if there is none.
    pub(super) fn place(self) -> Option<Place> {
        self.place
    }

    /// Records how far a claim has come.
    pub(super) fn record_claimed(&mut self, place: Option<Place>) {
        self.place = place;
        self.at_last_scan = self.at_last_scan.or(place);
    }

    /// Returns the cursor after a scan that found the lane's first task at `head`; `None` if the lane must be
    /// claimed from its head again.
    ///
    /// What stands before the cursor of the last scan should long be gone: if a task is left there, the worker
    /// goes back for it. What stands between that place and the present one may be in the middle of a claim.
    pub(super) fn after_scan(self, head: Place) -> Option<Self> {
        let has_left_none = self.at_last_scan.is_some_and(|place| head > place);
        has_left_none.then_some(Self {
            at_last_scan: self.place,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::fixtures::place;

    #[test]
    fn a_scan_goes_back_only_for_what_was_left_behind() {
        let mut cursor = Cursor::default();
        cursor.record_claimed(Some(place(5)));
        cursor.record_claimed(Some(place(8)));
        let cursor = cursor.after_scan(place(6)).expect("6 is being claimed");
        assert_eq!(cursor.place(), Some(place(8)));
        assert!(cursor.after_scan(place(7)).is_none(), "7 should be gone");
        assert!(cursor.after_scan(place(9)).is_some());
    }

    #[test]
    fn a_lane_that_was_not_claimed_from_begins_at_its_head() {
        assert!(Cursor::default().after_scan(place(6)).is_none());
    }
}
