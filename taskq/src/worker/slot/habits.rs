//! What handlers do to their session that the worker must know before it completes their tasks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::Habits;

/// The habits of the handlers of each task type, as the worker has found out: hardly ever any.
#[derive(Debug, Default)]
pub(crate) struct KnownHabits {
    of_types: Mutex<HashMap<&'static str, Habits>>,
    has_some: AtomicBool,
}

impl KnownHabits {
    /// Notes what a completion has told.
    pub(crate) fn learn(&self, task_type: &'static str, learned: Habits) {
        if learned == Habits::default() {
            return;
        }
        let mut of_types = self.lock();
        let known = of_types.entry(task_type).or_default();
        *known = known.and(learned);
        self.has_some.store(true, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, task_type: &str) -> Habits {
        if !self.has_some.load(Ordering::Relaxed) {
            return Habits::default();
        }
        self.lock().get(task_type).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Habits>> {
        self.of_types.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
