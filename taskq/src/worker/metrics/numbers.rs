//! What a worker is and has, as numbers.

use std::sync::atomic::Ordering;

use super::names::{CLAIMED_TASKS, CLAIMS, Metric, SLOTS, SLOTS_BUSY};
use crate::worker::shared::Core;

/// Returns the metrics that each queue has, with their numbers in the order of the queues.
pub(super) fn of_queues(core: &Core) -> [(Metric, Vec<f64>); 4] {
    let queues = || core.settings.queues.iter().enumerate();
    let meters = |at| core.meters.of_queue(at);
    let each = |number: &dyn Fn(usize) -> u64| queues().map(|(at, _)| float(number(at))).collect();
    [
        (
            CLAIMS,
            each(&|at| meters(at).claims.load(Ordering::Relaxed)),
        ),
        (
            CLAIMED_TASKS,
            each(&|at| meters(at).claimed_tasks.load(Ordering::Relaxed)),
        ),
        (SLOTS, each(&|at| core.settings.queues[at].1 as u64)),
        (SLOTS_BUSY, each(&|at| core.buffers[at].running() as u64)),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
