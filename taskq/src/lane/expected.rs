//! The lane in which a notification is taken to have something, before a scan has looked.

use std::time::{Duration, Instant};

use super::cursor::Cursor;
use super::fair::Round;
use super::known::KnownLane;
use super::limit::Turn;
use super::{Lane, Place};

/// So many claims in a row must have brought all that they did from one lane before the next notification is taken to be of
/// that lane too. Where several types take turns, each guess would cost a claim that brings nothing.
const IN_A_ROW: u32 = 2;

/// From which lane the last claims brought what they did.
#[derive(Debug, Default)]
pub(super) struct Expected {
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    lane: Lane,
    cursor: Place,
    frontier: Option<Place>,
    is_shared: bool,
    in_a_row: u32,
}

impl Expected {
    /// Records that all which a claim brought was of this lane.
    pub(super) fn record_claimed(&mut self, known: &KnownLane) {
        if known.is_by_chance || known.lane.holds_suspects() {
            self.last = None;
            return;
        }
        let (cursor, frontier, is_shared) = (known.cursor.place(), known.frontier, known.is_shared);
        match &mut self.last {
            Some(last) if last.lane == known.lane => {
                (last.cursor, last.frontier, last.is_shared) = (cursor, frontier, is_shared);
                last.in_a_row = last.in_a_row.saturating_add(1);
            }
            last => {
                *last = Some(Last {
                    lane: known.lane.clone(),
                    cursor,
                    frontier,
                    is_shared,
                    in_a_row: 1,
                });
            }
        }
    }

    /// Returns that lane as one in which something is due behind what was claimed last.
    pub(super) fn lane(&self, now: Instant) -> Option<KnownLane> {
        let last = self.last.as_ref()?;
        if last.in_a_row < IN_A_ROW {
            return None;
        }
        Some(KnownLane {
            lane: last.lane.clone(),
            is_due: true,
            due_later: None,
            cursor: Cursor::behind(last.cursor),
            mark: None,
            claimed_until: None,
            frontier: last.frontier,
            is_shared: last.is_shared,
            is_reserved: false,
            is_by_chance: false,
            first: None,
            waited: Duration::ZERO,
            scanned: now,
            // No scan has told of it yet: it has no mark.
            scanned_at: last.cursor.run_at,
            empty_claims: 0,
            turn: Turn::default(),
            round: Round::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::lane::LaneHead;
    use crate::lane::fixtures::{lane, place};

    fn known(task_type: &str, crashes: i32, claimed: i64) -> KnownLane {
        let head = LaneHead {
            lane: lane(task_type, crashes, 0),
            first: Some(place(1)),
            due_in: Duration::ZERO,
            scanned_at: DateTime::UNIX_EPOCH,
            frontier: None,
            others: 0,
        };
        let mut known = KnownLane::new(head, false, Instant::now(), Duration::ZERO);
        known.cursor.record_claimed(place(claimed));
        known
    }

    #[test]
    fn two_claims_in_a_row_from_one_lane_make_it_expected() {
        let mut expected = Expected::default();
        expected.record_claimed(&known("a", 0, 5));
        assert!(expected.lane(Instant::now()).is_none());
        expected.record_claimed(&known("b", 0, 6));
        expected.record_claimed(&known("a", 0, 7));
        assert!(expected.lane(Instant::now()).is_none(), "they take turns");
        expected.record_claimed(&known("a", 0, 8));
        let lane = expected.lane(Instant::now()).expect("a lane");
        assert_eq!((lane.lane.task_type.as_str(), lane.is_due), ("a", true));
        assert_eq!(lane.cursor.place(), place(8), "behind what was claimed");
    }

    #[test]
    fn suspects_are_never_expected() {
        let mut expected = Expected::default();
        expected.record_claimed(&known("a", 0, 5));
        expected.record_claimed(&known("a", 0, 6));
        expected.record_claimed(&known("a", 1, 7));
        assert!(expected.lane(Instant::now()).is_none());
    }
}
