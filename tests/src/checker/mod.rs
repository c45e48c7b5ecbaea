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
//! - Of tasks that share a limit, no more attempts are live at once, and they begin no faster.
//! - Of tasks that have the same key, one lives. Who asks for the key meanwhile gets its id, and later a task of his own.
//! - Each tick of a schedule enqueues its task once.
//! - Nothing starts of what is paused, from a second after the pause on, or as soon as its worker can hear of it.
//! - Of tasks in sequence, none starts before those with smaller ids have ended.
//! - No task is quarantined that its workers had no occasion to vanish with.

mod attempts;
mod batches;
#[cfg(test)]
mod examples;
mod keys;
mod limits;
mod pauses;
mod sequences;
mod tables;
#[cfg(test)]
mod tests;
mod ticks;
mod violation;

use std::collections::HashSet;
use std::time::Duration;

pub use self::batches::Summary;
pub use self::limits::{Rate, beyond, too_fast};
pub use self::sequences::out_of_sequence;
pub use self::tables::{Tables, Ticks};
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
            Event::KeyTaken { .. } => summary.keys_taken += 1,
            Event::KeyHeld { .. } => summary.keys_held += 1,
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
    found.extend(keys::judge(processes, margin));
    found.extend(pauses::judge(processes));
    found.extend(ticks::judge(tables));
    summary.ticks = tables.ticks.values().map(|it| it.taken.len()).sum();
    if found.is_empty() {
        Ok(summary)
    } else {
        Err(found)
    }
}
