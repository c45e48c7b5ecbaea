//! How many attempts ended in which way that a test has run.

use crate::attempt::ended::{AttemptOutcome, EndedAttempt};

/// How many attempts ended in which way. Returned by [`drain`](super::drain).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutcomeCounts {
    /// Handlers that succeeded.
    pub completed: usize,
    /// Handlers that failed, and whose tasks wait for another attempt.
    pub retried: usize,
    /// Handlers that asked to run later.
    pub snoozed: usize,
    /// Tasks that are dead now: their handlers said so, or failed in the last attempt.
    pub discarded: usize,
    /// Tasks of which their handlers found that they are no longer wanted.
    pub cancelled: usize,
    /// Tasks whose payloads do not decode.
    pub invalid: usize,
    /// Tasks that were to start by a time, and did not.
    pub expired: usize,
    /// Attempts that were not made, or not to their end, and count for nothing.
    pub handed_back: usize,
}

impl OutcomeCounts {
    /// Returns how many attempts ended, however they did.
    pub fn total(&self) -> usize {
        let Self {
            completed,
            retried,
            snoozed,
            discarded,
            cancelled,
            invalid,
            expired,
            handed_back,
        } = self;
        completed + retried + snoozed + discarded + cancelled + invalid + expired + handed_back
    }

    pub(super) fn of(ended: &[EndedAttempt]) -> Self {
        let mut counts = Self::default();
        for attempt in ended {
            let count = match &attempt.outcome {
                AttemptOutcome::Completed => &mut counts.completed,
                AttemptOutcome::Retried { .. } => &mut counts.retried,
                AttemptOutcome::Snoozed { .. } => &mut counts.snoozed,
                AttemptOutcome::Discarded { .. } => &mut counts.discarded,
                AttemptOutcome::Cancelled { .. } => &mut counts.cancelled,
                AttemptOutcome::Invalid { .. } => &mut counts.invalid,
                AttemptOutcome::Expired => &mut counts.expired,
                AttemptOutcome::HandedBack => &mut counts.handed_back,
                // It is counted as it was decided, before anybody can know.
                AttemptOutcome::Refused { .. } | AttemptOutcome::Lost => continue,
            };
            *count += 1;
        }
        counts
    }
}
