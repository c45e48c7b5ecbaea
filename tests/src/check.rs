//! The checker: reads what the processes recorded and what the tables hold afterwards, and says what
//! of it must not be.
//!
//! - Nothing committed is lost, and it ends as planned.
//! - Nothing rolled back runs, and of a transaction whose end nobody heard of, all or nothing does.
//! - Effects in the handler's transaction happen exactly once, of failed attempts never.
//! - No two attempts of a task are live at once. An attempt lives from its first to its last moment,
//!   less what is excused, because no lease can forbid it: a process that is dead or did not run,
//!   and claims that a killed server forgot.
//! - Attempts never exceed their maximum.
//! - No task is quarantined that its workers had no occasion to vanish with.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use crate::history::{Batch, Event, How, Moment, Process};

/// The number in a claim's answer may lie so long before it is safe on disk: three rounds of the
/// WAL writer, and what its own work takes.
const FORGOTTEN: Duration = Duration::from_secs(2);

/// A task is quarantined when its worker has vanished so often.
const VANISHED: usize = 5;

/// What the tables hold when all is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// How often each task left its effect.
    pub effects: HashMap<i64, i64>,
    /// The transactions that have committed, each by its first task.
    pub committed: HashSet<i64>,
    /// Attempts of the tasks that were discarded.
    pub discarded: HashMap<i64, u16>,
    /// Tasks that were quarantined.
    pub quarantined: HashSet<i64>,
    /// Tasks that still wait, run, or were set aside as something else than discarded.
    pub left: Vec<i64>,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A committed task was neither run to its end nor is it anywhere.
    Lost(i64),
    /// A committed task is still there though all should be over.
    Left(i64),
    /// A task ran or was kept that no transaction has committed.
    Uncommitted(i64),
    /// A transaction was reported as committed and is not, or the other way round.
    Misreported(i64),
    /// A task left its effect more or less often than it should.
    Effects {
        /// The task.
        n: i64,
        /// How often it should.
        planned: i64,
        /// How often it did.
        found: i64,
    },
    /// Two attempts of one task were live at once.
    LiveTwice {
        /// The task.
        n: i64,
        /// For how long.
        overlap: Duration,
    },
    /// A task was attempted more often than it may be.
    TooManyAttempts {
        /// The task.
        n: i64,
        /// The number of the attempt.
        attempt: u16,
    },
    /// A task was discarded that was to succeed, or before its attempts were used up.
    Discarded {
        /// The task.
        n: i64,
        /// Its attempts.
        attempts: u16,
    },
    /// A task was quarantined though too little has happened for that.
    Quarantined(i64),
    /// One number stands for two rows.
    TwoRows(i64),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(n) => write!(f, "task {n} was committed, and is lost"),
            Self::Left(n) => write!(f, "task {n} is not over"),
            Self::Uncommitted(n) => write!(f, "task {n} was never committed, and ran"),
            Self::Misreported(n) => write!(f, "what was said of the commit of {n} is not true"),
            Self::Effects { n, planned, found } => {
                write!(f, "task {n} left {found} effects in place of {planned}")
            }
            Self::LiveTwice { n, overlap } => {
                write!(f, "task {n} had two live attempts for {overlap:?}")
            }
            Self::TooManyAttempts { n, attempt } => {
                write!(f, "task {n} was attempted {attempt} times")
            }
            Self::Discarded { n, attempts } => {
                write!(f, "task {n} was discarded after {attempts} attempts")
            }
            Self::Quarantined(n) => write!(f, "task {n} was quarantined without a reason"),
            Self::TwoRows(n) => write!(f, "task {n} stood in two rows"),
        }
    }
}

/// What a run has shown, if nothing is wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tasks that were committed.
    pub committed: usize,
    /// Tasks that were rolled back.
    pub rolled_back: usize,
    /// Tasks of transactions whose end the client did not hear of.
    pub in_doubt: usize,
    /// Attempts.
    pub attempts: usize,
    /// Attempts that were dropped, or whose process died.
    pub unfinished: usize,
    /// Tasks that were quarantined.
    pub quarantined: usize,
}

/// An attempt, as its process recorded it.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    began: Moment,
    /// Until when its lease had to be its own.
    live_until: Moment,
    how: Option<How>,
    task_id: i64,
    number: u16,
}

/// Checks a run. `margin` is how long a process may stand still without being excused.
pub fn check(
    processes: &[Process],
    tables: &Tables,
    margin: Duration,
) -> Result<Summary, Vec<Violation>> {
    let mut attempts: BTreeMap<i64, Vec<Attempt>> = BTreeMap::new();
    let crashes: Vec<Moment> = events(processes)
        .filter(|(_, event)| **event == Event::ServerKilled)
        .map(|(at, _)| at)
        .collect();
    for process in processes {
        collect(process, &crashes, margin, &mut attempts);
    }
    let mut found = Vec::new();
    let mut summary = check_batches(processes, tables, &attempts, &mut found);
    for (n, attempts) in &attempts {
        check_overlaps(*n, attempts, &mut found);
        let ids: HashSet<i64> = attempts.iter().map(|it| it.task_id).collect();
        if ids.len() > 1 {
            found.push(Violation::TwoRows(*n));
        }
        summary.attempts += attempts.len();
        summary.unfinished += attempts
            .iter()
            .filter(|it| matches!(it.how, None | Some(How::Dropped)))
            .count();
    }
    match found.is_empty() {
        true => Ok(summary),
        false => Err(found),
    }
}

fn events(processes: &[Process]) -> impl Iterator<Item = (Moment, &Event)> {
    processes
        .iter()
        .flatten()
        .map(|entry| (entry.at, &entry.event))
}

/// Puts the attempts of a process to their tasks.
fn collect(
    process: &Process,
    crashes: &[Moment],
    margin: Duration,
    attempts: &mut BTreeMap<i64, Vec<Attempt>>,
) {
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
    // Without an end it was over when its process was, of which nothing was heard later.
    let last = process.last().map(|entry| entry.at).unwrap_or_default();
    for entry in process {
        let Event::Started {
            run,
            n,
            task_id,
            attempt,
        } = entry.event
        else {
            continue;
        };
        let began = entry.at;
        let end = ends.get(&run);
        let mut live_until = end.map_or(last, |(at, _)| *at);
        for (since, until) in &stalls {
            // One that was claimed before the stall, and began with the end of it, had no chance
            // to notice.
            if began < *until + margin && live_until > *since {
                live_until = live_until.min((*since).max(began));
            }
        }
        for crash in crashes {
            if began + FORGOTTEN > *crash && began < *crash + FORGOTTEN {
                live_until = live_until.min((*crash).max(began));
            }
        }
        attempts.entry(n).or_default().push(Attempt {
            began,
            live_until,
            how: end.map(|(_, how)| *how),
            task_id,
            number: attempt,
        });
    }
}

fn check_overlaps(n: i64, attempts: &[Attempt], found: &mut Vec<Violation>) {
    let mut attempts = attempts.to_vec();
    attempts.sort_by_key(|it| it.began);
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
}

fn check_batches(
    processes: &[Process],
    tables: &Tables,
    attempts: &BTreeMap<i64, Vec<Attempt>>,
    found: &mut Vec<Violation>,
) -> Summary {
    let mut summary = Summary::default();
    let mut known = HashSet::new();
    let (mut said_committed, mut said_rolled_back) = (HashSet::new(), HashSet::new());
    for (_, event) in events(processes) {
        match event {
            Event::Committed { first } => said_committed.insert(*first),
            Event::RolledBack { first } => said_rolled_back.insert(*first),
            _ => false,
        };
    }
    summary.quarantined = tables.quarantined.len();
    let left: HashSet<i64> = tables.left.iter().copied().collect();
    let mut faults: Vec<Moment> = events(processes)
        .filter(|(_, event)| matches!(event, Event::Fault(_) | Event::ServerKilled))
        .map(|(at, _)| at)
        .collect();
    faults.sort_unstable();
    for (began, event) in events(processes) {
        let Event::Intended(batch) = event else {
            continue;
        };
        known.extend(batch.numbers());
        let is_committed = tables.committed.contains(&batch.first);
        let count = usize::try_from(batch.count).unwrap_or_default();
        let (said_committed, said_rolled_back) = (
            said_committed.contains(&batch.first),
            said_rolled_back.contains(&batch.first),
        );
        if said_committed && !is_committed || said_rolled_back && is_committed {
            found.push(Violation::Misreported(batch.first));
        }
        match (is_committed, said_committed || said_rolled_back) {
            (_, false) => summary.in_doubt += count,
            (true, true) => summary.committed += count,
            (false, true) => summary.rolled_back += count,
        }
        for n in batch.numbers() {
            let attempts = attempts.get(&n).map(Vec::as_slice).unwrap_or_default();
            if is_committed && tables.quarantined.contains(&n) {
                let earlier = faults.partition_point(|at| *at < began);
                if faults.len() - earlier < VANISHED || tables.effects.contains_key(&n) {
                    found.push(Violation::Quarantined(n));
                }
            } else if is_committed {
                check_committed(n, batch, attempts, &left, tables, found);
            } else if !attempts.is_empty()
                || left.contains(&n)
                || tables.effects.contains_key(&n)
                || tables.discarded.contains_key(&n)
            {
                found.push(Violation::Uncommitted(n));
            }
        }
    }
    let strangers = attempts.keys().chain(&left).chain(tables.effects.keys());
    let strangers: HashSet<i64> = strangers.filter(|n| !known.contains(n)).copied().collect();
    found.extend(strangers.into_iter().map(Violation::Uncommitted));
    summary
}

fn check_committed(
    n: i64,
    batch: &Batch,
    attempts: &[Attempt],
    left: &HashSet<i64>,
    tables: &Tables,
    found: &mut Vec<Violation>,
) {
    let plan = batch.plan;
    if let Some(attempt) = attempts.iter().map(|it| it.number).max()
        && attempt > plan.max_attempts
    {
        found.push(Violation::TooManyAttempts { n, attempt });
    }
    let planned = i64::from(plan.once && plan.succeeds());
    let effects = tables.effects.get(&n).copied().unwrap_or_default();
    if effects > planned {
        found.push(Violation::Effects {
            n,
            planned,
            found: effects,
        });
    }
    if left.contains(&n) {
        found.push(Violation::Left(n));
        return;
    }
    match (tables.discarded.get(&n), plan.succeeds()) {
        (Some(attempts), false) if *attempts == plan.max_attempts => {}
        (Some(attempts), _) => found.push(Violation::Discarded {
            n,
            attempts: *attempts,
        }),
        (None, false) => found.push(Violation::Lost(n)),
        (None, true) => {
            let has_succeeded = attempts.iter().any(|it| it.how == Some(How::Succeeded));
            if effects < planned || !has_succeeded {
                found.push(Violation::Lost(n));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Entry, Plan};

    const MARGIN: Duration = Duration::from_millis(100);

    const ONCE: Plan = Plan {
        once: true,
        failures: 0,
        max_attempts: 3,
    };

    fn at(ms: u64, event: Event) -> Entry {
        Entry {
            at: Duration::from_millis(ms + 10_000),
            event,
        }
    }

    fn intended(plan: Plan) -> Event {
        Event::Intended(Batch {
            first: 7,
            count: 1,
            plan,
        })
    }

    fn started(run: u64, attempt: u16) -> Event {
        Event::Started {
            run,
            n: 7,
            task_id: 70,
            attempt,
        }
    }

    fn ended(run: u64, how: How) -> Event {
        Event::Ended { run, how }
    }

    /// A task that was enqueued, ran, and left its effect.
    fn good() -> (Vec<Process>, Tables) {
        let client = vec![at(0, intended(ONCE)), at(1, Event::Committed { first: 7 })];
        let worker = vec![at(2, started(0, 1)), at(9, ended(0, How::Succeeded))];
        let tables = Tables {
            effects: HashMap::from([(7, 1)]),
            committed: HashSet::from([7]),
            ..Tables::default()
        };
        (vec![client, worker], tables)
    }

    fn found(processes: &[Process], tables: &Tables) -> Vec<Violation> {
        check(processes, tables, MARGIN).err().unwrap_or_default()
    }

    #[test]
    fn a_task_that_ran_once_is_in_order() {
        let (processes, tables) = good();
        let summary = check(&processes, &tables, MARGIN).expect("in order");
        assert_eq!((summary.committed, summary.attempts), (1, 1));
    }

    #[test]
    fn a_committed_task_that_never_ran_is_lost() {
        let (mut processes, mut tables) = good();
        processes.pop();
        tables.effects.clear();
        assert_eq!(found(&processes, &tables), [Violation::Lost(7)]);
    }

    #[test]
    fn a_task_whose_only_attempt_failed_and_that_is_gone_is_lost() {
        let (mut processes, mut tables) = good();
        processes[1][1] = at(9, ended(0, How::Failed));
        tables.effects.clear();
        assert_eq!(found(&processes, &tables), [Violation::Lost(7)]);
    }

    #[test]
    fn a_task_that_still_waits_is_not_over() {
        let (mut processes, mut tables) = good();
        processes.pop();
        tables.effects.clear();
        tables.left.push(7);
        assert_eq!(found(&processes, &tables), [Violation::Left(7)]);
    }

    #[test]
    fn a_task_that_was_rolled_back_must_not_run() {
        let (mut processes, mut tables) = good();
        processes[0][1] = at(1, Event::RolledBack { first: 7 });
        tables.committed.clear();
        tables.effects.clear();
        assert_eq!(found(&processes, &tables), [Violation::Uncommitted(7)]);
    }

    #[test]
    fn a_task_of_a_transaction_in_doubt_runs_if_it_was_committed_and_not_if_it_was_not() {
        let (mut processes, mut tables) = good();
        processes[0].pop();
        assert_eq!(found(&processes, &tables), []);
        tables.committed.clear();
        assert_eq!(found(&processes, &tables), [Violation::Uncommitted(7)]);
    }

    #[test]
    fn a_task_that_nobody_enqueued_must_not_run() {
        let (mut processes, mut tables) = good();
        processes.remove(0);
        tables.committed.clear();
        assert_eq!(found(&processes, &tables), [Violation::Uncommitted(7)]);
    }

    #[test]
    fn a_commit_that_was_reported_and_is_gone_is_misreported() {
        let (mut processes, mut tables) = good();
        processes.pop();
        tables.effects.clear();
        tables.committed.clear();
        assert_eq!(found(&processes, &tables), [Violation::Misreported(7)]);
    }

    #[test]
    fn an_effect_must_not_happen_twice() {
        let (processes, mut tables) = good();
        tables.effects.insert(7, 2);
        assert_eq!(
            found(&processes, &tables),
            [Violation::Effects {
                n: 7,
                planned: 1,
                found: 2
            }]
        );
    }

    #[test]
    fn an_effect_must_not_be_missing() {
        let (processes, mut tables) = good();
        tables.effects.clear();
        assert_eq!(found(&processes, &tables), [Violation::Lost(7)]);
    }

    #[test]
    fn a_task_that_fails_for_good_leaves_no_effect_and_all_its_attempts() {
        let (mut processes, mut tables) = good();
        let plan = Plan {
            failures: 2,
            max_attempts: 2,
            ..ONCE
        };
        processes[0][0] = at(0, intended(plan));
        processes[1] = vec![
            at(2, started(0, 1)),
            at(9, ended(0, How::Failed)),
            at(10, started(1, 2)),
            at(19, ended(1, How::Failed)),
        ];
        tables.effects.clear();
        tables.discarded.insert(7, 2);
        assert_eq!(found(&processes, &tables), []);
        tables.discarded.insert(7, 1);
        assert!(matches!(
            found(&processes, &tables)[..],
            [Violation::Discarded { .. }]
        ));
        tables.discarded.insert(7, 2);
        tables.effects.insert(7, 1);
        assert!(matches!(
            found(&processes, &tables)[..],
            [Violation::Effects { .. }]
        ));
    }

    #[test]
    fn attempts_must_not_exceed_their_maximum() {
        let (mut processes, tables) = good();
        processes[1][0] = at(2, started(0, 4));
        assert_eq!(
            found(&processes, &tables),
            [Violation::TooManyAttempts { n: 7, attempt: 4 }]
        );
    }

    /// Two processes that work on the same task at once, from 2 to 2,000 and from 1,000 to 1,500.
    fn doubled() -> (Vec<Process>, Tables) {
        let (mut processes, tables) = good();
        processes[1] = vec![at(2, started(0, 1)), at(2_000, ended(0, How::Dropped))];
        processes.push(vec![
            at(1_000, started(0, 1)),
            at(1_500, ended(0, How::Succeeded)),
        ]);
        (processes, tables)
    }

    #[test]
    fn two_attempts_of_one_task_must_not_be_live_at_once() {
        let (processes, tables) = doubled();
        assert_eq!(
            found(&processes, &tables),
            [Violation::LiveTwice {
                n: 7,
                overlap: Duration::from_millis(500)
            }]
        );
    }

    #[test]
    fn a_process_that_did_not_run_is_excused() {
        let (mut processes, tables) = doubled();
        let stall = Event::Stalled {
            since: Duration::from_millis(10_100),
        };
        processes[1].insert(1, at(1_990, stall.clone()));
        assert_eq!(found(&processes, &tables), []);
        // For a moment only, which a lease has room for.
        processes[1][1] = at(120, stall);
        assert!(!found(&processes, &tables).is_empty());
    }

    #[test]
    fn an_attempt_of_a_killed_process_ends_with_what_was_last_heard_of_it() {
        let (mut processes, tables) = doubled();
        let alive = Event::Fault("any sign of life".to_owned());
        processes[1] = vec![at(2, started(0, 1)), at(1_200, alive)];
        assert_eq!(found(&processes, &tables).len(), 1, "it was alive");
        processes[1].pop();
        assert_eq!(found(&processes, &tables), []);
    }

    #[test]
    fn a_claim_that_a_killed_server_forgot_is_excused() {
        let (mut processes, tables) = doubled();
        processes[0].push(at(100, Event::ServerKilled));
        assert_eq!(found(&processes, &tables), []);
        // Long before the crash it was safe on disk.
        processes[1][0] = at(0, started(0, 1));
        processes[0][2] = at(5_000, Event::ServerKilled);
        assert!(!found(&processes, &tables).is_empty());
    }

    #[test]
    fn a_task_is_quarantined_only_if_its_workers_may_have_vanished_often_enough() {
        let (mut processes, mut tables) = good();
        processes[1].pop();
        tables.effects.clear();
        tables.quarantined.insert(7);
        assert_eq!(found(&processes, &tables), [Violation::Quarantined(7)]);
        let faults = (0..5).map(|ms| at(10 + ms, Event::Fault("kill".to_owned())));
        processes[0].extend(faults);
        assert_eq!(found(&processes, &tables), []);
    }

    #[test]
    fn one_task_must_not_stand_in_two_rows() {
        let (mut processes, tables) = good();
        processes[1].push(at(
            20,
            Event::Started {
                run: 1,
                n: 7,
                task_id: 71,
                attempt: 1,
            },
        ));
        processes[1].push(at(21, ended(1, How::Succeeded)));
        assert_eq!(found(&processes, &tables), [Violation::TwoRows(7)]);
    }
}
