//! What must not be, and how it is said.

use std::fmt;
use std::time::Duration;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A committed task was neither run to its end nor is it anywhere.
    Lost(i64),
    /// A committed task is still there though all should be over.
    Left(i64),
    /// A committed task lies in `refused` though what was in its way is gone.
    Refused(i64),
    /// A task ran or was kept that no transaction has committed.
    Uncommitted(i64),
    /// A transaction was reported as committed and is not, or the other way round.
    Misreported(i64),
    /// A task left its effect more or less often than it should.
    Effects {
        /// The task.
        n: i64,
        /// How often it should.
        planned: i64,
        /// How often it did.
        found: i64,
    },
    /// Two attempts of one task were live at once.
    LiveTwice {
        /// The task.
        n: i64,
        /// For how long.
        overlap: Duration,
    },
    /// A task was attempted more often than it may be.
    TooManyAttempts {
        /// The task.
        n: i64,
        /// The number of the attempt.
        attempt: u16,
    },
    /// An attempt was counted that no failure of its handler has used.
    Charged {
        /// The task.
        n: i64,
        /// The number of the attempt.
        attempt: u16,
        /// How many of its attempts were to fail.
        failures: u16,
    },
    /// An attempt saw what somebody else has left on its session.
    Trace {
        /// The task.
        n: i64,
        /// What it saw.
        what: String,
    },
    /// A task was discarded that was to succeed, or before its attempts were used up.
    Discarded {
        /// The task.
        n: i64,
        /// Its attempts.
        attempts: u16,
    },
    /// A task was quarantined though too little has happened for that.
    Quarantined(i64),
    /// One number stands for two rows.
    TwoRows(i64),
    /// A task got a key while others lived that have it.
    KeyTwice {
        /// The key.
        key: i64,
        /// How many others.
        others: i64,
    },
    /// Tasks that have the same key ran at once.
    KeyRanTwice {
        /// The key.
        key: i64,
        /// How many.
        live: usize,
    },
    /// An enqueue was told that a task has the key which had ended before.
    KeyNotFreed {
        /// The key.
        key: i64,
        /// The task, by its id.
        task_id: i64,
    },
    /// An enqueue was told that a task has the key which has another.
    KeyOfAnother {
        /// The key.
        key: i64,
        /// The task, by its id.
        task_id: i64,
    },
    /// A task started that was paused.
    Paused {
        /// The task.
        n: i64,
        /// So long after the pause.
        after: Duration,
    },
    /// A tick of a schedule did not enqueue its task once.
    Tick {
        /// The schedule.
        schedule: String,
        /// Its time, in seconds since 1970.
        at: i64,
        /// How often it did.
        times: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(n) => write!(f, "task {n} was committed, and is lost"),
            Self::Left(n) => write!(f, "task {n} is not over"),
            Self::Refused(n) => write!(f, "task {n} was refused, and nobody has taken it back"),
            Self::Uncommitted(n) => write!(f, "task {n} was never committed, and ran"),
            Self::Misreported(n) => write!(f, "what was said of the commit of {n} is not true"),
            Self::Effects { n, planned, found } => {
                write!(f, "task {n} left {found} effects in place of {planned}")
            }
            Self::LiveTwice { n, overlap } => {
                write!(f, "task {n} had two live attempts for {overlap:?}")
            }
            Self::TooManyAttempts { n, attempt } => {
                write!(f, "task {n} was attempted {attempt} times")
            }
            Self::Charged {
                n,
                attempt,
                failures,
            } => write!(
                f,
                "task {n} got to attempt {attempt}, and only {failures} were to fail"
            ),
            Self::Trace { n, what } => write!(f, "task {n} found on its session: {what}"),
            Self::Discarded { n, attempts } => {
                write!(f, "task {n} was discarded after {attempts} attempts")
            }
            Self::Quarantined(n) => write!(f, "task {n} was quarantined without a reason"),
            Self::TwoRows(n) => write!(f, "task {n} stood in two rows"),
            Self::KeyTwice { key, others } => {
                write!(
                    f,
                    "key {key} was given to a task while {others} others had it"
                )
            }
            Self::KeyRanTwice { key, live } => write!(f, "of key {key} {live} tasks ran at once"),
            Self::KeyNotFreed { key, task_id } => {
                write!(f, "key {key} was not freed when task {task_id} ended")
            }
            Self::KeyOfAnother { key, task_id } => {
                write!(
                    f,
                    "key {key} was said to be that of task {task_id}, which has another"
                )
            }
            Self::Paused { n, after } => {
                write!(f, "task {n} started {after:?} after it was paused")
            }
            Self::Tick {
                schedule,
                at,
                times,
            } => write!(
                f,
                "schedule {schedule}: the tick at {at} enqueued {times} tasks"
            ),
        }
    }
}
