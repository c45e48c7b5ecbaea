//! How attempts ended, counted by task type until a heartbeat writes it down.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

/// What has been counted and not written yet.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    totals: Mutex<HashMap<(&'static str, &'static str), u64>>,
}

impl Counters {
    /// Counts one attempt.
    pub(crate) fn add(&self, task_type: &'static str, outcome: &'static str) {
        *self.lock().entry((task_type, outcome)).or_default() += 1;
    }

    /// Takes what was counted, for writing it down.
    pub(crate) fn take(&self) -> Vec<(&'static str, &'static str, u64)> {
        let totals = std::mem::take(&mut *self.lock());
        totals
            .into_iter()
            .map(|((task_type, outcome), total)| (task_type, outcome, total))
            .collect()
    }

    /// Takes back what could not be written.
    pub(crate) fn put_back(&self, counts: Vec<(&'static str, &'static str, u64)>) {
        let mut totals = self.lock();
        for (task_type, outcome, total) in counts {
            *totals.entry((task_type, outcome)).or_default() += total;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(&'static str, &'static str), u64>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
