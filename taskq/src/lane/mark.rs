//! Marks: from where a scan looks into a lane where to look from its head would take long.
//!
//! Postgres walks over rows that died, until a vacuum takes them away. Beside a transaction that is held open
//! anywhere none may be taken away, and before long a lane has a million of them in front of its tasks. A scan tells
//! before which place nothing stood; a later one may begin there.
//!
//! So does a claim that reserves a range, of what stands before it: others have reserved that. As long as such claims bring
//! tasks, a scan does not look into the lane at all. A claim that brought less, of what nobody had reserved, moves the mark to where
//! that began.
//!
//! Something may still come before that place: a transaction that inserted before the scan commits after it, a
//! task is handed back. So a scan begins where an earlier one ended, and not the last: see [`LAG`]. What comes even
//! later is found by a scan that looks from the heads.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{Lane, Place};

/// How far marks are behind: what commits up to so long after its insert is found by any scan.
const LAG: Duration = Duration::from_millis(500);

/// From where a scan is to look into a lane.
#[derive(Debug)]
pub(crate) struct MarkedLane<'a> {
    pub(crate) lane: &'a Lane,
    /// It looks behind it.
    pub(crate) place: Place,
}

/// How thoroughly a scan looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Into the marked lanes alone, from their marks on.
    Marks,
    /// Into all lanes, and from their marks on into those that are marked.
    Lanes,
    /// Into all lanes, from their heads on.
    Heads,
}

impl Reach {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;
}

/// Before which places of a lane nothing stood, or what was reserved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// As a scan found that at least [`LAG`] ago, and at least one scan before the last; or where a lane was exhausted, as long before
    /// the last scan.
    usable: Place,
    /// As a scan found at that time.
    latest: (Instant, Place),
}

impl Mark {
    /// Returns the mark of a lane that was not known before.
    pub(super) fn new(now: Instant, place: Place) -> Self {
        Self {
            usable: place,
            latest: (now, place),
        }
    }

    pub(super) fn place(self) -> Place {
        self.usable
    }

    /// Records that nothing stands before this place, or what is reserved.
    pub(super) fn record(&mut self, now: Instant, place: Place) {
        let (then, latest) = self.latest;
        if now.saturating_duration_since(then) >= LAG {
            // A task that came back before it is no reason to walk over all that died since.
            self.usable = self.usable.max(latest);
            self.latest = (now, place);
        }
    }

    /// Records that whatever a scan could see before this place is reserved. It began at `scanned_at`, by Postgres's clock.
    pub(super) fn move_on(&mut self, place: Place, scanned_at: DateTime<Utc>) {
        let settled = Place {
            run_at: scanned_at - LAG,
            task_id: i64::MIN,
        };
        self.usable = self.usable.max(place.min(settled));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::fixtures::place;

    #[test]
    fn a_mark_is_half_a_second_and_a_scan_behind() {
        let began = Instant::now();
        let mut mark = Mark::new(began, place(1));
        let mut after = |milliseconds, found| {
            mark.record(began + Duration::from_millis(milliseconds), place(found));
            mark.place()
        };
        assert_eq!(after(100, 5), place(1));
        assert_eq!(
            after(500, 10),
            place(1),
            "the last scan is not believed yet"
        );
        assert_eq!(after(700, 20), place(1));
        assert_eq!(after(1_000, 30), place(10));
        assert_eq!(
            after(60_000, 40),
            place(30),
            "however long ago the last scan was"
        );
    }

    #[test]
    fn a_task_that_came_back_does_not_move_a_mark_back() {
        let began = Instant::now();
        let mut mark = Mark::new(began, place(50));
        for seconds in 1..5 {
            mark.record(began + Duration::from_secs(seconds), place(7));
        }
        assert_eq!(mark.place(), place(50));
    }
}
