//! Asking hooks in the transaction in which a task leaves its lease: that of the handler, or one of its own.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::timeout;

use super::handler::{Decided, Execution, Taken};
use crate::attempt::backoff::MAX_DELAY;
use crate::attempt::ended::{AttemptOutcome, EndedAttempt};
use crate::attempt::verdict::Verdict;
use crate::error::{TimedOut, of_database};
use crate::hooks::Vetoed;
use crate::store::{mixes_up_statements, writes_nothing};
use crate::task::secret::masked;
use crate::worker::tell::cancelled_by_operator;

/// What hooks have answered.
pub(super) enum Answer {
    /// That the outcome may be written.
    Agreed,
    /// That it may not.
    Vetoed(Vetoed),
    /// Nothing, because the task was taken away.
    Taken(Taken),
    /// Nothing, because the worker stops.
    Stopping,
}

impl Vetoed {
    /// Tells whether a statement of the hook failed over what somebody else has prepared on the session, or deallocated.
    pub(super) fn is_mixed_up(&self) -> bool {
        of_database(&*self.error).any(mixes_up_statements)
    }

    /// Tells whether a statement of the hook failed because the server writes nothing.
    pub(super) fn is_read_only(&self) -> bool {
        of_database(&*self.error).any(writes_nothing)
    }
}

impl Execution<'_> {
    /// Tells whether hooks are asked before this is written.
    pub(super) fn asks_hooks(&self, verdict: &Verdict) -> bool {
        self.registration.hooks.in_tx != 0
            && (verdict.is_completion() || matches!(verdict, Verdict::Discard { .. }))
    }

    /// Tells whether more than this is done in the transaction in which it is written.
    pub(super) fn leaves_in_own_transaction(&self, verdict: &Verdict) -> bool {
        self.on_discard(verdict).is_some() || self.asks_hooks(verdict)
    }

    /// Returns what is told of an attempt.
    pub(super) fn ended(&self, decided: &Decided) -> EndedAttempt {
        let times = decided.times();
        let times = times.map(|times| (times.wait, times.run));
        EndedAttempt {
            report: self.report_of(&decided.verdict),
            ..self.ended_as(decided.verdict.outcome(), times)
        }
    }

    fn ended_as(
        &self,
        outcome: AttemptOutcome,
        times: Option<(Duration, Duration)>,
    ) -> EndedAttempt {
        let payload = &self.task.payload;
        let hidden = masked(self.registration.options.secret, payload);
        EndedAttempt {
            task_id: self.task.task_id,
            task_type: self.registration.task_type,
            queue: self.core.queue_names[self.queue].clone(),
            number: self.number(),
            max_attempts: self.max_attempts(),
            outcome,
            worker_id: self.core.worker_id,
            created_at: self.task.created_at,
            waited: times.map(|(wait, _)| wait),
            ran: times.map(|(_, run)| run),
            report: None,
            payload: Arc::from(hidden.as_ref().unwrap_or(payload).get()),
            metadata: self.task.metadata.clone(),
        }
    }

    /// Returns what to tell once a decision is written, if somebody wants to know.
    pub(super) fn to_tell(&self, decided: &Decided) -> Option<Arc<EndedAttempt>> {
        let is_observed = self.core.is_observed(self.registration);
        is_observed.then(|| Arc::new(self.ended(decided)))
    }

    /// Tells that the task was taken from its handler.
    pub(super) async fn tell_taken(&self, why: Taken) {
        match why {
            Taken::Lost => {
                let lost = self.ended_as(AttemptOutcome::Lost, None);
                let mut store = self.core.store();
                self.core.tell_lost(&mut store, &[Arc::new(lost)]).await;
            }
            Taken::Cancelled => {
                let cancelled = self.ended_as(cancelled_by_operator(), None);
                self.core.tell(Arc::new(cancelled));
            }
        }
    }
}

/// Asks the hooks of a task's type, one after the other, for no longer than an attempt of the type may take.
pub(super) async fn ask(
    execution: &Execution<'_>,
    decided: &Decided,
    tx: &mut PgConnection,
) -> Answer {
    let core = execution.core;
    let ended = execution.ended(decided);
    let allowed = execution.registration.declaration.timeout.min(MAX_DELAY);
    for hook in core.settings.hooks.at(execution.registration.hooks.in_tx) {
        let asked = timeout(allowed, hook.in_tx(&ended, tx));
        let answer = tokio::select! {
            // The task may have been taken while it waited for a connection.
            biased;
            () = execution.taken.cancelled() => return Answer::Taken(execution.why_taken()),
            answer = asked => match answer {
                Ok(answer) => answer,
                Err(_) => Err(hook.record_veto(TimedOut::new(allowed).into())),
            },
            () = core.stop.now.cancelled() => return Answer::Stopping,
        };
        if let Err(vetoed) = answer {
            return Answer::Vetoed(vetoed);
        }
    }
    Answer::Agreed
}
