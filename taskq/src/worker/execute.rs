//! Making one attempt: decode, run, decide.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::Core;
use super::transaction::execute_in_transaction;
use crate::attempt::Attempt;
use crate::error::{BoxError, DecodeError};
use crate::faults::crash_point;
use crate::outcome::Outcome;
use crate::state::Parts;
use crate::store::ClaimedRow;
use crate::task::{Delivery, Registration};
use crate::tx::Tx;
use crate::verdict::{Settlement, Verdict};

/// Everything that one attempt needs.
pub(super) struct Execution {
    pub(super) core: Arc<Core>,
    pub(super) registration: Registration,
    pub(super) row: ClaimedRow,
    /// Cancelled when the lease is lost.
    pub(super) lost: CancellationToken,
    pub(super) outcomes: mpsc::Sender<Settlement>,
}

/// How running a handler ended.
pub(super) enum End {
    /// The attempt is over, and this is what becomes of the task.
    Verdict(Verdict),
    /// The lease was lost: the task belongs to somebody else, and there is nothing to say about it.
    Lost,
}

impl Execution {
    /// Runs the handler and passes on what becomes of the task.
    pub(super) async fn run(self) {
        let end = match self.registration.declaration.delivery {
            Delivery::AtLeastOnce => Some(self.run_handler(None).await),
            // What it settled in its own transaction needs no further word.
            Delivery::Transactional => execute_in_transaction(&self).await,
        };
        let Some(end) = end else { return };
        match end {
            End::Verdict(verdict) => {
                let settlement = self.settlement(verdict);
                // The receiver is there for as long as handlers run.
                let _ = self.outcomes.send(settlement).await;
            }
            End::Lost => tracing::warn!("lease lost; the attempt does not count"),
        }
    }

    /// Runs the handler, in a transaction if one is given, and decides.
    pub(super) async fn run_handler(&self, tx: Option<&mut Tx>) -> End {
        let began = Instant::now();
        let attempt = Arc::new(self.attempt(began));
        // Work that the handler has spawned learns of the end of the attempt, however it ends.
        let _guard = attempt.cancellation.clone().drop_guard();
        let parts = Parts {
            states: &self.core.states,
            attempt: &attempt,
            tx,
        };
        crash_point("before_handler");
        let handler = match self.start_handler(parts) {
            Ok(handler) => handler,
            Err(error) => {
                let verdict = Verdict::invalid(&error);
                tracing::error!(
                    error = verdict.error(),
                    "payload is invalid; task set aside"
                );
                return End::Verdict(verdict);
            }
        };
        let handler = AssertUnwindSafe(handler).catch_unwind();
        let outcome = tokio::select! {
            biased;
            () = self.lost.cancelled() => return End::Lost,
            () = self.core.stop.now.cancelled() => {
                tracing::info!("worker is stopping; task handed back");
                return End::Verdict(Verdict::HandBack);
            }
            ended = timeout_at(attempt.deadline.into(), handler) => match ended {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(panic)) => Outcome::Failed(panic_message(&*panic).into()),
                Err(_) => Outcome::Failed(self.timed_out()),
            },
        };
        crash_point("after_handler");
        // An error whose text panics is a failure like any other.
        let decide = AssertUnwindSafe(|| self.decide(outcome, &attempt));
        let verdict = std::panic::catch_unwind(decide).unwrap_or_else(|panic| {
            self.decide(Outcome::Failed(panic_message(&*panic).into()), &attempt)
        });
        log(&verdict, began.elapsed());
        End::Verdict(verdict)
    }

    // A panic while a payload is decoded must not end more than this attempt either.
    fn start_handler<'a>(&self, parts: Parts<'a>) -> Result<BoxFuture<'a, Outcome>, DecodeError> {
        let start = AssertUnwindSafe(|| (self.registration.run)(&self.row.payload, parts));
        std::panic::catch_unwind(start).unwrap_or_else(|panic| {
            let outcome = Outcome::Failed(panic_message(&*panic).into());
            Ok(std::future::ready(outcome).boxed())
        })
    }

    fn decide(&self, outcome: Outcome, attempt: &Attempt) -> Verdict {
        let (number, max_attempts) = (attempt.number, attempt.max_attempts);
        match outcome {
            Outcome::Completed => Verdict::of_success(attempt.take_wish(), number, max_attempts),
            Outcome::Failed(error) => {
                let wish = attempt.take_wish();
                Verdict::of_failure(&error, wish, number, max_attempts, fastrand::f64())
            }
        }
    }

    /// Decides about an attempt that failed after its handler had ended.
    pub(super) fn failed_at_end(&self, error: BoxError) -> Verdict {
        let (number, max_attempts) = (self.number(), self.max_attempts());
        Verdict::of_failure(&error, None, number, max_attempts, fastrand::f64())
    }

    pub(super) fn settlement(&self, verdict: Verdict) -> Settlement {
        Settlement {
            lease_id: self.row.lease_id,
            task_id: self.row.task_id,
            verdict,
        }
    }

    pub(super) fn number(&self) -> u16 {
        self.row.attempts.saturating_add(1)
    }

    fn max_attempts(&self) -> u16 {
        self.row
            .max_attempts
            .unwrap_or(self.registration.max_attempts)
    }

    fn attempt(&self, began: Instant) -> Attempt {
        Attempt {
            task_id: self.row.task_id,
            number: self.number(),
            max_attempts: self.max_attempts(),
            deadline: began + self.registration.declaration.timeout,
            created_at: self.row.created_at,
            errors: self.row.errors.clone(),
            cancellation: self.core.stop.gently.child_token(),
            wish: Mutex::default(),
        }
    }

    fn timed_out(&self) -> BoxError {
        format!(
            "timed out after {:?}",
            self.registration.declaration.timeout
        )
        .into()
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "with a value that is no text".to_owned());
    format!("panicked: {message}")
}

/// Reports an attempt's end, once, where it is decided.
pub(super) fn log(verdict: &Verdict, took: Duration) {
    match verdict {
        Verdict::Complete => tracing::debug!(?took, "completed"),
        Verdict::Retry { delay, error } => {
            tracing::warn!(?took, error, retry_in = ?delay, "attempt failed; will retry");
        }
        Verdict::Discard { error } => tracing::error!(?took, error, "task discarded"),
        Verdict::Cancel { error } => tracing::info!(?took, error, "task cancelled by its handler"),
        Verdict::Snooze { delay } => tracing::debug!(?took, ?delay, "snoozed"),
        Verdict::HandBack | Verdict::Invalid { .. } => {}
    }
}
