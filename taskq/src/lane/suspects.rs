//! Suspects: tasks with which a worker vanished, and beside which tasks they may run.
//!
//! | crashes | how a worker claims the task |
//! | --- | --- |
//! | 0 | in one lease with others, and prefetched |
//! | 1 | in a lease of its own, by a claim that waits for the disk, never prefetched |
//! | 2 to 4 | the same, and one such task at a time in each worker |
//! | 5 | not any more: it is quarantined |

use super::Lane;

/// With so many crashes a suspect runs only while its worker runs no other such suspect, so the next
/// crash is charged to one of them alone. The first crash is often another task's fault, and thousands of
/// innocent tasks may share it: those run side by side once more.
const ALONE_FROM: i32 = 2;

/// With so many crashes a task is quarantined: it crashed once in company, once with a lease of its own, and
/// three times as the only such suspect of its worker.
pub(crate) const QUARANTINE_AFTER: i32 = 5;

/// Which tasks a claim may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimable {
    /// Tasks without a crash.
    Fresh,
    /// Suspects, and at most `alone` of those that must run alone.
    Suspects { alone: usize },
}

/// Tells whether a task with so many crashes may have killed a worker.
fn is_suspect(crashes: i32) -> bool {
    crashes > 0
}

/// Tells whether a worker runs at most one task with so many crashes at a time.
pub(crate) fn must_run_alone(crashes: i32) -> bool {
    crashes >= ALONE_FROM
}

impl Lane {
    pub(super) fn holds_suspects(&self) -> bool {
        is_suspect(self.crashes)
    }

    pub(super) fn must_run_alone(&self) -> bool {
        must_run_alone(self.crashes)
    }
}

impl Claimable {
    /// Tells whether the claim must be durable before its tasks run: Postgres can charge a crash only to a
    /// claim that it remembers.
    pub(crate) fn must_be_durable(self) -> bool {
        self != Self::Fresh
    }

    pub(super) fn includes(self, lane: &Lane) -> bool {
        match self {
            Self::Fresh => !lane.holds_suspects(),
            Self::Suspects { alone } => {
                lane.holds_suspects() && (alone > 0 || !lane.must_run_alone())
            }
        }
    }

    /// Limits what a claim takes from a lane.
    pub(super) fn limit(self, lane: &Lane, share: usize) -> usize {
        match self {
            Self::Suspects { alone } if lane.must_run_alone() => share.min(alone),
            _ => share,
        }
    }
}

/// Leaves the first lane of those whose tasks must run alone, and all others: each of those lanes might give
/// one task otherwise.
pub(super) fn retain_one_alone<T>(lanes: &mut Vec<T>, lane: impl Fn(&T) -> &Lane) {
    let mut has_one = false;
    lanes.retain(|it| {
        let is_further = has_one && lane(it).must_run_alone();
        has_one |= lane(it).must_run_alone();
        !is_further
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::fixtures::lane;

    #[test]
    fn a_claim_takes_either_suspects_or_fresh_tasks() {
        let included = |claimable: Claimable| {
            (0..QUARANTINE_AFTER)
                .filter(|crashes| claimable.includes(&lane("a", *crashes, 0)))
                .collect::<Vec<_>>()
        };
        assert_eq!(included(Claimable::Fresh), [0]);
        assert_eq!(included(Claimable::Suspects { alone: 0 }), [1]);
        assert_eq!(included(Claimable::Suspects { alone: 1 }), [1, 2, 3, 4]);
    }

    #[test]
    fn of_the_lanes_whose_tasks_must_run_alone_one_is_left() {
        let mut lanes = [0, 2, 1, 3, 2]
            .map(|crashes| lane("a", crashes, 0))
            .to_vec();
        retain_one_alone(&mut lanes, |lane| lane);
        let crashes: Vec<i32> = lanes.iter().map(|lane| lane.crashes).collect();
        assert_eq!(crashes, [0, 2, 1]);
    }
}
