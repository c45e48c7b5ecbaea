//! What an attempt leaves beside its outcome, until that is written.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::log::Log;
use crate::attempt::Attempt;
use crate::error::AttemptReport;

/// What an attempt leaves beside its outcome.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// What is known of it, where it failed.
    pub(super) report: Mutex<Option<Box<AttemptReport>>>,
    /// Whether it said how far it is.
    has_said: AtomicBool,
    /// The lines that it logs.
    pub(super) log: Log,
}

impl Noted {
    pub(super) fn with(log: &Log) -> Self {
        Self {
            log: log.clone(),
            ..Self::default()
        }
    }

    /// Notes whether an attempt that has ended said how far it is.
    pub(super) fn record_said(&self, attempt: &Attempt) {
        if attempt.says.has_said() {
            self.has_said.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn has_said(&self) -> bool {
        self.has_said.load(Ordering::Relaxed)
    }
}
