//! Running a handler once: decode, run, decide.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

pub(super) use super::ended::why_taken;
pub(crate) use super::ended::{Decided, Ended, Handled, Interrupted, Taken, log_end};
use super::noted::Noted;
use super::trace;
use crate::attempt::outcome::Outcome;
use crate::attempt::progress::Says;
use crate::attempt::state::{Made, Parts};
use crate::attempt::tx_handle::GivenTx;
use crate::attempt::verbs::{Wish, wish_of};
use crate::attempt::verdict::{Settlement, Verdict};
use crate::attempt::{Attempt, Cancellation, Ending};
use crate::error::{BoxError, DecodeError, TimedOut, error_text, of_database};
use crate::faults::crash_point;
use crate::store::{ClaimedTask, mixes_up_statements, version_of};
use crate::task::registration::Registration;
use crate::worker::counters::Times;
use crate::worker::held::pulse::{Polled, Pulse};
use crate::worker::shared::Core;

/// How far a handler may outrun its timeout before that is worth a line.
pub(super) const OVERRUN: Duration = Duration::from_secs(1);

/// How long a handler may go on that is cancelled and asked to come to an end.
pub(super) const CANCEL_GRACE: Duration = Duration::from_millis(500);

/// For how long a key is held at most. More is a mistake of units.
const LONGEST_HOLD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Everything that one attempt needs.
pub(crate) struct Execution<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) registration: &'a Registration,
    /// Which of the worker's queues the task is in.
    pub(crate) queue: usize,
    pub(crate) task: &'a ClaimedTask,
    /// Cancelled when the task is taken from its handler.
    pub(crate) taken: &'a CancellationToken,
    /// On which thread the handler is.
    pub(crate) pulse: &'a Arc<Pulse>,
    pub(crate) noted: &'a Noted,
}

impl Execution<'_> {
    /// Runs the handler, in a transaction if one is given, and decides.
    pub(crate) async fn run_handler(&self, tx: Option<GivenTx<'_>>) -> Handled {
        // Any of these may have come while the task waited for a transaction.
        if self.taken.is_cancelled() {
            return Handled::Taken(self.why_taken());
        }
        let began = Instant::now();
        let queue = &self.core.queue_names[self.queue];
        let is_paused = self.core.pauses.hold(queue, &self.task.task_type, began);
        if is_paused || self.core.stop.now.is_cancelled() {
            return Handled::Decided(Verdict::HandBack.into());
        }
        if let Some(verdict) = self.left_to_discard() {
            return Handled::Decided(verdict.into());
        }
        if self.has_expired() {
            tracing::info!("task expired: it was not started in time");
            return Handled::Decided(Verdict::Expire.into());
        }
        let allowed = match self.timeout(began) {
            Ok(allowed) => allowed,
            Err(verdict) => return Handled::Decided(verdict.into()),
        };
        let Ending(attempt) = &Ending(Arc::new(self.attempt(began + allowed)));
        let parts = Parts {
            states: &self.core.states,
            made: Made::One(attempt),
            tx,
        };
        crash_point("before_handler");
        let handler = match self.start_handler(parts) {
            Ok(handler) => handler,
            Err(error) => return Handled::Decided(self.refuse(&error, began).into()),
        };
        self.record_decoded(began);
        let handler = AssertUnwindSafe(handler).catch_unwind();
        let mut handler = Polled::new(self.pulse, handler);
        let outcome = tokio::select! {
            // The handler first: most end at once, and then nothing else need be waited for.
            biased;
            ended = timeout_at(attempt.deadline.into(), &mut handler) => match ended {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(panic)) => Outcome::panicked(&*panic),
                Err(_) => Outcome::Failed(TimedOut::new(allowed).into()),
            },
            () = self.taken.cancelled() => {
                let why = self.why_taken();
                if why == Taken::Cancelled {
                    attempt.cancellation.ask();
                    // Nothing that it returns counts.
                    let _ = timeout(CANCEL_GRACE, handler).await;
                }
                return Handled::Taken(why);
            }
            () = self.core.stop.now.cancelled() => {
                tracing::info!("worker is stopping; the task is handed back");
                return Handled::Decided(Verdict::HandBack.into());
            }
        };
        crash_point("after_handler");
        self.noted.record_said(attempt);
        let ended = Instant::now();
        if ended.saturating_duration_since(attempt.deadline) > OVERRUN {
            tracing::warn!(
                took = ?(ended - began),
                timeout = ?allowed,
                "the handler outran its timeout because it blocks its thread, or its process stood still; blocking work belongs in `spawn_blocking`"
            );
        }
        if let Some(time) = attempt.take_hold() {
            // Rare, and large.
            Box::pin(self.hold_key(time)).await;
        }
        // An error whose text panics is a failure like any other.
        let decide = AssertUnwindSafe(|| self.decide(outcome, attempt));
        let decided = std::panic::catch_unwind(decide)
            .unwrap_or_else(|panic| self.decide(Outcome::panicked(&*panic), attempt));
        self.report_times(&decided.verdict, began, ended);
        Handled::Decided(Decided {
            times: Some(self.times(began, ended)),
            ..decided
        })
    }

    pub(crate) fn why_taken(&self) -> Taken {
        why_taken(self.core, self.task.lease_id, self.task.task_id)
    }

    /// Has nothing start of the task's key for a while.
    pub(super) async fn hold_key(&self, time: Duration) {
        let time = time.min(LONGEST_HOLD);
        let (lease_id, task_id) = (self.task.lease_id, self.task.task_id);
        match self.core.store().hold_key(lease_id, task_id, time).await {
            Ok(true) => tracing::info!(?time, "nothing more of this key starts for now"),
            Ok(false) => tracing::warn!(
                "the key cannot be held, because the task type has no limit: declare `concurrency` or `rate`; the task is snoozed"
            ),
            Err(error) => tracing::warn!(
                error = error_text(&error),
                "the key could not be held; the task is snoozed"
            ),
        }
    }

    // A panic while a payload is decoded must not end more than this attempt either.
    fn start_handler<'a>(&self, parts: Parts<'a>) -> Result<BoxFuture<'a, Outcome>, DecodeError> {
        let version = version_of(self.task.payload_version);
        let start =
            AssertUnwindSafe(|| (self.registration.run)(&self.task.payload, version, parts));
        std::panic::catch_unwind(start).unwrap_or_else(|panic| {
            let outcome = Outcome::panicked(&*panic);
            Ok(std::future::ready(outcome).boxed())
        })
    }

    pub(super) fn decide(&self, outcome: Outcome, attempt: &Attempt) -> Decided {
        let decided = self.decide_unbounded(outcome, attempt);
        Decided {
            verdict: self.within_bounds(decided.verdict),
            ..decided
        }
    }

    fn decide_unbounded(&self, outcome: Outcome, attempt: &Attempt) -> Decided {
        let (number, max_attempts) = (attempt.number, attempt.max_attempts);
        let wish = attempt.take_wish();
        match outcome {
            Outcome::Completed | Outcome::Kept(_) if self.has_secrets() && wish.is_some() => {
                let (_, wish) = self.hide_secrets(&"".into(), wish);
                Verdict::of_success(wish, number, max_attempts).into()
            }
            Outcome::Completed => Verdict::of_success(wish, number, max_attempts).into(),
            Outcome::Kept(result) => match Verdict::of_success(wish, number, max_attempts) {
                Verdict::Complete => Verdict::Keep { result }.into(),
                wished => wished.into(),
            },
            Outcome::Failed(error) => {
                let wish = wish.or_else(|| wish_of(&*error));
                let (hidden, wish) = self.hide_secrets(&error, wish);
                self.decide_failure(&error, hidden.as_ref(), wish, attempt)
            }
        }
    }

    /// Decides about an attempt that failed with an error, of which only `hidden` is said if there is that.
    pub(super) fn decide_failure(
        &self,
        error: &BoxError,
        hidden: Option<&BoxError>,
        wish: Option<Wish>,
        attempt: &Attempt,
    ) -> Decided {
        let (number, max_attempts) = (attempt.number, attempt.max_attempts);
        let is_failure = matches!(wish, None | Some(Wish::RetryIn(_)));
        let is_mixed_up = is_failure && of_database(&**error).any(mixes_up_statements);
        let said = hidden.unwrap_or(error);
        let wait = || self.wait_after(&**error);
        let verdict = Verdict::of_failure(said, wish, number, max_attempts, wait);
        self.report_error(&verdict, error);
        Decided {
            is_failure,
            is_mixed_up,
            ..verdict.into()
        }
    }

    /// Decides about an attempt that failed after its handler had ended.
    pub(crate) fn failed_at_end(&self, error: BoxError) -> Verdict {
        let (number, max_attempts) = (self.number(), self.max_attempts());
        let (hidden, _) = self.hide_secrets(&error, None);
        let said = hidden.as_ref().unwrap_or(&error);
        let wait = || self.wait_after(&*error);
        let verdict = Verdict::of_failure(said, None, number, max_attempts, wait);
        self.report_error(&verdict, &error);
        self.within_bounds(verdict)
    }

    pub(crate) fn settlement(&self, verdict: Verdict) -> Settlement {
        Settlement {
            lease_id: self.task.lease_id,
            task_id: self.task.task_id,
            mark: self.mark(&verdict),
            report: self.report_of(&verdict),
            verdict,
            keep: self.keeps_completed(),
            is_member: self.task.metadata.is_of_group(),
            ended: None,
        }
    }

    /// Tells whether the task is kept when it has completed.
    pub(crate) fn keeps_completed(&self) -> bool {
        let declaration = &self.registration.declaration;
        declaration.keeps_completed(self.core.settings.keep_completed)
    }

    /// Returns how long the task had been due when its handler began, by Postgres's clock, and how long that ran.
    pub(super) fn times(&self, began: Instant, ended: Instant) -> Times {
        let due = self.task.run_at.max(self.task.created_at);
        let began_at = self.core.database_clock.micros_at(began);
        let wait = began_at.map_or(0, |began_at| began_at - due.timestamp_micros());
        Times {
            wait: Duration::from_micros(u64::try_from(wait).unwrap_or(0)),
            run: ended - began,
        }
    }

    /// Counts an outcome that was written, or is about to be.
    pub(crate) fn count(&self, decided: &Decided) {
        self.tally(decided);
        trace::end(&decided.verdict);
    }

    /// Counts an outcome of one of many attempts that have a span together.
    pub(super) fn tally(&self, decided: &Decided) {
        let Decided { verdict, times, .. } = decided;
        let kind = (self.queue, self.registration.task_type);
        self.core.counters.add(kind, verdict, *times);
        let failing = &self.core.failing;
        failing.record(&self.task.task_type, verdict.is_failure());
        let is_gone = verdict.is_completion() && !self.keeps_completed();
        if is_gone {
            self.noted.log.record_gone(self.task.task_id);
        }
        if self.noted.has_said() {
            self.core.notes.record_ended(self.task.task_id, is_gone);
        }
        if let Some(drain) = &self.core.settings.drain {
            drain.record_ended(self.ended(decided));
        }
    }

    pub(super) fn bounds_of_attempts(&self) -> (u16, u16) {
        (self.number(), self.max_attempts())
    }

    pub(crate) fn number(&self) -> u16 {
        self.task.attempts.saturating_add(1)
    }

    pub(super) fn max_attempts(&self) -> u16 {
        self.task
            .max_attempts
            .unwrap_or(self.registration.options.max_attempts)
    }

    pub(super) fn attempt(&self, deadline: Instant) -> Attempt {
        Attempt {
            task_id: self.task.task_id,
            task_type: self.registration.task_type,
            queue: self.core.queue_names[self.queue].clone(),
            number: self.number(),
            max_attempts: self.max_attempts(),
            deadline,
            created_at: self.task.created_at,
            installation_id: self.core.installation_id,
            errors: self.task.errors.clone(),
            metadata: self.task.metadata.clone(),
            cancellation: Cancellation::of(&self.core.stop.gently),
            wish: Mutex::default(),
            hold: Mutex::default(),
            says: Says::to(
                &self.core.notes,
                self.registration.options.secret,
                &self.task.payload,
            ),
        }
    }
}
