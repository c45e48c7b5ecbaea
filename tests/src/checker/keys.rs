//! Whether one task at a time lived of each key, and whether those who asked for a key were told who has it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::limits::beyond;
use super::violation::Violation;
use crate::history::{Event, Process, events};

/// Judges what enqueues were told of keys, and how many tasks of each ran.
pub(super) fn judge(processes: &[Process], margin: Duration) -> Vec<Violation> {
    let mut keys = HashMap::new();
    let mut taken_back = HashSet::new();
    let mut with_id = HashMap::<i64, BTreeSet<i64>>::new();
    for (_, event) in events(processes) {
        match event {
            Event::KeyTaken { n, key, .. } => {
                keys.insert(*n, *key);
            }
            Event::TakenBack { n } => {
                taken_back.insert(*n);
            }
            Event::Started { n, task_id, .. } => {
                with_id.entry(*task_id).or_default().insert(*n);
            }
            _ => {}
        }
    }
    // A task that was refused had lost its key, and came back beside whoever has it now.
    let is_shared: HashSet<i64> = taken_back
        .iter()
        .filter_map(|n| keys.get(n).copied())
        .collect();
    let mut found = Vec::new();
    for (_, event) in events(processes) {
        match *event {
            Event::KeyTaken { key, others, .. } if others > 0 && !is_shared.contains(&key) => {
                found.push(Violation::KeyTwice { key, others });
            }
            Event::KeyHeld {
                key,
                task_id,
                is_over,
            } => {
                // An id that came again may be either of two tasks.
                let numbers = with_id.get(&task_id);
                let one = numbers.filter(|it| it.len() == 1).and_then(|it| it.first());
                let has_it = one.is_none_or(|n| keys.get(n).is_none_or(|other| *other == key));
                if is_over && one.is_some() {
                    found.push(Violation::KeyNotFreed { key, task_id });
                } else if !has_it {
                    found.push(Violation::KeyOfAnother { key, task_id });
                }
            }
            _ => {}
        }
    }
    let of_key = |n| keys.get(&n).copied().filter(|key| !is_shared.contains(key));
    let ran: BTreeMap<i64, usize> = beyond(processes, margin, 1, of_key);
    found.extend(
        ran.into_iter()
            .map(|(key, live)| Violation::KeyRanTwice { key, live }),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::examples::{MARGIN, at, ended, started_of};
    use crate::history::How;

    fn taken(n: i64, others: i64) -> Event {
        Event::KeyTaken { n, key: 5, others }
    }

    fn held(task_id: i64, is_over: bool) -> Event {
        Event::KeyHeld {
            key: 5,
            task_id,
            is_over,
        }
    }

    #[test]
    fn of_a_key_one_task_lives() {
        let mut processes = vec![
            vec![
                at(0, taken(7, 0)),
                at(20, held(7, false)),
                at(40, taken(8, 0)),
            ],
            vec![
                at(10, started_of(0, 7)),
                at(30, ended(0, How::Succeeded)),
                at(50, started_of(1, 8)),
                at(60, ended(1, How::Succeeded)),
            ],
        ];
        assert_eq!(judge(&processes, MARGIN), []);
        processes[0][2] = at(40, taken(8, 1));
        let twice = Violation::KeyTwice { key: 5, others: 1 };
        assert_eq!(judge(&processes, MARGIN), [twice]);
        processes[0].push(at(41, Event::TakenBack { n: 7 }));
        assert_eq!(judge(&processes, MARGIN), []);
    }

    #[test]
    fn two_tasks_of_a_key_do_not_run_at_once() {
        let processes = [
            vec![at(0, taken(7, 0)), at(20, taken(8, 0))],
            vec![
                at(10, started_of(0, 7)),
                at(30, started_of(1, 8)),
                at(40, ended(0, How::Succeeded)),
                at(60, ended(1, How::Succeeded)),
            ],
        ];
        let twice = Violation::KeyRanTwice { key: 5, live: 2 };
        assert_eq!(judge(&processes, MARGIN), [twice]);
    }

    #[test]
    fn a_task_that_has_ended_has_no_key_and_no_other_key_is_its() {
        let mut processes = vec![
            vec![at(0, taken(7, 0)), at(40, held(7, true))],
            vec![at(10, started_of(0, 7)), at(30, ended(0, How::Succeeded))],
        ];
        let not_freed = Violation::KeyNotFreed { key: 5, task_id: 7 };
        assert_eq!(judge(&processes, MARGIN), [not_freed]);
        // Its id came again, and it may be another's.
        let mut again = started_of(1, 9);
        if let Event::Started { task_id, .. } = &mut again {
            *task_id = 7;
        }
        processes[1].push(at(35, again));
        assert_eq!(judge(&processes, MARGIN), []);
        let other = Event::KeyTaken {
            n: 7,
            key: 6,
            others: 0,
        };
        processes = vec![
            vec![at(0, other), at(40, held(7, false))],
            vec![at(10, started_of(0, 7))],
        ];
        let of_another = Violation::KeyOfAnother { key: 5, task_id: 7 };
        assert_eq!(judge(&processes, MARGIN), [of_another]);
    }
}
