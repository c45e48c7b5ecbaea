//! Which lanes of a queue to claim from, in what order, and how much from each.
//!
//! A lane holds the tasks of one type, payload version, number of crashes and priority in one queue.
//! A claim takes from the lanes of the best priority only, in equal shares and in random order: strict
//! between priorities, and no type can block another. Within a lane the oldest due task comes first.
//!
//! Tasks whose worker has vanished before are suspects, and claimed apart: see [`Claimable`].

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// With so many crashes a suspect runs only while no other such suspect does in its worker, so that
/// the next crash is charged to one of them alone. The first crash is often somebody else's, and
/// thousands of innocent tasks may share it: those run side by side once more.
const ALONE_FROM: i32 = 2;

/// With so many crashes a task is quarantined: once in company, once with a lease of its own, three
/// times as the only such suspect of its worker.
pub(crate) const QUARANTINE_AFTER: i32 = 5;

/// What tells the lanes of a queue apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) task_type: String,
    pub(crate) payload_version: i16,
    pub(crate) crashes: i32,
    pub(crate) priority: i16,
}

/// A lane without its own text, to look it up by.
type Key<'a> = (&'a str, i16, i32, i16);

/// With so many tasks a claim is worth reserving. Smaller ones are over before another comes.
const WORTH_RESERVING: usize = 100;

/// A place in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) run_at: DateTime<Utc>,
    pub(crate) task_id: i64,
}

/// Where a claimed task stood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken<'a> {
    pub(crate) task_type: &'a str,
    pub(crate) payload_version: i16,
    pub(crate) crashes: i32,
    pub(crate) priority: i16,
    pub(crate) place: Place,
}

/// Which tasks a claim may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimable {
    /// Those that no worker has vanished with.
    Fresh,
    /// Those that a worker has vanished with; of those that must run alone, as many as given.
    Suspect { alone: usize },
}

/// What a claim may take from one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) lane: Lane,
    /// Everything up to here has been claimed, as far as this worker knows: a hint that spares the
    /// claim from walking over rows just deleted, never a matter of correctness.
    pub(crate) cursor: Option<Place>,
    /// What lies behind is reserved for others.
    pub(crate) range_end: Option<Place>,
    pub(crate) limit: usize,
}

/// A part of a lane that is reserved for one claim, behind `cursor` and up to `range_end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneRange {
    pub(crate) lane: Lane,
    pub(crate) cursor: Place,
    pub(crate) range_end: Place,
}

/// A lane that a look at the table found to hold tasks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LaneHead {
    pub(crate) lane: Lane,
    /// Where its first task stands.
    pub(crate) head: Place,
    /// How long until that is due; zero if it is.
    pub(crate) due_in: Duration,
    /// Up to where it has been reserved for claims, if it ever was.
    pub(crate) frontier: Option<Place>,
    /// Whether another worker claims from it too.
    pub(crate) is_shared: bool,
}

/// The lanes of one queue in which this worker believes there is something to claim.
#[derive(Debug, Default)]
pub(crate) struct DueLanes {
    active: Vec<DueLane>,
    next_due_in: Option<Duration>,
}

/// A lane with something to claim.
#[derive(Debug)]
struct DueLane {
    lane: Lane,
    /// Where this worker's last claim from it ended, if there was one.
    cursor: Option<Place>,
    /// Where one had ended by the last look, or the first one since.
    at_last_scan: Option<Place>,
    /// Up to here it was reserved when this worker began to claim at its head.
    frontier: Option<Place>,
    is_shared: bool,
}

impl Lane {
    fn key(&self) -> Key<'_> {
        let Self {
            task_type,
            payload_version,
            crashes,
            priority,
        } = self;
        (task_type, *payload_version, *crashes, *priority)
    }

    /// Tells whether its tasks may have killed a worker.
    pub(crate) fn is_suspect(&self) -> bool {
        self.crashes > 0
    }

    /// Tells whether its tasks run one at a time in a worker.
    pub(crate) fn is_alone(&self) -> bool {
        Self::is_alone_with(self.crashes)
    }

    /// Tells whether a task with so many crashes is the only one of its kind in a worker.
    pub(crate) fn is_alone_with(crashes: i32) -> bool {
        crashes >= ALONE_FROM
    }
}

impl<'a> Taken<'a> {
    fn lane(&self) -> Key<'a> {
        (
            self.task_type,
            self.payload_version,
            self.crashes,
            self.priority,
        )
    }
}

impl Claimable {
    fn includes(self, lane: &Lane) -> bool {
        match self {
            Self::Fresh => !lane.is_suspect(),
            Self::Suspect { alone } => lane.is_suspect() && (alone > 0 || !lane.is_alone()),
        }
    }

    fn most(self, lane: &Lane, share: usize) -> usize {
        match self {
            Self::Suspect { alone } if lane.is_alone() => share.min(alone),
            _ => share,
        }
    }
}

impl DueLane {
    fn afresh(found: LaneHead) -> Self {
        Self {
            lane: found.lane,
            cursor: None,
            at_last_scan: None,
            frontier: found.frontier,
            is_shared: found.is_shared,
        }
    }
}

impl Share {
    /// Takes in what was reserved for it.
    pub(crate) fn reserve(&mut self, range: &LaneRange) {
        self.cursor = Some(range.cursor);
        self.range_end = Some(range.range_end);
    }
}

impl DueLanes {
    /// Takes in what a look at the table found.
    ///
    /// A lane whose head is behind the place of the look before has nothing left up to there, and is
    /// claimed on from where it was. In any other it begins at the head again.
    pub(crate) fn replace(&mut self, found: Vec<LaneHead>) {
        self.next_due_in = found
            .iter()
            .map(|found| found.due_in)
            .filter(|due_in| !due_in.is_zero())
            .min();
        let mut before = std::mem::take(&mut self.active);
        self.active = found
            .into_iter()
            .filter(|found| found.due_in.is_zero())
            .map(|found| {
                let known = before.iter().position(|it| it.lane == found.lane);
                match known.map(|at| before.swap_remove(at)) {
                    Some(known) if known.at_last_scan.is_some_and(|at| found.head > at) => {
                        DueLane {
                            at_last_scan: known.cursor,
                            is_shared: found.is_shared,
                            ..known
                        }
                    }
                    _ => DueLane::afresh(found),
                }
            })
            .collect();
    }

    /// Tells whether there is nothing of this kind to claim.
    pub(crate) fn have_no(&self, kind: Claimable) -> bool {
        !self.active.iter().any(|it| kind.includes(&it.lane))
    }

    /// Returns how long after the last look the next task is due, if any was waiting for its time.
    pub(crate) fn next_due_in(&self) -> Option<Duration> {
        self.next_due_in
    }

    /// Divides a claim of `limit` tasks among the lanes of the best priority.
    pub(crate) fn shares(&mut self, kind: Claimable, limit: usize) -> Vec<Share> {
        // Where there are more lanes than room, chance decides which of them are served now.
        fastrand::shuffle(&mut self.active);
        let of_kind = || self.active.iter().filter(|it| kind.includes(&it.lane));
        let Some(best) = of_kind().map(|it| it.lane.priority).min() else {
            return Vec::new();
        };
        let mut lanes: Vec<_> = of_kind().filter(|it| it.lane.priority == best).collect();
        if kind != Claimable::Fresh
            && let Some(first) = lanes.iter().position(|it| it.lane.is_alone())
        {
            // One lane of those that run alone: each of them might give one otherwise.
            let alone = &lanes[first].lane;
            lanes.retain(|other| other.lane == *alone || !other.lane.is_alone());
        }
        let share = match limit / lanes.len() {
            // What is reserved is claimed to its last task: together no more than the limit.
            share if share >= WORTH_RESERVING => share,
            _ => limit.div_ceil(lanes.len()),
        };
        lanes
            .into_iter()
            .map(|DueLane { lane, cursor, .. }| Share {
                lane: lane.clone(),
                cursor: *cursor,
                range_end: None,
                limit: kind.most(lane, share),
            })
            .collect()
    }

    /// Returns those shares that are worth reserving, and from where: large ones of lanes from which
    /// others claim too, once this worker has passed what was left behind the frontier.
    pub(crate) fn to_reserve<'a>(&self, shares: &'a [Share]) -> Vec<(&'a Share, Place)> {
        let worth_it = shares
            .iter()
            .filter(|share| share.limit >= WORTH_RESERVING && !share.lane.is_suspect());
        worth_it
            .filter_map(|share| {
                let active = self.active.iter().find(|it| it.lane == share.lane)?;
                let cursor = active.cursor?;
                let has_passed = active.frontier.is_none_or(|frontier| cursor >= frontier);
                (active.is_shared && has_passed).then_some((share, cursor))
            })
            .collect()
    }

    /// Takes in what a claim brought. A lane that gave less than its share is exhausted, unless the
    /// claim was full before its turn came, or went no further than what was reserved for it.
    pub(crate) fn claimed(&mut self, shares: &[Share], limit: usize, taken: &[Taken<'_>]) {
        let mut by_lane: HashMap<_, (usize, Place)> = HashMap::new();
        for task in taken {
            let (count, cursor) = by_lane.entry(task.lane()).or_insert((0, task.place));
            *count += 1;
            *cursor = task.place.max(*cursor);
        }
        let full = taken.len() >= limit;
        for share in shares {
            let (count, cursor) = match by_lane.get(&share.lane.key()) {
                Some((count, cursor)) => (*count, share.cursor.max(Some(*cursor))),
                None => (0, share.cursor),
            };
            if count < share.limit && !full && share.range_end.is_none() {
                self.active.retain(|it| it.lane != share.lane);
            } else if let Some(active) = self.active.iter_mut().find(|it| it.lane == share.lane) {
                active.cursor = cursor;
                active.at_last_scan = active.at_last_scan.or(cursor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Claimable = Claimable::Fresh;

    fn lane(task_type: &str, crashes: i32, priority: i16) -> Lane {
        Lane {
            task_type: task_type.to_owned(),
            payload_version: 1,
            crashes,
            priority,
        }
    }

    fn lanes(found: &[(Lane, u64)]) -> DueLanes {
        let mut lanes = DueLanes::default();
        lanes.replace(
            found
                .iter()
                .map(|(lane, due_in)| LaneHead {
                    lane: lane.clone(),
                    head: place(0),
                    due_in: Duration::from_secs(*due_in),
                    frontier: None,
                    is_shared: false,
                })
                .collect(),
        );
        lanes
    }

    fn place(task_id: i64) -> Place {
        Place {
            run_at: DateTime::UNIX_EPOCH,
            task_id,
        }
    }

    /// What a look finds of a lane from which others claim too.
    fn shared(head: i64, frontier: Option<i64>) -> Vec<LaneHead> {
        vec![LaneHead {
            lane: lane("a", 0, 0),
            head: place(head),
            due_in: Duration::ZERO,
            frontier: frontier.map(place),
            is_shared: true,
        }]
    }

    /// Claims from a lane's cursor on, up to this task.
    fn claim_up_to(lanes: &mut DueLanes, task_id: i64) {
        let shares = lanes.shares(FRESH, 1);
        lanes.claimed(&shares, 1, &[taken("a", 0, task_id)]);
    }

    fn taken(task_type: &str, priority: i16, task_id: i64) -> Taken<'_> {
        Taken {
            task_type,
            payload_version: 1,
            crashes: 0,
            priority,
            place: place(task_id),
        }
    }

    #[test]
    fn the_best_priority_is_claimed_first_and_alone() {
        let mut lanes = lanes(&[
            (lane("a", 0, 5), 0),
            (lane("b", 0, -1), 0),
            (lane("c", 0, 5), 0),
        ]);
        let shares = lanes.shares(FRESH, 10);
        assert_eq!(shares.len(), 1);
        assert_eq!(
            (shares[0].lane.task_type.as_str(), shares[0].limit),
            ("b", 10)
        );
        lanes.claimed(&shares, 10, &[taken("b", -1, 1)]);
        assert_eq!(lanes.shares(FRESH, 10).len(), 2);
    }

    #[test]
    fn types_of_one_priority_share_a_claim() {
        let mut lanes = lanes(&[
            (lane("a", 0, 0), 0),
            (lane("b", 0, 0), 0),
            (lane("c", 0, 0), 0),
        ]);
        assert!(lanes.shares(FRESH, 10).iter().all(|share| share.limit == 4));
        assert!(lanes.shares(FRESH, 1).iter().all(|share| share.limit == 1));
    }

    #[test]
    fn a_lane_that_gave_its_share_goes_on_from_there() {
        let mut lanes = lanes(&[(lane("a", 0, 0), 0), (lane("b", 0, 0), 0)]);
        let shares = lanes.shares(FRESH, 4);
        lanes.claimed(
            &shares,
            4,
            &[taken("a", 0, 7), taken("a", 0, 9), taken("b", 0, 3)],
        );
        let shares = lanes.shares(FRESH, 4);
        assert_eq!(shares.len(), 1);
        assert_eq!(shares[0].cursor.map(|cursor| cursor.task_id), Some(9));
    }

    #[test]
    fn a_lane_whose_turn_did_not_come_is_not_exhausted() {
        let mut lanes = lanes(&[(lane("a", 0, 0), 0), (lane("b", 0, 0), 0)]);
        let shares = lanes.shares(FRESH, 1);
        lanes.claimed(&shares, 1, &[taken("a", 0, 7)]);
        assert_eq!(lanes.shares(FRESH, 2).len(), 2);
    }

    #[test]
    fn a_scan_goes_back_only_for_what_was_left_behind() {
        let cursor = |lanes: &mut DueLanes| lanes.shares(FRESH, 1)[0].cursor;
        let mut lanes = DueLanes::default();
        lanes.replace(shared(1, None));
        claim_up_to(&mut lanes, 5);
        claim_up_to(&mut lanes, 8);
        lanes.replace(shared(6, None));
        assert_eq!(cursor(&mut lanes), Some(place(8)), "6 is being claimed");
        lanes.replace(shared(7, None));
        assert_eq!(cursor(&mut lanes), None, "7 should long be gone");
    }

    #[test]
    fn ranges_of_shared_lanes_are_reserved_behind_what_was_left() {
        let mut lanes = DueLanes::default();
        let reserve = |lanes: &mut DueLanes, limit| {
            let shares = lanes.shares(FRESH, limit);
            let asked = lanes.to_reserve(&shares);
            asked.first().map(|(_, cursor)| cursor.task_id)
        };
        lanes.replace(shared(1, Some(6)));
        assert_eq!(reserve(&mut lanes, 500), None, "it begins at the head");
        claim_up_to(&mut lanes, 5);
        assert_eq!(reserve(&mut lanes, 500), None, "6 may have been left");
        claim_up_to(&mut lanes, 7);
        assert_eq!(reserve(&mut lanes, 500), Some(7));
        assert_eq!(reserve(&mut lanes, 50), None, "it is over soon");
        lanes.replace(shared(9, Some(20)));
        assert_eq!(reserve(&mut lanes, 500), Some(7), "nothing was left");
        let mut alone = shared(30, Some(20));
        alone[0].is_shared = false;
        lanes.replace(alone);
        assert_eq!(reserve(&mut lanes, 500), None, "there is nobody else");
    }

    #[test]
    fn a_range_that_others_have_taken_does_not_exhaust_the_lane() {
        let mut lanes = DueLanes::default();
        lanes.replace(shared(1, None));
        claim_up_to(&mut lanes, 1);
        let mut shares = lanes.shares(FRESH, 500);
        shares[0].reserve(&LaneRange {
            lane: lane("a", 0, 0),
            cursor: place(100),
            range_end: place(600),
        });
        lanes.claimed(&shares, 500, &[taken("a", 0, 300)]);
        assert_eq!(lanes.shares(FRESH, 1)[0].cursor, Some(place(300)));
        let shares = lanes.shares(FRESH, 500);
        lanes.claimed(&shares, 500, &[]);
        assert!(lanes.have_no(FRESH));
    }

    #[test]
    fn what_is_not_due_is_a_time_to_wake_and_no_lane() {
        let mut lanes = lanes(&[(lane("a", 0, 0), 30), (lane("b", 0, 0), 10)]);
        assert!(lanes.have_no(FRESH));
        assert!(lanes.shares(FRESH, 5).is_empty());
        assert_eq!(lanes.next_due_in(), Some(Duration::from_secs(10)));
    }

    #[test]
    fn suspects_are_claimed_apart_and_old_ones_one_at_a_time() {
        let mut lanes = lanes(&[
            (lane("a", 0, 0), 0),
            (lane("a", 1, 0), 0),
            (lane("a", 2, 0), 0),
            (lane("b", 3, 0), 0),
        ]);
        let fresh = lanes.shares(FRESH, 6);
        assert!(fresh.iter().all(|share| share.lane.crashes == 0));
        let limits = |shares: Vec<Share>| {
            let alone = shares.iter().filter(|share| share.lane.is_alone());
            (shares.len(), alone.map(|share| share.limit).sum::<usize>())
        };
        assert_eq!(
            limits(lanes.shares(Claimable::Suspect { alone: 1 }, 6)),
            (2, 1)
        );
        assert_eq!(
            limits(lanes.shares(Claimable::Suspect { alone: 0 }, 6)),
            (1, 0)
        );
    }
}
