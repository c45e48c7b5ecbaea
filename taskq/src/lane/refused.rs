//! Lanes from which Postgres has refused a claim, because a task in them cannot be taken: a worker claims from
//! them one lane at a time and a few tasks at a time, so that it finds that task and the others go on.

use std::time::Instant;

use super::{Lane, Share};

/// With so many tasks claimed at once a lane is trusted again.
const TRUSTED: usize = 1_024;

/// The lanes of one queue from which Postgres has lately refused a claim.
#[derive(Debug, Default)]
pub(crate) struct RefusedLanes {
    lanes: Vec<RefusedLane>,
}

#[derive(Debug)]
struct RefusedLane {
    lane: Lane,
    /// How much the next claim may take: more with each claim that is not refused.
    limit: usize,
    /// Until when no claim is worth a try.
    closed_until: Option<Instant>,
}

impl RefusedLanes {
    /// Leaves of a claim's shares those of trusted lanes, or one of the others alone.
    pub(crate) fn narrow(&self, shares: &mut Vec<Share>) {
        if self.lanes.is_empty() {
            return;
        }
        let first = shares
            .iter()
            .position(|share| self.find(&share.lane).is_some());
        let Some(first) = first else {
            return;
        };
        let mut trusted = shares.clone();
        trusted.retain(|share| self.find(&share.lane).is_none());
        // Neither waits for the other.
        if !trusted.is_empty() && fastrand::bool() {
            *shares = trusted;
            return;
        }
        let mut alone = shares.swap_remove(first);
        let limit = self.find(&alone.lane).map_or(1, |refused| refused.limit);
        alone.limit = alone.limit.min(limit);
        *shares = vec![alone];
    }

    /// Records that a claim was refused. Returns its share if it asked for one task, which then is the one that
    /// cannot be taken.
    pub(crate) fn record_refused<'a>(&mut self, shares: &'a [Share]) -> Option<&'a Share> {
        for share in shares {
            self.set_limit(&share.lane, 1);
        }
        match shares {
            [share] if share.limit == 1 => Some(share),
            _ => None,
        }
    }

    /// Records that a claim was not refused.
    pub(crate) fn record_claimed(&mut self, shares: &[Share]) {
        for share in shares {
            if let Some(limit) = self.find(&share.lane).map(|refused| refused.limit) {
                self.set_limit(&share.lane, limit * 2);
            }
        }
        self.lanes.retain(|refused| refused.limit < TRUSTED);
    }

    /// Closes a lane for a while: there is a task in it that can be neither taken nor put off.
    pub(crate) fn close(&mut self, lane: &Lane, until: Instant) {
        self.set_limit(lane, 1);
        if let Some(refused) = self.lanes.iter_mut().find(|refused| refused.lane == *lane) {
            refused.closed_until = Some(until);
        }
    }

    pub(crate) fn is_closed(&self, lane: &Lane, now: Instant) -> bool {
        let until = self.find(lane).and_then(|refused| refused.closed_until);
        until.is_some_and(|until| now < until)
    }

    fn find(&self, lane: &Lane) -> Option<&RefusedLane> {
        self.lanes.iter().find(|refused| refused.lane == *lane)
    }

    fn set_limit(&mut self, lane: &Lane, limit: usize) {
        match self.lanes.iter_mut().find(|refused| refused.lane == *lane) {
            Some(refused) => refused.limit = limit,
            None => self.lanes.push(RefusedLane {
                lane: lane.clone(),
                limit,
                closed_until: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lane::fixtures::{lane, place};

    fn shares(names: &[&str], limit: usize) -> Vec<Share> {
        let share = |name: &&str| Share {
            lane: lane(name, 0, 0),
            cursor: place(0),
            is_reserved: false,
            range_end: None,
            limit,
            rank: 0,
            is_by_chance: false,
            at: 0,
        };
        names.iter().map(share).collect()
    }

    #[test]
    fn the_task_that_cannot_be_taken_is_found_by_claims_of_one() {
        let mut refused = RefusedLanes::default();
        let mut asked = shares(&["a", "b"], 50);
        assert!(refused.record_refused(&asked).is_none());
        refused.narrow(&mut asked);
        assert_eq!((asked.len(), asked[0].limit), (1, 1));
        let found = refused.record_refused(&asked);
        assert_eq!(found, Some(&asked[0]));
    }

    #[test]
    fn a_lane_is_trusted_again_step_by_step() {
        let mut refused = RefusedLanes::default();
        refused.record_refused(&shares(&["a"], 50));
        let mut limits = Vec::new();
        for _ in 0..4 {
            let mut asked = shares(&["a"], 50);
            refused.narrow(&mut asked);
            limits.push(asked[0].limit);
            refused.record_claimed(&asked);
        }
        assert_eq!(limits, [1, 2, 4, 8]);
        for _ in 0..10 {
            refused.record_claimed(&shares(&["a"], 50));
        }
        assert!(refused.lanes.is_empty());
    }

    #[test]
    fn trusted_lanes_and_the_others_take_turns() {
        let mut refused = RefusedLanes::default();
        refused.record_refused(&shares(&["a"], 50));
        let mut alone = 0;
        for _ in 0..200 {
            let mut asked = shares(&["a", "b", "c"], 50);
            refused.narrow(&mut asked);
            match asked.as_slice() {
                [one] => {
                    assert_eq!((one.lane.task_type.as_str(), one.limit), ("a", 1));
                    alone += 1;
                }
                others => assert_eq!(others.len(), 2),
            }
        }
        assert!((50..150).contains(&alone), "{alone}");
    }

    #[test]
    fn a_closed_lane_opens_again() {
        let mut refused = RefusedLanes::default();
        let now = Instant::now();
        refused.close(&lane("a", 0, 0), now + Duration::from_secs(5));
        assert!(refused.is_closed(&lane("a", 0, 0), now));
        assert!(!refused.is_closed(&lane("b", 0, 0), now));
        assert!(!refused.is_closed(&lane("a", 0, 0), now + Duration::from_secs(5)));
    }
}
