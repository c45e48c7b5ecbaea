//! How attempts ended that a test has run.

use std::time::Duration;

use crate::attempt::verdict::Verdict;
use crate::worker::EndedAttempt as Ended;

/// An attempt that has ended, and how. Returned by [`run_one`](super::run_one).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedAttempt {
    /// The task.
    pub task_id: i64,
    /// Its type, by its present name.
    pub task_type: &'static str,
    /// Which attempt of the task it was; the first is 1.
    pub number: u16,
    /// What became of the task.
    pub outcome: AttemptOutcome,
}

impl From<Ended> for EndedAttempt {
    fn from(ended: Ended) -> Self {
        Self {
            task_id: ended.task_id,
            task_type: ended.task_type,
            number: ended.number,
            outcome: ended.verdict.into(),
        }
    }
}

/// What became of a task after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The handler succeeded.
    Completed,
    /// The handler failed, and another attempt follows.
    Retried {
        /// How long the task waits for it.
        delay: Duration,
        /// What the handler said, or that it panicked, or ran too long.
        error: String,
    },
    /// The handler asked to run later.
    Snoozed {
        /// How much later.
        delay: Duration,
    },
    /// The task is dead: the handler said so, or failed in the last attempt.
    Discarded {
        /// What the handler said.
        error: String,
    },
    /// The handler found that the task is no longer wanted.
    Cancelled {
        /// What the handler said.
        error: String,
    },
    /// The payload does not decode.
    Invalid {
        /// Where it does not, and why.
        error: String,
    },
    /// The task was to start by a time, and did not.
    Expired,
    /// The task waits as before, and no attempt was used: it was paused meanwhile, or the connection of its transaction
    /// failed.
    HandedBack,
}

impl From<Verdict> for AttemptOutcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Complete | Verdict::Keep { .. } => Self::Completed,
            Verdict::Retry { delay, error } => Self::Retried { delay, error },
            Verdict::Snooze { delay, .. } | Verdict::DiscardLater { delay, .. } => {
                Self::Snoozed { delay }
            }
            Verdict::HandBack => Self::HandedBack,
            Verdict::Discard { error, .. } => Self::Discarded { error },
            Verdict::Cancel { error } => Self::Cancelled { error },
            Verdict::Invalid { error } => Self::Invalid { error },
            Verdict::Expire => Self::Expired,
        }
    }
}

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

    pub(super) fn of(ended: &[Ended]) -> Self {
        let mut counts = Self::default();
        for attempt in ended {
            let count = match &attempt.verdict {
                Verdict::Complete | Verdict::Keep { .. } => &mut counts.completed,
                Verdict::Retry { .. } => &mut counts.retried,
                Verdict::Snooze { .. } | Verdict::DiscardLater { .. } => &mut counts.snoozed,
                Verdict::Discard { .. } => &mut counts.discarded,
                Verdict::Cancel { .. } => &mut counts.cancelled,
                Verdict::Invalid { .. } => &mut counts.invalid,
                Verdict::Expire => &mut counts.expired,
                Verdict::HandBack => &mut counts.handed_back,
            };
            *count += 1;
        }
        counts
    }
}
