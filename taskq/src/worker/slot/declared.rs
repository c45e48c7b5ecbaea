//! What a task type declares about its attempts: how long one takes, how long the next one waits, and until when there
//! are any.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use super::handler::Execution;
use crate::attempt::backoff::{MAX_DELAY, Retry};
use crate::attempt::bounds::Bounds;
use crate::attempt::outcome::panic_message;
use crate::attempt::verdict::Verdict;
use crate::error::{Panicked, error_text};
use crate::store::version_of;
use crate::task::expiry::{EXPIRES, expires_at};

impl Execution<'_> {
    /// Tells whether the task was to start earlier.
    pub(super) fn has_expired(&self) -> bool {
        let written = self.task.metadata.get(EXPIRES);
        let declared = self.registration.options.expires;
        if written.is_none() && declared.is_none() {
            return false;
        }
        let created_at = self.task.created_at;
        // A retry has moved when it is due.
        let due = match self.task.attempts {
            0 => created_at.max(self.task.run_at),
            _ => created_at,
        };
        let expires_at = expires_at(written, created_at, declared, due);
        let now = self.core.database_clock.now();
        expires_at.zip(now).is_some_and(|(end, now)| end <= now)
    }

    /// Returns how long the attempt may take, or what becomes of the task where nobody can say.
    pub(super) fn timeout(&self, began: Instant) -> Result<Duration, Verdict> {
        let Some(timeout_by) = self.registration.timeout_by else {
            return Ok(self.registration.declaration.timeout.min(MAX_DELAY));
        };
        let version = version_of(self.task.payload_version);
        let ask = || timeout_by(&self.task.payload, version);
        match std::panic::catch_unwind(AssertUnwindSafe(ask)) {
            Ok(Ok(timeout)) => Ok(timeout.min(MAX_DELAY)),
            Ok(Err(error)) => Err(self.refuse(&error, began)),
            Err(panic) => {
                let text = format!("the function of `timeout` {}", panic_message(&*panic));
                Err(self.failed_at_end(Panicked::new(text).into()))
            }
        }
    }

    /// Gives the task up where its type allows no further wait.
    pub(super) fn within_bounds(&self, verdict: Verdict) -> Verdict {
        match self.bounds(&verdict) {
            Some(bounds) => bounds.apply(verdict, self.core.database_clock.now()),
            None => verdict,
        }
    }

    /// Returns what the task's row has to tell its next attempt.
    pub(super) fn mark(&self, verdict: &Verdict) -> Option<String> {
        let mark = self.bounds(verdict)?.mark(verdict)?;
        serde_json::to_string(&mark).ok()
    }

    /// Returns what bounds the task, if it is to wait and its type says anything of that.
    fn bounds(&self, verdict: &Verdict) -> Option<Bounds> {
        if !matches!(verdict, Verdict::Retry { .. } | Verdict::Snooze { .. }) {
            return None;
        }
        let declaration = &self.registration.declaration;
        let (max_snoozes, give_up_after) = (declaration.max_snoozes, declaration.give_up_after);
        if max_snoozes.is_none() && give_up_after.is_none() {
            return None;
        }
        // What moves the time when it is due, a retry or a snooze, writes down the end before.
        let due = self.task.created_at.max(self.task.run_at);
        let metadata = &self.task.metadata;
        Some(Bounds::of(metadata, max_snoozes, give_up_after, due))
    }

    /// Returns how long the task waits after an attempt that failed with this error.
    ///
    /// The payload is read once more for a function of it: its handler has consumed the first. Where that function
    /// fails, the task still has to wait for a time.
    pub(super) fn wait_after(&self, error: &(dyn Error + 'static)) -> Duration {
        let number = self.number();
        let Some(retry_by) = self.registration.retry_by else {
            return (self.registration.declaration.retry).wait(number, fastrand::f64());
        };
        let version = version_of(self.task.payload_version);
        let ask = || retry_by(&self.task.payload, version, number, error);
        let problem = match std::panic::catch_unwind(AssertUnwindSafe(ask)) {
            Ok(Ok(wait)) => return wait,
            Ok(Err(error)) => error_text(&error),
            Err(panic) => panic_message(&*panic),
        };
        tracing::error!(
            error = problem,
            "the function of `retry` failed; the task waits as if its type said nothing"
        );
        Retry::DEFAULT.wait(number, fastrand::f64())
    }
}
