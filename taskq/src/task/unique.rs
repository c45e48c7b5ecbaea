//! Of which tasks one at a time may be there.

use std::time::Duration;

use super::range::{MAX_DELAY, refuse};
use crate::error::EnqueueError;

/// How long a debounced task is put off at most, in its delays, unless something else is said.
const MOST_DELAYS: u32 = 10;

/// Says that one task of each key may be there. Two tasks of one type have the same key if their payloads are equal, or
/// [some fields](Self::fields) of them, or if they were enqueued with the same
/// [`unique_key`](crate::Enqueue::unique_key).
///
/// A task type declares it (`#[task(unique = "payload")]`, `#[task(unique(fields(usr_id)))]`), or one enqueue does:
///
/// ```no_run
/// # #[taskq::task] async fn send_digest(usr_id: i64) {}
/// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
/// use taskq::EnqueueOutcome;
/// use taskq::unique::{OnConflict, Unique};
///
/// let unique = Unique::new().on_conflict(OnConflict::Replace);
/// let task = SendDigest::enqueue(tx, 42).unique(unique).unique_key("digest of 42").await?;
/// if task.outcome == EnqueueOutcome::Existing {
///     println!("task {} runs just now", task.task_id);
/// }
/// # Ok(()) }
/// ```
///
/// # What holds
///
/// After an enqueue has committed, the task that it names has the key, or had it when Postgres looked. Of two open
/// transactions that enqueue the same key, the second waits for the end of the first. Keys of one call are taken in
/// order, so calls do not wait for each other in a circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unique {
    pub(crate) fields: Option<&'static [&'static str]>,
    pub(crate) until: Until,
    pub(crate) on_conflict: OnConflict,
}

/// How long a task has its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Until {
    /// Until it has ended: completed, cancelled, or set aside. Between attempts it has it still.
    #[default]
    Done,
    /// While it waits: one more may be enqueued as soon as a worker has claimed it. If it is to be retried it waits
    /// again, and has its key again unless another task has taken it; then both wait.
    Started,
    /// While it waits, and the next one starts when it has ended: one runs, and at most one waits. An enqueue while one
    /// waits replaces it, so the newest payload wins; one while a task runs is seen by a further run. A task that failed
    /// is not retried if another waits by then: that takes its place.
    Again,
    /// For so long from its enqueue, whatever becomes of it.
    Within(Duration),
}

/// What an enqueue does where another task has the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnConflict {
    /// Nothing: the other task stays as it is.
    #[default]
    Keep,
    /// The other task gets what this enqueue says, its payload and its time, and all its attempts; if it runs already, it
    /// stays as it is.
    Replace,
    /// As [`Replace`](Self::Replace), but it runs no later than so long after the other was enqueued. With a delay it
    /// waits for quiet: see [`Enqueue::debounce`](crate::Enqueue::debounce).
    PushBack {
        /// So long after the other task was enqueued.
        at_latest: Duration,
    },
    /// The enqueue fails with [`EnqueueError::Duplicate`].
    Error,
}

/// What an enqueue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnqueueOutcome {
    /// It inserted the task.
    Created,
    /// Another task has the key, and stays as it is.
    Existing,
    /// Another task has the key, waits, and has got what this enqueue says.
    Replaced,
}

impl Unique {
    /// Returns what `#[task(unique = "payload")]` says: the whole payload is the key, until the task has ended, and
    /// another task that has it is kept.
    pub const fn new() -> Self {
        Self {
            fields: None,
            until: Until::Done,
            on_conflict: OnConflict::Keep,
        }
    }

    /// Makes the key of these fields of the payload's JSON, in place of the whole. One that is absent is not one that is
    /// null.
    pub const fn fields(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = Some(fields);
        self
    }

    /// Sets how long a task has its key. With [`Until::Again`] a task that waits is replaced.
    pub const fn until(mut self, until: Until) -> Self {
        self.until = until;
        if let (Until::Again, OnConflict::Keep) = (until, self.on_conflict) {
            self.on_conflict = OnConflict::Replace;
        }
        self
    }

    /// Sets what an enqueue does where another task has the key.
    pub const fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }

    /// Puts the task off with each enqueue, but not for ever.
    pub(crate) const fn debounced(self, delay: Duration) -> Self {
        self.on_conflict(OnConflict::PushBack {
            at_latest: delay.saturating_mul(MOST_DELAYS),
        })
    }

    pub(crate) fn check(&self, key: Option<&str>) -> Result<(), EnqueueError> {
        match key {
            Some("") => return Err(refuse("unique_key", "must not be empty".into())),
            Some(key) if key.contains('\0') => {
                let problem = "must not contain a zero character, which Postgres cannot store";
                return Err(refuse("unique_key", problem.into()));
            }
            _ => {}
        }
        if self.fields.is_some_and(<[_]>::is_empty) {
            let problem = "must name a field, or be of the whole payload: leave `fields` out";
            return Err(refuse("unique", problem.into()));
        }
        match self.until {
            Until::Within(time) if time.is_zero() || time > MAX_DELAY => {
                let problem = "`Within` must be longer than nothing and at most a hundred years";
                return Err(refuse("unique", problem.into()));
            }
            _ => {}
        }
        match self.on_conflict {
            OnConflict::Keep | OnConflict::Error if self.until == Until::Again => {
                let problem = "`Again` has the newest payload hold: leave `on_conflict` out, or say `Replace` or `PushBack`";
                Err(refuse("unique", problem.into()))
            }
            OnConflict::PushBack { at_latest } if at_latest > MAX_DELAY => {
                let problem = "`at_latest` must be at most a hundred years";
                Err(refuse("unique", problem.into()))
            }
            _ => Ok(()),
        }
    }
}

/// What an enqueue says of its key.
#[derive(Debug, Clone, Default)]
pub(crate) struct UniqueOptions {
    pub(crate) unique: Option<Unique>,
    pub(crate) key: Option<String>,
    /// How long the task is put off with each enqueue.
    pub(crate) debounce: Option<Duration>,
    /// How long it waits for a transaction that has the key.
    pub(crate) busy_after: Option<Duration>,
}

impl UniqueOptions {
    /// Returns what holds, where the task type declares this.
    pub(crate) fn over(&self, declared: Option<Unique>) -> Option<Unique> {
        let said = self.unique.or(declared);
        let decides = |unique: Unique| unique.on_conflict != OnConflict::Keep;
        match self.debounce {
            // What was said with the enqueue stands.
            Some(delay) if !self.unique.is_some_and(decides) => {
                Some(said.unwrap_or_default().debounced(delay))
            }
            _ => said.or_else(|| self.key.is_some().then(Unique::new)),
        }
    }
}

impl Default for Unique {
    fn default() -> Self {
        Self::new()
    }
}

impl Until {
    /// Returns its word in SQL, and the seconds of `Within`.
    pub(crate) fn word_and_seconds(self) -> (&'static str, Option<f64>) {
        match self {
            Self::Done => ("done", None),
            Self::Started => ("started", None),
            Self::Again => ("again", None),
            Self::Within(time) => ("within", Some(time.as_secs_f64())),
        }
    }
}

impl OnConflict {
    /// Returns its word in SQL, and the seconds of `at_latest`.
    pub(crate) fn word_and_seconds(self) -> (&'static str, Option<f64>) {
        match self {
            Self::Keep => ("keep", None),
            Self::Replace => ("replace", None),
            Self::PushBack { at_latest } => ("push_back", Some(at_latest.as_secs_f64())),
            Self::Error => ("error", None),
        }
    }
}

impl EnqueueOutcome {
    /// Reads the word of SQL.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "existing" => Self::Existing,
            "replaced" => Self::Replaced,
            _ => Self::Created,
        }
    }
}
