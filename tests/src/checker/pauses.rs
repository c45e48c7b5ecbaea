//! Whether anything started of what was paused.

use std::time::Duration;

use super::violation::Violation;
use crate::history::{Event, Moment, Process, Scope, events};

/// A worker starts nothing later than so long after a pause has committed.
const HEARS: Duration = Duration::from_secs(1);

/// The same of one that hears of it when it scans: it does not listen, or its connection may have been lost.
const HEARS_LATE: Duration = Duration::from_secs(4);

/// A process that stood still for less hears in time all the same.
const LONG: Duration = Duration::from_millis(250);

/// For so long after a fault a worker may have no connection on which it would hear.
const RECOVERS: Duration = Duration::from_secs(15);

/// A time in which nothing of a scope is to start.
struct Pause<'a> {
    scope: &'a Scope,
    from: Moment,
    until: Moment,
}

/// Finds what started all the same.
pub(super) fn judge(processes: &[Process]) -> Vec<Violation> {
    let pauses = all(processes);
    let is_fault = |event: &Event| matches!(event, Event::Fault(_) | Event::ServerKilled);
    let faults: Vec<Moment> = events(processes)
        .filter(|(_, event)| is_fault(event))
        .map(|(at, _)| at)
        .collect();
    let mut found = Vec::new();
    for process in processes {
        let is_deaf = process.iter().any(|entry| entry.event == Event::Deaf);
        for entry in process {
            let Event::Started {
                n,
                task_type,
                queue,
                ..
            } = &entry.event
            else {
                continue;
            };
            for pause in &pauses {
                let is_meant = match pause.scope {
                    Scope::Queue(name) => name == queue,
                    Scope::TaskType(name) => name == task_type,
                };
                let may_be_late = is_deaf
                    || faults
                        .iter()
                        .any(|at| *at <= entry.at && *at + RECOVERS >= pause.from);
                let hears = if may_be_late { HEARS_LATE } else { HEARS };
                if is_meant
                    && entry.at >= pause.from + hears
                    && entry.at < pause.until
                    && !stood_still(process, pause.from, entry.at)
                {
                    found.push(Violation::Paused {
                        n: *n,
                        after: entry.at - pause.from,
                    });
                }
            }
        }
    }
    found
}

/// Tells whether a process stood still after a pause had committed, and until just before it started something.
fn stood_still(process: &Process, paused: Moment, started: Moment) -> bool {
    process.iter().any(|entry| {
        matches!(entry.event, Event::Stalled { since } if entry.at >= since + LONG)
            && entry.at >= paused
            && entry.at + HEARS > started
            // It is noted a moment after the process goes on.
            && entry.at < started + HEARS
    })
}

fn all(processes: &[Process]) -> Vec<Pause<'_>> {
    let mut pauses = Vec::new();
    for process in processes {
        for (at, entry) in process.iter().enumerate() {
            let Event::Paused(scope) = &entry.event else {
                continue;
            };
            let end = process[at..]
                .iter()
                .find(|it| matches!(&it.event, Event::Resuming(other) if other == scope));
            pauses.push(Pause {
                scope,
                from: entry.at,
                until: end.map_or(Moment::MAX, |it| it.at),
            });
        }
    }
    pauses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::examples::{at, started_of};

    fn queue() -> Scope {
        Scope::Queue("default".to_owned())
    }

    fn paused(started_ms: u64) -> Vec<Process> {
        vec![
            vec![
                at(1_000, Event::Paused(queue())),
                at(9_000, Event::Resuming(queue())),
            ],
            vec![at(started_ms, started_of(0, 7))],
        ]
    }

    #[test]
    fn nothing_starts_a_second_after_its_pause() {
        for started in [500, 1_900, 9_100] {
            assert_eq!(judge(&paused(started)), []);
        }
        let after = Duration::from_millis(1_100);
        let violation = Violation::Paused { n: 7, after };
        assert_eq!(judge(&paused(2_100)), [violation]);
        let mut other = paused(2_100);
        let scope = Scope::TaskType("another".to_owned());
        other[0][0] = at(1_000, Event::Paused(scope));
        assert_eq!(judge(&other), []);
    }

    #[test]
    fn a_worker_that_cannot_hear_has_longer() {
        for excuse in [
            at(900, Event::Deaf),
            at(900, Event::Fault("cut".to_owned())),
        ] {
            for (started, is_late) in [(2_100, false), (5_100, true)] {
                let mut processes = paused(started);
                processes[1].insert(0, excuse.clone());
                assert_eq!(judge(&processes).len(), usize::from(is_late));
            }
        }
    }

    #[test]
    fn a_worker_that_stood_still_has_a_second_from_then() {
        let mut processes = paused(6_100);
        let since = at(500, Event::Deaf).at;
        processes[1].push(at(6_105, Event::Stalled { since }));
        assert_eq!(judge(&processes), []);
        processes[1][0].at += 2 * HEARS;
        assert_eq!(judge(&processes).len(), 1);
    }
}
