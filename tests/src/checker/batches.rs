//! What each transaction enqueued, whether it committed, and what became of its tasks.

use std::collections::{HashMap, HashSet};

use super::attempts::{Attempt, Attempts};
use super::tables::Tables;
use super::violation::Violation;
use crate::history::{Event, How, Moment, Plan, Process, events};

/// A task is quarantined when its worker has vanished so often.
const VANISHED: usize = 5;

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
    /// Enqueues whose task got a key.
    pub keys_taken: usize,
    /// Enqueues that were told which other task has the key.
    pub keys_held: usize,
    /// Ticks of schedules.
    pub ticks: usize,
}

/// What a client heard of the end of a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Committed,
    RolledBack,
    Nothing,
}

/// Judges every transaction and every task.
pub(super) fn judge(
    processes: &[Process],
    tables: &Tables,
    attempts: &Attempts,
    found: &mut Vec<Violation>,
) -> Summary {
    let mut summary = Summary {
        quarantined: tables.quarantined.len(),
        ..Summary::default()
    };
    let (said_committed, said_rolled_back) = said(processes);
    let faults = faults(processes);
    let mut refused_hooks: HashMap<i64, usize> = HashMap::new();
    for (_, event) in events(processes) {
        if let Event::HookRefused { n } = event {
            *refused_hooks.entry(*n).or_default() += 1;
        }
    }
    let mut enqueued = HashSet::new();
    for (began, event) in events(processes) {
        let Event::Intended(batch) = event else {
            continue;
        };
        enqueued.extend(batch.numbers());
        let is_committed = tables.committed.contains(&batch.first);
        let said = if said_committed.contains(&batch.first) {
            Said::Committed
        } else if said_rolled_back.contains(&batch.first) {
            Said::RolledBack
        } else {
            Said::Nothing
        };
        let count = usize::try_from(batch.count).unwrap_or_default();
        match (said, is_committed) {
            (Said::Nothing, _) => summary.in_doubt += count,
            (_, true) => summary.committed += count,
            (_, false) => summary.rolled_back += count,
        }
        if matches!(
            (said, is_committed),
            (Said::Committed, false) | (Said::RolledBack, true)
        ) {
            found.push(Violation::Misreported(batch.first));
        }
        let faults_since = faults.len() - faults.partition_point(|at| *at < began);
        for n in batch.numbers() {
            let attempts = attempts.get(&n).map(Vec::as_slice).unwrap_or_default();
            if !is_committed {
                found.extend(ran_uncommitted(n, attempts, tables));
            } else if tables.quarantined.contains(&n) {
                found.extend(quarantined_without_reason(n, faults_since, tables));
            } else {
                let refused = refused_hooks.get(&n).copied().unwrap_or_default();
                judge_committed(n, batch.plan, attempts, refused, tables, found);
            }
        }
    }
    found.extend(strangers(&enqueued, attempts, tables));
    summary
}

/// Returns the batches that were said to have committed, and those said to have rolled back.
fn said(processes: &[Process]) -> (HashSet<i64>, HashSet<i64>) {
    let (mut committed, mut rolled_back) = (HashSet::new(), HashSet::new());
    for (_, event) in events(processes) {
        match event {
            Event::Committed { first } => committed.insert(*first),
            Event::RolledBack { first } => rolled_back.insert(*first),
            _ => false,
        };
    }
    (committed, rolled_back)
}

/// Returns when something was done to the system, in order.
fn faults(processes: &[Process]) -> Vec<Moment> {
    let mut faults: Vec<Moment> = events(processes)
        .filter(|(_, event)| matches!(event, Event::Fault(_) | Event::ServerKilled))
        .map(|(at, _)| at)
        .collect();
    faults.sort_unstable();
    faults
}

fn ran_uncommitted(n: i64, attempts: &[Attempt], tables: &Tables) -> Option<Violation> {
    let has_left_a_trace = !attempts.is_empty()
        || tables.left.contains(&n)
        || tables.refused.contains(&n)
        || tables.effects.contains_key(&n)
        || tables.discarded.contains_key(&n);
    has_left_a_trace.then_some(Violation::Uncommitted(n))
}

fn quarantined_without_reason(n: i64, faults_since: usize, tables: &Tables) -> Option<Violation> {
    let has_no_reason = faults_since < VANISHED || tables.effects.contains_key(&n);
    has_no_reason.then_some(Violation::Quarantined(n))
}

/// Judges a task that was committed and is not quarantined, and of which hooks were refused so often.
fn judge_committed(
    n: i64,
    plan: Plan,
    attempts: &[Attempt],
    refused_hooks: usize,
    tables: &Tables,
    found: &mut Vec<Violation>,
) {
    let refused = attempts
        .iter()
        .filter(|attempt| attempt.how == Some(How::Refused))
        .count();
    let excused = usize::from(plan.failures) + refused + refused_hooks;
    let last = attempts.iter().map(|attempt| attempt.number).max();
    if let Some(attempt) = last
        && attempt > plan.max_attempts
    {
        found.push(Violation::TooManyAttempts { n, attempt });
    } else if let Some(attempt) = last
        && usize::from(attempt) > excused + 1
    {
        found.push(Violation::Charged {
            n,
            attempt,
            failures: plan.failures,
        });
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
    if tables.left.contains(&n) {
        found.push(Violation::Left(n));
        return;
    }
    if tables.refused.contains(&n) {
        found.push(Violation::Refused(n));
        return;
    }
    match (tables.discarded.get(&n), plan.succeeds()) {
        (Some(attempts), false) if *attempts == plan.max_attempts => {}
        // What Postgres refuses for long uses all attempts of a task that is soon tried again.
        (Some(attempts), true)
            if *attempts == plan.max_attempts && usize::from(*attempts) <= excused => {}
        (Some(attempts), _) => found.push(Violation::Discarded {
            n,
            attempts: *attempts,
        }),
        (None, false) => found.push(Violation::Lost(n)),
        (None, true) => {
            let has_succeeded = attempts
                .iter()
                .any(|attempt| attempt.how == Some(How::Succeeded));
            if effects < planned || !has_succeeded {
                found.push(Violation::Lost(n));
            }
        }
    }
}

/// Finds tasks that nobody enqueued.
fn strangers(
    enqueued: &HashSet<i64>,
    attempts: &Attempts,
    tables: &Tables,
) -> impl Iterator<Item = Violation> {
    let traces = attempts.keys().chain(&tables.left);
    let traces = traces.chain(&tables.refused);
    let traces = traces.chain(tables.effects.keys());
    let strangers: HashSet<i64> = traces.filter(|n| !enqueued.contains(n)).copied().collect();
    strangers.into_iter().map(Violation::Uncommitted)
}
