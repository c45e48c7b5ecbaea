//! Attempts, as their processes recorded them, and whether two of one task were live at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::violation::Violation;
use crate::history::{Event, How, Moment, Process, events};

/// A claim whose answer has come may lie so long before it is safe on disk: three rounds of the WAL
/// writer, and what its own work takes.
const FORGOTTEN: Duration = Duration::from_secs(2);

/// The attempts of each task, by the number in its payload.
pub(super) type Attempts = BTreeMap<i64, Vec<Attempt>>;

/// An attempt, as its process recorded it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) began: Moment,
    /// Whether its process had just stood still.
    pub(super) began_late: bool,
    /// Until when its lease had to be its own.
    live_until: Moment,
    /// `None`: its process died first.
    pub(super) how: Option<How>,
    task_id: i64,
    pub(super) number: u16,
}

impl Attempt {
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self.how, None | Some(How::Dropped))
    }
}

/// Puts the attempts of all processes to their tasks.
pub(super) fn by_task(processes: &[Process], margin: Duration) -> Attempts {
    let crashes: Vec<Moment> = events(processes)
        .filter(|(_, event)| **event == Event::ServerKilled)
        .map(|(at, _)| at)
        .collect();
    let mut attempts = Attempts::new();
    for process in processes {
        collect(process, &crashes, margin, &mut attempts);
    }
    attempts
}

fn collect(process: &Process, crashes: &[Moment], margin: Duration, attempts: &mut Attempts) {
    let stalls: Vec<(Moment, Moment)> = process
        .iter()
        .filter_map(|entry| match entry.event {
            Event::Stalled { since } if entry.at - since >= margin => Some((since, entry.at)),
            _ => None,
        })
        .collect();
    let ends: HashMap<u64, (Moment, How)> = process
        .iter()
        .filter_map(|entry| match entry.event {
            Event::Ended { run, how } => Some((run, (entry.at, how))),
            _ => None,
        })
        .collect();
    // An attempt without an end was over when its process was, of which nothing was heard later.
    let last = process.last().map(|entry| entry.at).unwrap_or_default();
    for entry in process {
        let Event::Started {
            run,
            n,
            task_id,
            attempt,
            ..
        } = entry.event
        else {
            continue;
        };
        let began = entry.at;
        let end = ends.get(&run);
        let mut live_until = end.map_or(last, |(at, _)| *at);
        let mut began_late = false;
        for (since, until) in &stalls {
            // An attempt that was claimed before the stall, and began with the end of the stall, had
            // no chance to notice.
            if began < *until + margin && live_until > *since {
                live_until = live_until.min((*since).max(began));
                began_late |= began > *since;
            }
        }
        for crash in crashes {
            if began + FORGOTTEN > *crash && began < *crash + FORGOTTEN {
                live_until = live_until.min((*crash).max(began));
            }
        }
        attempts.entry(n).or_default().push(Attempt {
            began,
            began_late,
            live_until,
            how: end.map(|(_, how)| *how),
            task_id,
            number: attempt,
        });
    }
}

/// Returns how many of these attempts were live at once at the most.
pub(super) fn most_live_at_once<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> usize {
    let changes = attempts.flat_map(|attempt| [(attempt.began, 1), (attempt.live_until, -1)]);
    let mut changes: Vec<(Moment, i64)> = changes.collect();
    // Of one moment, what ends is over before what begins.
    changes.sort_unstable();
    let mut live = 0;
    let counts = changes.into_iter().map(|(_, change)| {
        live += change;
        live
    });
    usize::try_from(counts.max().unwrap_or(0)).unwrap_or(0)
}

/// Finds the first task that ran though one with a smaller id had still to run: the two ids, the smaller one last.
pub(super) fn out_of_sequence<'a>(
    attempts: impl Iterator<Item = &'a Attempt>,
) -> Option<(i64, i64)> {
    // One that began when its process had stood still for too long is excused.
    let live = attempts.filter(|attempt| attempt.live_until > attempt.began);
    let mut starts: Vec<(Moment, i64)> = live.map(|it| (it.began, it.task_id)).collect();
    starts.sort_unstable();
    let mut last = i64::MIN;
    for (_, task_id) in starts {
        if task_id < last {
            return Some((last, task_id));
        }
        last = task_id;
    }
    None
}

/// Finds attempts of one task that were live at once.
pub(super) fn two_live_at_once(n: i64, attempts: &[Attempt]) -> Vec<Violation> {
    let mut attempts = attempts.to_vec();
    attempts.sort_by_key(|attempt| attempt.began);
    let mut found = Vec::new();
    let mut live_until = Moment::ZERO;
    for attempt in attempts {
        if attempt.live_until > attempt.began && attempt.began < live_until {
            found.push(Violation::LiveTwice {
                n,
                overlap: live_until.min(attempt.live_until) - attempt.began,
            });
        }
        live_until = live_until.max(attempt.live_until);
    }
    found
}

/// Finds a task whose attempts belong to more than one row.
pub(super) fn two_rows(n: i64, attempts: &[Attempt]) -> Option<Violation> {
    let ids: HashSet<i64> = attempts.iter().map(|attempt| attempt.task_id).collect();
    (ids.len() > 1).then_some(Violation::TwoRows(n))
}
