//! A hook with what is counted of it. What it does cannot end more than its own call.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::PgConnection;

use super::enqueuing::Enqueuing;
use super::hook::{Hook, Wants};
use crate::attempt::ended::EndedAttempt;
use crate::attempt::outcome::panic_message;
use crate::error::{BoxError, error_text};

/// How often the log says of a hook that it fails.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// How long a call of [`Hook::after`] may take.
const AFTER_LIMIT: Duration = Duration::from_secs(30);

/// A hook that somebody has given or registered.
pub(crate) struct HeldHook {
    hook: Box<dyn Hook>,
    pub(crate) name: String,
    vetoes: AtomicU64,
    failures: AtomicU64,
    panics: AtomicU64,
    dropped: AtomicU64,
    /// When the log said last that it fails.
    said: Mutex<Option<Instant>>,
}

/// How often a hook has failed since it was given or registered. Returned by
/// [`Health::hooks`](crate::Health::hooks) and [`Registered::counts`](super::Registered::counts).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookCounts {
    /// The name of the hook.
    pub name: String,
    /// Calls in a transaction that refused, panics among them.
    pub vetoes: u64,
    /// Calls of [`after`](Hook::after) that returned an error or took too long.
    pub failures: u64,
    /// Calls that panicked.
    pub panics: u64,
    /// Attempts of which the hook was not told, because too many were waiting for it, or its worker stopped.
    pub dropped: u64,
}

impl HookCounts {
    /// Returns each number with its word.
    #[cfg(feature = "metrics")]
    pub(crate) fn by_word(&self) -> [(&'static str, u64); 4] {
        [
            ("veto", self.vetoes),
            ("failure", self.failures),
            ("panic", self.panics),
            ("dropped", self.dropped),
        ]
    }
}

/// A hook has refused.
#[derive(Debug)]
pub(crate) struct Vetoed {
    pub(crate) hook: String,
    pub(crate) error: BoxError,
}

impl fmt::Display for Vetoed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = error_text(&*self.error);
        write!(f, "the hook `{}` refused: {error}", self.hook)
    }
}

impl std::error::Error for Vetoed {}

impl HeldHook {
    pub(crate) fn new(hook: impl Hook) -> Self {
        let name = catch_unwind(AssertUnwindSafe(|| hook.name().to_owned()));
        Self {
            name: name.unwrap_or_else(|_| "?".to_owned()),
            hook: Box::new(hook),
            vetoes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            said: Mutex::default(),
        }
    }

    /// Asks which calls the hook wants. Says why, where it panics.
    pub(crate) fn wants(&self, task_type: &str) -> Result<Wants, String> {
        let asked = catch_unwind(AssertUnwindSafe(|| self.hook.wants(task_type)));
        asked.map_err(|panic| self.panicked(&*panic))
    }

    pub(crate) async fn in_tx(
        &self,
        attempt: &EndedAttempt,
        tx: &mut PgConnection,
    ) -> Result<(), Vetoed> {
        let asked = AssertUnwindSafe(async { self.hook.in_tx(attempt, tx).await });
        let answer = asked.catch_unwind().await;
        self.veto(answer.unwrap_or_else(|panic| Err(self.panicked(&*panic).into())))
    }

    pub(crate) async fn enqueue_in_tx(
        &self,
        tasks: &mut Enqueuing<'_>,
        tx: &mut PgConnection,
    ) -> Result<(), Vetoed> {
        let asked = AssertUnwindSafe(async { self.hook.enqueue_in_tx(tasks, tx).await });
        let answer = asked.catch_unwind().await;
        self.veto(answer.unwrap_or_else(|panic| Err(self.panicked(&*panic).into())))
    }

    pub(crate) async fn after(&self, attempt: &EndedAttempt) {
        let told = AssertUnwindSafe(async { self.hook.after(attempt).await }).catch_unwind();
        match tokio::time::timeout(AFTER_LIMIT, told).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                add(&self.failures, 1);
                let text = catch_unwind(AssertUnwindSafe(|| error_text(&*error)));
                self.say(&text.unwrap_or_else(|panic| panic_message(&*panic)));
            }
            Ok(Err(panic)) => {
                self.panicked(&*panic);
            }
            Err(_) => {
                add(&self.failures, 1);
                self.say(&format!("it took longer than {AFTER_LIMIT:?}"));
            }
        }
    }

    /// Records that the hook was not told of so many attempts.
    pub(crate) fn record_dropped(&self, attempts: u64) {
        if attempts > 0 {
            add(&self.dropped, attempts);
            self.say("it is not told of some attempts, because too many wait for it");
        }
    }

    /// Records a veto of a call that was given up.
    pub(crate) fn record_veto(&self, error: BoxError) -> Vetoed {
        add(&self.vetoes, 1);
        Vetoed {
            hook: self.name.clone(),
            error,
        }
    }

    pub(crate) fn counts(&self) -> HookCounts {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        HookCounts {
            name: self.name.clone(),
            vetoes: count(&self.vetoes),
            failures: count(&self.failures),
            panics: count(&self.panics),
            dropped: count(&self.dropped),
        }
    }

    fn veto(&self, answer: Result<(), BoxError>) -> Result<(), Vetoed> {
        answer.map_err(|error| self.record_veto(error))
    }

    fn panicked(&self, panic: &(dyn std::any::Any + Send)) -> String {
        add(&self.panics, 1);
        let message = panic_message(panic);
        self.say(&message);
        message
    }

    fn say(&self, error: &str) {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| now.duration_since(said) >= SAID_EVERY) {
            *said = Some(now);
            let HookCounts {
                failures,
                panics,
                dropped,
                ..
            } = self.counts();
            tracing::error!(
                hook = self.name,
                error,
                failures,
                panics,
                dropped,
                "a hook failed; it is called again the next time"
            );
        }
    }
}

impl fmt::Debug for HeldHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.name).finish()
    }
}

fn add(count: &AtomicU64, number: u64) {
    count.fetch_add(number, Ordering::Relaxed);
}
