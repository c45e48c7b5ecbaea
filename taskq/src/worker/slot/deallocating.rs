//! The task types whose handlers deallocate what others have prepared on their session: our statements are prepared
//! for each of their tasks anew.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Such task types.
#[derive(Debug, Default)]
pub(crate) struct Deallocating {
    task_types: Mutex<HashSet<&'static str>>,
    /// Whether there are any: as good as never.
    has_some: AtomicBool,
}

impl Deallocating {
    pub(crate) fn insert(&self, task_type: &'static str) {
        let mut task_types = self
            .task_types
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        task_types.insert(task_type);
        self.has_some.store(true, Ordering::Relaxed);
    }

    pub(crate) fn contains(&self, task_type: &str) -> bool {
        let task_types = || {
            self.task_types
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        self.has_some.load(Ordering::Relaxed) && task_types().contains(task_type)
    }
}
