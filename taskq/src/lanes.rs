//! Which lanes of a queue to claim from, in what order, and how much from each.
//!
//! A lane holds the tasks of one type and one priority in one queue. A claim takes from the lanes
//! of the best priority only, in equal shares and in random order: strict between priorities, and
//! no type can block another. Within a lane the oldest due task comes first.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A place in a lane. Everything before it has been claimed, as far as this worker knows: a hint
/// that spares the claim from walking over rows just deleted, never a matter of correctness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Floor {
    pub(crate) run_at: DateTime<Utc>,
    pub(crate) task_id: i64,
}

/// What a claim may take from one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) task_type: String,
    pub(crate) priority: i16,
    pub(crate) floor: Option<Floor>,
    pub(crate) limit: usize,
}

/// A lane that a look at the table found to hold tasks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) task_type: String,
    pub(crate) priority: i16,
    /// How long until its first task is due; zero if one is.
    pub(crate) due_in: Duration,
}

/// A claimed task, as far as it concerns its lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken<'a> {
    pub(crate) task_type: &'a str,
    pub(crate) priority: i16,
    pub(crate) place: Floor,
}

/// The lanes of one queue in which this worker believes there is something to claim.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    active: Vec<Lane>,
    next_due_in: Option<Duration>,
}

#[derive(Debug)]
struct Lane {
    task_type: String,
    priority: i16,
    floor: Option<Floor>,
}

impl Lanes {
    /// Starts afresh from what a look at the table found.
    pub(crate) fn replace(&mut self, found: Vec<Found>) {
        self.next_due_in = found
            .iter()
            .map(|lane| lane.due_in)
            .filter(|due_in| !due_in.is_zero())
            .min();
        self.active = found
            .into_iter()
            .filter(|lane| lane.due_in.is_zero())
            .map(|lane| Lane {
                task_type: lane.task_type,
                priority: lane.priority,
                floor: None,
            })
            .collect();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// Returns how long after the last look the next task is due, if any was waiting for its time.
    pub(crate) fn next_due_in(&self) -> Option<Duration> {
        self.next_due_in
    }

    /// Divides a claim of `limit` tasks among the lanes of the best priority.
    pub(crate) fn shares(&mut self, limit: usize) -> Vec<Share> {
        let Some(best) = self.active.iter().map(|lane| lane.priority).min() else {
            return Vec::new();
        };
        // Where there are more lanes than room, chance decides which of them are served now.
        fastrand::shuffle(&mut self.active);
        let lanes: Vec<&Lane> = self
            .active
            .iter()
            .filter(|lane| lane.priority == best)
            .collect();
        let share = limit.div_ceil(lanes.len());
        lanes
            .into_iter()
            .map(|lane| Share {
                task_type: lane.task_type.clone(),
                priority: lane.priority,
                floor: lane.floor,
                limit: share,
            })
            .collect()
    }

    /// Takes in what a claim brought. A lane that gave less than its share is exhausted, unless
    /// the claim was full before its turn came.
    pub(crate) fn claimed(&mut self, shares: &[Share], limit: usize, taken: &[Taken<'_>]) {
        let full = taken.len() >= limit;
        for share in shares {
            let mut count = 0;
            let mut floor = share.floor;
            for task in taken.iter().filter(|task| share.holds(task)) {
                count += 1;
                floor = floor.max(Some(task.place));
            }
            if count < share.limit && !full {
                self.active.retain(|lane| !share.is_from(lane));
            } else if let Some(lane) = self.active.iter_mut().find(|lane| share.is_from(lane)) {
                lane.floor = floor;
            }
        }
    }
}

impl Share {
    fn holds(&self, task: &Taken<'_>) -> bool {
        self.priority == task.priority && self.task_type == task.task_type
    }

    fn is_from(&self, lane: &Lane) -> bool {
        self.priority == lane.priority && self.task_type == lane.task_type
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn lanes(found: &[(&str, i16, u64)]) -> Lanes {
        let mut lanes = Lanes::default();
        lanes.replace(
            found
                .iter()
                .map(|&(task_type, priority, due_in)| Found {
                    task_type: task_type.to_owned(),
                    priority,
                    due_in: Duration::from_secs(due_in),
                })
                .collect(),
        );
        lanes
    }

    fn taken(task_type: &str, priority: i16, task_id: i64) -> Taken<'_> {
        Taken {
            task_type,
            priority,
            place: Floor {
                run_at: DateTime::UNIX_EPOCH,
                task_id,
            },
        }
    }

    #[test]
    fn the_best_priority_is_claimed_first_and_alone() {
        let mut lanes = lanes(&[("a", 5, 0), ("b", -1, 0), ("c", 5, 0)]);
        let shares = lanes.shares(10);
        assert_eq!(shares.len(), 1);
        assert_eq!((shares[0].task_type.as_str(), shares[0].limit), ("b", 10));
        lanes.claimed(&shares, 10, &[taken("b", -1, 1)]);
        assert_eq!(lanes.shares(10).len(), 2);
    }

    #[test]
    fn types_of_one_priority_share_a_claim() {
        let mut lanes = lanes(&[("a", 0, 0), ("b", 0, 0), ("c", 0, 0)]);
        assert!(lanes.shares(10).iter().all(|share| share.limit == 4));
        assert!(lanes.shares(1).iter().all(|share| share.limit == 1));
    }

    #[test]
    fn a_lane_that_gave_its_share_goes_on_from_there() {
        let mut lanes = lanes(&[("a", 0, 0), ("b", 0, 0)]);
        let shares = lanes.shares(4);
        lanes.claimed(
            &shares,
            4,
            &[taken("a", 0, 7), taken("a", 0, 9), taken("b", 0, 3)],
        );
        let shares = lanes.shares(4);
        assert_eq!(shares.len(), 1);
        assert_eq!(shares[0].floor.map(|floor| floor.task_id), Some(9));
    }

    #[test]
    fn a_lane_whose_turn_did_not_come_is_not_exhausted() {
        let mut lanes = lanes(&[("a", 0, 0), ("b", 0, 0)]);
        let shares = lanes.shares(1);
        lanes.claimed(&shares, 1, &[taken("a", 0, 7)]);
        assert_eq!(lanes.shares(2).len(), 2);
    }

    #[test]
    fn what_is_not_due_is_a_time_to_wake_and_no_lane() {
        let mut lanes = lanes(&[("a", 0, 30), ("b", 0, 10)]);
        assert!(lanes.is_empty());
        assert!(lanes.shares(5).is_empty());
        assert_eq!(lanes.next_due_in(), Some(Duration::from_secs(10)));
    }
}
