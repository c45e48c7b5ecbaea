//! Task types that mostly fail: they have claims of their own.
//!
//! A task that fails is written again, which takes Postgres as long as four that complete. The tasks that share its
//! lease cannot be completed by one `delete` either. So a type most of whose attempts fail has claims of its own, a
//! fourth as often. It gets about as much of the server's time as each of the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Share;
use super::share::share_of;
use super::suspects::Claimable;

/// How many times as long a task takes if it fails: measured, see `benches/`, group `order`.
const COST: f64 = 4.0;

/// How much one attempt counts: so much that the last hundred of a type say nearly all.
const WEIGHT: f64 = 1.0 / 32.0;

/// A type is forgotten once a smaller part of its attempts fails.
const HARDLY: f64 = 1.0 / 64.0;

/// How much of what a worker runs fails, by task type.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    types: Mutex<Vec<FailingType>>,
    /// Whether there are any.
    has_some: AtomicBool,
}

/// Whether the next claim from a queue is for types that mostly fail.
#[derive(Debug, Default)]
pub(crate) struct FailingTurns {
    /// How many tasks of these types are to be claimed before it is fair.
    owed: f64,
}

impl FailingTurns {
    /// Tells whether a claim of so many tasks is for these types, if this part of all tasks is to be theirs.
    fn next(&mut self, part: f64, limit: usize) -> bool {
        let limit = limit as f64;
        self.owed += part * limit;
        let is_theirs = self.owed >= limit;
        if is_theirs {
            self.owed -= limit;
        }
        is_theirs
    }
}

#[derive(Debug)]
struct FailingType {
    task_type: String,
    /// The part of its last attempts that failed.
    part: f64,
}

impl Failing {
    /// Records that an attempt ended, and whether its task has to be written again.
    pub(crate) fn record(&self, task_type: &str, has_failed: bool) {
        if !has_failed && !self.has_some.load(Ordering::Relaxed) {
            return;
        }
        let mut types = self.lock();
        let at = types.iter().position(|it| it.task_type == task_type);
        match at {
            Some(at) => {
                let part = &mut types[at].part;
                *part += (f64::from(u8::from(has_failed)) - *part) * WEIGHT;
                if *part < HARDLY {
                    types.swap_remove(at);
                }
            }
            None if has_failed => types.push(FailingType {
                task_type: task_type.to_owned(),
                part: WEIGHT,
            }),
            None => {}
        }
        self.has_some.store(!types.is_empty(), Ordering::Relaxed);
    }

    /// Leaves of a claim's shares either those of types that mostly fail or the others, and divides its `limit` among
    /// them.
    pub(crate) fn set_apart(
        &self,
        shares: &mut Vec<Share>,
        claimable: Claimable,
        limit: usize,
        turns: &mut FailingTurns,
    ) {
        if !self.has_some.load(Ordering::Relaxed) || claimable != Claimable::Fresh {
            return;
        }
        // Shares of one claim have one rank. Only behind a lane that has the whole claim do shares of other ranks stand:
        // these do not compete with it.
        let rank = |share: Option<&Share>| share.map(|it| it.rank);
        if rank(shares.first()) != rank(shares.last()) {
            return;
        }
        let mostly_fail: Vec<bool> = {
            let types = self.lock();
            let of_type =
                |share: &Share| types.iter().find(|it| it.task_type == share.lane.task_type);
            let part = |share: &Share| of_type(share).map_or(0.0, |it| it.part);
            shares.iter().map(|share| part(share) > 0.5).collect()
        };
        let failing = mostly_fail.iter().filter(|it| **it).count();
        let others = shares.len() - failing;
        if failing == 0 || others == 0 {
            return;
        }
        let weight = failing as f64 / COST;
        let is_for_failing = turns.next(weight / (weight + others as f64), limit);
        let mut mostly_fail = mostly_fail.into_iter();
        shares.retain(|_| mostly_fail.next() == Some(is_for_failing));
        let share = share_of(limit, shares.len());
        for left in shares {
            left.limit = share;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FailingType>> {
        self.types.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::fixtures::{lane, place};

    fn shares(types: &[&str], limit: usize) -> Vec<Share> {
        let share = |(at, task_type): (usize, &&str)| Share {
            lane: lane(task_type, 0, 0),
            cursor: place(0),
            is_reserved: false,
            range_end: None,
            limit: limit / types.len(),
            rank: 0,
            is_by_chance: false,
            at,
        };
        types.iter().enumerate().map(share).collect()
    }

    /// Returns what each of some claims in a row takes: the type and the limit of each share.
    fn left(
        failing: &Failing,
        types: &[&str],
        limit: usize,
        claims: usize,
    ) -> Vec<Vec<(String, usize)>> {
        let mut turns = FailingTurns::default();
        let mut claim = || {
            let mut shares = shares(types, limit);
            failing.set_apart(&mut shares, Claimable::Fresh, limit, &mut turns);
            let left = shares.into_iter();
            left.map(|share| (share.lane.task_type, share.limit))
                .collect()
        };
        (0..claims).map(|_| claim()).collect()
    }

    fn record(failing: &Failing, task_type: &str, has_failed: bool, times: usize) {
        for _ in 0..times {
            failing.record(task_type, has_failed);
        }
    }

    fn of<const N: usize>(expected: [(&str, usize); N]) -> Vec<(String, usize)> {
        expected
            .map(|(task_type, limit)| (task_type.to_owned(), limit))
            .to_vec()
    }

    #[test]
    fn a_type_that_always_fails_is_claimed_apart_and_a_fourth_as_often() {
        let failing = Failing::default();
        record(&failing, "bad", true, 1_000);
        record(&failing, "good", false, 1_000);
        let good = of([("good", 1_000)]);
        let bad = of([("bad", 1_000)]);
        let claims = left(&failing, &["good", "bad"], 1_000, 10);
        let expected = [&good, &good, &good, &good, &bad].repeat(2);
        assert_eq!(claims.iter().collect::<Vec<_>>(), expected);
        let claims = left(&failing, &["good", "bad", "fine"], 10, 91);
        let both = of([("good", 5), ("fine", 5)]);
        assert_eq!(claims.iter().filter(|it| **it == both).count(), 81);
        let bad = of([("bad", 10)]);
        assert_eq!(claims.iter().filter(|it| **it == bad).count(), 10);
    }

    #[test]
    fn turns_count_tasks_and_not_claims() {
        let mut turns = FailingTurns::default();
        let mut theirs = 0;
        for limit in [100, 2_000, 50, 300].repeat(100) {
            theirs += if turns.next(0.2, limit) { limit } else { 0 };
        }
        assert!((47_000..=51_000).contains(&theirs), "{theirs} of 245,000");
    }

    #[test]
    fn types_that_fail_have_all_where_they_are_alone() {
        let failing = Failing::default();
        record(&failing, "bad", true, 1_000);
        record(&failing, "worse", true, 1_000);
        assert_eq!(left(&failing, &["bad"], 10, 1), [of([("bad", 10)])]);
        let both = of([("bad", 5), ("worse", 5)]);
        assert_eq!(left(&failing, &["bad", "worse"], 10, 1), [both]);
    }

    #[test]
    fn who_fails_now_and_then_is_claimed_with_the_others() {
        let failing = Failing::default();
        for _ in 0..500 {
            failing.record("third", true);
            failing.record("third", false);
            failing.record("third", false);
        }
        let both = of([("third", 50), ("good", 50)]);
        let claims = left(&failing, &["third", "good"], 100, 20);
        assert!(claims.iter().all(|it| *it == both));
    }

    #[test]
    fn one_that_fails_no_more_is_forgotten() {
        let failing = Failing::default();
        record(&failing, "mended", true, 1_000);
        record(&failing, "mended", false, 200);
        assert!(!failing.has_some.load(Ordering::Relaxed));
    }
}
