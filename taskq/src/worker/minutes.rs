//! Writing down what was counted: how attempts ended, and how long they took.
//!
//! Each worker adds its counts to those of all, with its heartbeats and every [`PERIOD`] at least. What cannot be written is
//! kept for the next time: it is no more than a few numbers for each kind of tasks. A worker that is killed takes its last
//! counts with it.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Error;

use super::counters::{Kind, Tally};
use super::shared::Core;
use super::trouble::Said;
use crate::store::{Counted, Store};

/// How often counts are written at least, so that they come to stand in the right minute.
pub(super) const PERIOD: Duration = Duration::from_secs(15);

/// Writes what has been counted since the last time.
pub(super) async fn write(core: &Core, store: &mut Store<'_>) -> Result<(), Error> {
    gather(core);
    let tallies = core.counters.take();
    if !tallies.is_empty() {
        if let Err(error) = store.count(&by_outcome(&tallies)).await {
            core.counters.put_back(&tallies);
            return Err(error);
        }
        core.counters.put_minutes(&tallies);
    }
    write_minutes(core, store).await
}

/// Gathers what attempts have counted since the last time.
fn gather(core: &Core) {
    #[cfg(feature = "metrics")]
    super::metrics::publish(core);
    #[cfg(not(feature = "metrics"))]
    core.counters.gather();
}

/// Adds up the queues of a task type, in the order of task types and outcomes.
fn by_outcome(tallies: &[(Kind, Tally)]) -> Vec<(&'static str, &'static str, u64)> {
    let mut counts = BTreeMap::<_, u64>::new();
    for ((_, task_type), tally) in tallies {
        for (outcome, number) in tally.outcomes() {
            *counts.entry((*task_type, outcome)).or_default() += number;
        }
    }
    let counts = counts.into_iter();
    counts
        .map(|((task_type, outcome), number)| (task_type, outcome, number))
        .collect()
}

async fn write_minutes(core: &Core, store: &mut Store<'_>) -> Result<(), Error> {
    let tallies = core.counters.take_minutes();
    let counted: Vec<Counted<'_>> = tallies
        .iter()
        .map(|((queue, task_type), tally)| Counted {
            queue: &core.queue_names[*queue],
            task_type,
            completed: tally.number("completed"),
            failed: tally.number("retry"),
            died: ["discarded", "invalid", "expired"]
                .map(|outcome| tally.number(outcome))
                .iter()
                .sum(),
            wait: &tally.wait,
            run: &tally.run,
        })
        .filter(|kind| kind.completed + kind.failed + kind.died > 0)
        .collect();
    if counted.is_empty() {
        return Ok(());
    }
    let Err(error) = store.count_minutes(&counted).await else {
        return Ok(());
    };
    core.counters.put_minutes(&tallies);
    if error.as_database_error().is_none() {
        return Err(error);
    }
    // It must not make heartbeats look as if they failed: the table may lack a grant, or be full.
    if let Some(Said { error, again }) = core.trouble("minutes", &error) {
        tracing::warn!(
            error,
            "cannot write what was done by the minute; it is kept for the next heartbeat{again}"
        );
    }
    Ok(())
}
