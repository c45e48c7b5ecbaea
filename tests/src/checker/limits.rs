//! How many attempts of one group were live at once, and how fast they began.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attempts::{self, Attempt};
use crate::history::Process;

/// Finds groups of tasks of which more attempts were live at once than their limit: for each, how many. `group` tells the
/// group of a task by the number in its payload, if it has one.
pub fn beyond<G: Ord>(
    processes: &[Process],
    margin: Duration,
    limit: usize,
    group: impl Fn(i64) -> Option<G>,
) -> BTreeMap<G, usize> {
    let counted = by_group(processes, margin, group)
        .into_iter()
        .map(|(group, attempts)| (group, attempts::most_live_at_once(attempts.iter())));
    counted.filter(|(_, most)| *most > limit).collect()
}

/// How fast attempts may begin.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// So many in a second.
    pub per_second: f64,
    /// So many at once after a time of quiet.
    pub burst: f64,
    /// How much later an attempt may begin than it was claimed: a lease is over then.
    pub lateness: Duration,
}

/// Finds groups of which more attempts began in some stretch of time than their rate allows: for each, how many more.
/// What began when its process had just stood still counts for nothing: it may have been claimed long before.
pub fn too_fast<G: Ord>(
    processes: &[Process],
    margin: Duration,
    rate: Rate,
    group: impl Fn(i64) -> Option<G>,
) -> BTreeMap<G, f64> {
    let allowed = rate.burst + rate.per_second * rate.lateness.as_secs_f64();
    let mut found = BTreeMap::new();
    for (group, attempts) in by_group(processes, margin, group) {
        let attempts = attempts.iter().filter(|attempt| !attempt.began_late);
        let mut began: Vec<f64> = attempts.map(|it| it.began.as_secs_f64()).collect();
        began.sort_unstable_by(f64::total_cmp);
        // Of the stretches that end with an attempt, the one with the most beyond what fits into it began where this was
        // the least.
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for (before, began) in (0_u32..).zip(began) {
            let ahead = f64::from(before) - rate.per_second * began;
            least = least.min(ahead);
            most = most.max(ahead - least + 1.0);
        }
        if most > allowed {
            found.insert(group, most - allowed);
        }
    }
    found
}

pub(super) fn by_group<G: Ord>(
    processes: &[Process],
    margin: Duration,
    group: impl Fn(i64) -> Option<G>,
) -> BTreeMap<G, Vec<Attempt>> {
    let mut groups = BTreeMap::<G, Vec<Attempt>>::new();
    for (n, attempts) in attempts::by_task(processes, margin) {
        if let Some(group) = group(n) {
            groups.entry(group).or_default().extend(attempts);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::examples::{MARGIN, at, ended, started_of};
    use crate::history::{Event, How};

    #[test]
    fn attempts_beyond_a_limit_are_counted_by_group() {
        let end = |run| ended(run, How::Succeeded);
        let one = vec![
            at(0, started_of(0, 7)),
            at(10, started_of(1, 9)),
            at(50, end(0)),
            at(50, end(1)),
        ];
        let other = vec![
            at(20, started_of(0, 11)),
            at(30, started_of(1, 8)),
            at(40, end(1)),
            at(60, end(0)),
        ];
        // It begins when others end.
        let third = vec![at(50, started_of(0, 13)), at(60, end(0))];
        let histories = [one, other, third];
        let odd = |n| Some(n % 2);
        assert_eq!(beyond(&histories, MARGIN, 2, odd), [(1, 3)].into());
        assert!(beyond(&histories, MARGIN, 3, odd).is_empty());
        let none = |n| (n == 8).then_some(());
        assert!(beyond(&histories, MARGIN, 1, none).is_empty());
    }

    /// Ten a second, and three at once.
    const RATE: Rate = Rate {
        per_second: 10.0,
        burst: 3.0,
        lateness: Duration::ZERO,
    };

    fn began_at(times: &[u64]) -> Vec<Process> {
        let starts = times.iter().zip(0..);
        vec![
            starts
                .map(|(ms, run)| at(*ms, started_of(run, 7)))
                .collect(),
        ]
    }

    #[test]
    fn attempts_begin_no_faster_than_their_rate() {
        let fast = |times: &[u64]| too_fast(&began_at(times), MARGIN, RATE, |_| Some(()));
        assert!(fast(&[0, 0, 0, 101, 202]).is_empty());
        assert!(!fast(&[0, 0, 0, 90]).is_empty());
        assert!(!fast(&[0, 500, 1_000, 1_000, 1_000, 1_050]).is_empty());
        // A time of quiet makes room for no more than the burst.
        assert!(!fast(&[0, 9_000, 9_000, 9_000, 9_000]).is_empty());
    }

    #[test]
    fn what_was_claimed_before_its_process_stood_still_may_begin_late() {
        let mut processes = began_at(&[0, 0, 0, 5_000, 5_000, 5_000, 5_000]);
        let since = at(1_000, Event::Deaf).at;
        processes[0].push(at(4_995, Event::Stalled { since }));
        assert!(too_fast(&processes, MARGIN, RATE, |_| Some(())).is_empty());
    }
}
