//! Running what is due, by the worker's own path, until nothing is.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::attempt::verdict::Verdict;
use crate::error::WorkerError;
use crate::faults::drain_limit;
use crate::worker::{DRAIN_LIMIT, EndedAttempt as Ended, WorkerBuilder};

/// Runs everything that is due now, and returns how the attempts ended.
///
/// It is the worker itself, with the state, the queues and the schema that are given to its builder. What handlers
/// enqueue to run at once is run too, and so are tasks of workers that vanished, and ticks that have come. Retries and
/// delayed tasks that are not due yet stay, and so does what is paused. With [`advance`](super::advance) time moves on
/// to them:
///
/// ```no_run
/// # use std::time::Duration;
/// use taskq::Worker;
/// use taskq::testing::{advance, drain};
///
/// #[taskq::task]
/// async fn remind(usr_id: i64) {}
///
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// let week = Duration::from_secs(7 * 24 * 3600);
/// let database = taskq::testing::Database::fresh().await?;
/// let pool = database.pool();
/// taskq::enqueue(&mut *pool.acquire().await?, Remind { usr_id: 42 }).delay(week).await?;
///
/// assert_eq!(drain(Worker::builder(pool.clone())).await?.total(), 0);
/// advance(&pool, week).await?;
/// assert_eq!(drain(Worker::builder(pool)).await?.completed, 1);
/// # Ok(()) }
/// ```
///
/// A task that fails and is retried at once counts for each attempt. [`run_one`] tells more of one.
///
/// # Errors
///
/// [`DrainError::Worker`] if the worker does not start: its message says why. [`DrainError::Endless`] after a minute.
///
/// # Cancel safety
///
/// As a worker that is dropped: what runs is taken back by others, or by the next call, once its lease has run out.
pub async fn drain(worker: WorkerBuilder) -> Result<OutcomeCounts, DrainError> {
    let drained = worker.drain(usize::MAX).await?;
    let counts = OutcomeCounts::of(&drained.ended);
    match drained.is_complete {
        true => Ok(counts),
        false => Err(DrainError::endless(counts)),
    }
}

/// Runs one task that is due, the one that a worker would run first, and returns what became of it; `None` if nothing
/// is due.
///
/// ```no_run
/// use taskq::Worker;
/// use taskq::testing::{AttemptOutcome, run_one};
///
/// #[taskq::task(max_attempts = 3)]
/// async fn send_push(usr_id: i64) -> Result<(), String> {
///     Err("no such device".into())
/// }
///
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// # let database = taskq::testing::Database::fresh().await?;
/// let pool = database.pool();
/// SendPush::enqueue(&mut *pool.acquire().await?, 42).await?;
///
/// let attempt = run_one(Worker::builder(pool)).await?.expect("a task is due");
/// assert_eq!(attempt.number, 1);
/// let AttemptOutcome::Retried { error, .. } = attempt.outcome else { panic!("{attempt:?}") };
/// assert_eq!(error, "no such device");
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// As [`drain`].
///
/// # Cancel safety
///
/// As [`drain`].
pub async fn run_one(worker: WorkerBuilder) -> Result<Option<EndedAttempt>, DrainError> {
    let mut drained = worker.drain(1).await?;
    if !drained.is_complete {
        return Err(DrainError::endless(OutcomeCounts::of(&drained.ended)));
    }
    let ended = drained.ended.pop();
    Ok(ended.map(|ended| EndedAttempt {
        task_id: ended.task_id,
        task_type: ended.task_type,
        number: ended.number,
        outcome: ended.verdict.into(),
    }))
}

/// An attempt that has ended, and how. Returned by [`run_one`].
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
            Verdict::Snooze { delay } => Self::Snoozed { delay },
            Verdict::HandBack => Self::HandedBack,
            Verdict::Discard { error, .. } => Self::Discarded { error },
            Verdict::Cancel { error } => Self::Cancelled { error },
            Verdict::Invalid { error } => Self::Invalid { error },
            Verdict::Expire => Self::Expired,
        }
    }
}

/// How many attempts ended in which way. Returned by [`drain`].
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

    fn of(ended: &[Ended]) -> Self {
        let mut counts = Self::default();
        for attempt in ended {
            let count = match &attempt.verdict {
                Verdict::Complete | Verdict::Keep { .. } => &mut counts.completed,
                Verdict::Retry { .. } => &mut counts.retried,
                Verdict::Snooze { .. } => &mut counts.snoozed,
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

/// Why [`drain`] or [`run_one`] did not end as it should.
#[derive(Debug)]
#[non_exhaustive]
pub enum DrainError {
    /// The worker did not start, or could not go on.
    Worker(WorkerError),
    /// After so long there was still something to do.
    Endless {
        /// How long.
        limit: Duration,
        /// What had ended until then.
        counts: OutcomeCounts,
    },
}

impl DrainError {
    fn endless(counts: OutcomeCounts) -> Self {
        Self::Endless {
            limit: drain_limit(DRAIN_LIMIT),
            counts,
        }
    }
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(_) => {
                f.write_str("the worker of a test did not start, or could not go on")
            }
            Self::Endless { limit, counts } => write!(
                f,
                "there was still something to do after {limit:?}, when {} attempts had ended: a handler hangs, or each task makes another one due, or Postgres is away",
                counts.total()
            ),
        }
    }
}

impl Error for DrainError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Worker(source) => Some(source),
            Self::Endless { .. } => None,
        }
    }
}

impl From<WorkerError> for DrainError {
    fn from(error: WorkerError) -> Self {
        Self::Worker(error)
    }
}
