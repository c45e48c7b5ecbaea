//! Whether tasks ran one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attempts;
use super::limits::by_group;
use crate::history::Process;

/// Finds groups of tasks that did not run in the order of their ids: for each, the id of a task that had still to run, and
/// that of one which ran too early.
pub fn out_of_sequence<G: Ord>(
    processes: &[Process],
    margin: Duration,
    group: impl Fn(i64) -> Option<G>,
) -> BTreeMap<G, (i64, i64)> {
    let groups = by_group(processes, margin, group).into_iter();
    groups
        .filter_map(|(group, attempts)| Some((group, attempts::out_of_sequence(attempts.iter())?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::examples::{MARGIN, at, ended, started_of};
    use crate::history::How;

    #[test]
    fn tasks_that_ran_before_those_in_front_of_them_are_found() {
        let one = vec![
            at(0, started_of(0, 2)),
            at(10, ended(0, How::Failed)),
            at(20, started_of(1, 2)),
            at(30, ended(1, How::Succeeded)),
        ];
        let next = vec![at(40, started_of(0, 4)), at(50, ended(0, How::Succeeded))];
        let even = |n| Some(n % 2);
        let histories = [one.clone(), next];
        assert!(out_of_sequence(&histories, MARGIN, even).is_empty());
        // It does not wait for the second attempt.
        let early = vec![at(15, started_of(0, 4)), at(50, ended(0, How::Succeeded))];
        let histories = [one, early];
        assert_eq!(
            out_of_sequence(&histories, MARGIN, even),
            [(0, (4, 2))].into()
        );
    }
}
