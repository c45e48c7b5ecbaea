//! What is left to be written about the tasks of a call.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::super::handler::{Decided, Ended, Execution, Interrupted, Taken, log_end};
use super::super::{beside, discard, trace};
use super::end::{End, marked};
use super::execution::BatchExecution;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::error::BoxError;
use crate::worker::held::many::Running;

impl BatchExecution<'_> {
    /// Returns what is written about one of the tasks.
    pub(super) fn settlement(
        &self,
        at: usize,
        verdict: Verdict,
        most: Option<usize>,
    ) -> Settlement {
        marked(self.execution(at).settlement(verdict), most)
    }

    /// Reports and counts the end of an attempt.
    pub(super) fn record_ended(&self, at: usize, decided: &Decided, most: Option<usize>) {
        // What failed for all was said for all.
        let is_said = most.is_some() && matches!(decided.verdict, Verdict::Retry { .. });
        if is_said || decided.verdict == Verdict::Complete {
            self.execution(at).tally(decided);
        } else {
            self.in_name_of(at, |it| {
                decided.log();
                it.tally(decided);
            });
        }
    }

    /// Returns what is left to be written about the tasks.
    pub(super) async fn left_to_write(&self, ends: Vec<End>) -> Vec<Settlement> {
        let returns = &self.core.returns;
        let mut left = self.closed.clone();
        let mut interrupted = Vec::new();
        for End { at, ended, most } in ends {
            let ended = match ended {
                Ended::Unsettled(decided)
                    if decided.verdict.is_completion()
                        && self.execution(at).asks_hooks(&decided.verdict) =>
                {
                    // Boxed: most types have no hooks.
                    Box::pin(self.complete_beside(at, decided)).await
                }
                ended => ended,
            };
            match ended {
                Ended::Settled => returns.forget(self.tasks[at].task_id),
                Ended::Taken(why) => self.taken(at, why).await,
                Ended::Unsettled(decided) => {
                    returns.forget(self.tasks[at].task_id);
                    left.extend(self.unsettled(at, decided, most).await);
                }
                Ended::Interrupted(why) => interrupted.push((at, why, most)),
            }
        }
        if !interrupted.is_empty() {
            left.extend(self.return_or_charge(interrupted).await);
        }
        left
    }

    async fn unsettled(
        &self,
        at: usize,
        decided: Decided,
        most: Option<usize>,
    ) -> Option<Settlement> {
        if self.is_left_out(at, &decided.verdict) {
            // Boxed: it is rare.
            return Box::pin(self.discard(at, decided)).await;
        }
        self.record_ended(at, &decided, most);
        let ended = self.execution(at).to_tell(&decided);
        Some(Settlement {
            ended,
            ..self.settlement(at, decided.verdict, most)
        })
    }

    /// Tells whether a task leaves in a transaction of its own, whatever transaction the call had.
    pub(super) fn is_left_out(&self, at: usize, verdict: &Verdict) -> bool {
        !verdict.is_completion() && self.execution(at).leaves_in_own_transaction(verdict)
    }

    async fn discard(&self, at: usize, decided: Decided) -> Option<Settlement> {
        let taken = CancellationToken::new();
        if let Some(why) = self.watch(at, &taken) {
            self.taken(at, why).await;
            return None;
        }
        let execution = Execution {
            taken: &taken,
            ..self.execution(at)
        };
        let span = trace::of_member(execution.task, &self.core.queue_names[self.queue]);
        match discard::run(&execution, decided).instrument(span).await {
            (Ended::Taken(why), _) => {
                self.taken(at, why).await;
                None
            }
            (_, left) => left,
        }
    }

    /// Completes a task in a transaction of its own, in which its hooks agree.
    async fn complete_beside(&self, at: usize, decided: Decided) -> Ended {
        let taken = CancellationToken::new();
        if let Some(why) = self.watch(at, &taken) {
            return Ended::Taken(why);
        }
        let execution = Execution {
            taken: &taken,
            ..self.execution(at)
        };
        let span = trace::of_member(execution.task, &self.core.queue_names[self.queue]);
        (beside::complete(&execution, decided).instrument(span)).await
    }

    /// Has a token be cancelled when a task is taken. Returns why it was taken already, if it was.
    fn watch(&self, at: usize, taken: &CancellationToken) -> Option<Taken> {
        match self.core.held.watch(&[self.key(at)], taken)[..] {
            [Running::Lost] => Some(Taken::Lost),
            [Running::Cancelled] => Some(Taken::Cancelled),
            _ => None,
        }
    }

    /// Says that a task was taken from its handler. Nothing is left to be written about it.
    async fn taken(&self, at: usize, why: Taken) {
        self.in_name_of(at, |it| match why {
            Taken::Lost => tracing::warn!("lease lost; this attempt does not count"),
            Taken::Cancelled => {
                tracing::info!(
                    "an operator has cancelled the task; what its handler did about it does not count"
                );
                self.core.held.record_settled(it.task.lease_id, 1);
            }
        });
        if self.core.is_observed(self.registration) {
            // Boxed: it is rare.
            Box::pin(self.execution(at).tell_taken(why)).await;
        }
    }

    /// Returns tasks uncharged whose transaction was interrupted, after a pause. Those that are interrupted again and again
    /// are charged at last.
    async fn return_or_charge(
        &self,
        interrupted: Vec<(usize, Interrupted, Option<usize>)>,
    ) -> Vec<Settlement> {
        let (core, chance) = (self.core, fastrand::f64());
        let mut longest = Duration::ZERO;
        let mut settlements = Vec::with_capacity(interrupted.len());
        for (at, Interrupted { error, charged }, most) in interrupted {
            let decided = match core.returns.record(self.tasks[at].task_id, chance) {
                Some(pause) => {
                    if let Some(said) = (core.troubles).record(
                        "transaction",
                        &*BoxError::from(error),
                        Instant::now(),
                    ) {
                        tracing::warn!(
                            error = said.error,
                            ?pause,
                            "the transaction of a batch was not completed; its tasks run again, and this attempt does not count{}",
                            said.again
                        );
                    }
                    longest = longest.max(pause);
                    Verdict::HandBack
                }
                None => {
                    self.in_name_of(at, |_| log_end(&charged, None));
                    charged
                }
            };
            let decided = Decided::from(decided);
            self.execution(at).tally(&decided);
            let ended = self.execution(at).to_tell(&decided);
            settlements.push(Settlement {
                ended,
                ..self.settlement(at, decided.verdict, most)
            });
        }
        tokio::select! {
            () = sleep(longest) => {}
            () = core.stop.gently.cancelled() => {}
        }
        settlements
    }
}
