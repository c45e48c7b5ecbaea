//! The checker: reads what the processes recorded and what the tables hold afterwards, and says what
//! of it must not be.
//!
//! - Nothing committed is lost, and it ends as planned.
//! - Nothing rolled back runs. Of a transaction whose end nobody heard of, all tasks run or none.
//! - Effects in the handler's transaction happen exactly once, of failed attempts never.
//! - No two attempts of a task are live at once. An attempt lives from its first to its last moment,
//!   less what is excused, because no lease can forbid it: a process that is dead or did not run,
//!   and claims that a killed server forgot.
//! - Attempts never exceed their maximum, and nobody is charged for what his handler did not do.
//! - No attempt sees what another has left on its session.
//! - A task that Postgres refused is set aside in `refused`, and there until it is taken back.
//! - Of tasks that share a limit, no more attempts are live at once.
//! - No task is quarantined that its workers had no occasion to vanish with.

mod attempts;
mod batches;
mod tables;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

pub use self::batches::Summary;
pub use self::tables::Tables;
pub use self::violation::Violation;
use crate::history::{Event, Process, events};

/// Judges a run. `margin` is how long a process may stand still without being excused.
pub fn verify(
    processes: &[Process],
    tables: &Tables,
    margin: Duration,
) -> Result<Summary, Vec<Violation>> {
    let attempts = attempts::by_task(processes, margin);
    let mut found = Vec::new();
    let mut summary = batches::judge(processes, tables, &attempts, &mut found);
    let mut renumbered = HashSet::new();
    for (_, event) in events(processes) {
        match event {
            Event::Renumbered { n } => drop(renumbered.insert(*n)),
            Event::Trace { n, what } => found.push(Violation::Trace {
                n: *n,
                what: what.clone(),
            }),
            _ => {}
        }
    }
    for (n, attempts) in &attempts {
        found.extend(attempts::two_live_at_once(*n, attempts));
        if !renumbered.contains(n) {
            found.extend(attempts::two_rows(*n, attempts));
        }
        summary.attempts += attempts.len();
        summary.unfinished += attempts.iter().filter(|it| it.is_unfinished()).count();
    }
    if found.is_empty() {
        Ok(summary)
    } else {
        Err(found)
    }
}

/// Finds groups of tasks of which more attempts were live at once than their limit: for each, how many. `group` tells the
/// group of a task by the number in its payload.
pub fn beyond<G: Ord>(
    processes: &[Process],
    margin: Duration,
    limit: usize,
    group: impl Fn(i64) -> G,
) -> BTreeMap<G, usize> {
    let mut groups = BTreeMap::<G, Vec<_>>::new();
    for (n, attempts) in &attempts::by_task(processes, margin) {
        groups
            .entry(group(*n))
            .or_default()
            .extend(attempts.clone());
    }
    let counted = groups
        .into_iter()
        .map(|(group, attempts)| (group, attempts::most_live_at_once(attempts.iter())));
    counted.filter(|(_, most)| *most > limit).collect()
}
