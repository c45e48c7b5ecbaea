//! What a task type declares by a function of its payload.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use super::handler::Execution;
use crate::attempt::backoff::{MAX_DELAY, Retry};
use crate::attempt::outcome::panic_message;
use crate::attempt::verdict::Verdict;
use crate::error::{Panicked, error_text};
use crate::store::version_of;

impl Execution<'_> {
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
