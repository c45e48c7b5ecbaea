//! What becomes of each task of a call, as its handler has told it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::handler::Decided;
use super::end::{Member, log_failed};
use super::execution::BatchExecution;
use crate::attempt::Attempt;
use crate::attempt::batch::{Batch, Outcomes, next_most};
use crate::attempt::outcome::Outcome;
use crate::attempt::verbs::{Wish, wish_of};
use crate::error::{BoxError, Secrets, error_text};

impl BatchExecution<'_> {
    pub(super) fn decide(&self, given: &[usize], outcomes: Outcomes, batch: &Batch) -> Vec<Member> {
        let members = given.iter().zip(batch.iter());
        match outcomes {
            Outcomes::All(Outcome::Failed(error)) => {
                let hidden = self.hidden(&error);
                let members = members.map(|(at, attempt)| {
                    self.failed(*at, &error, hidden.as_ref(), attempt, given.len())
                });
                let members: Vec<_> = members.collect();
                log_failed(&members);
                members
            }
            Outcomes::All(outcome) => {
                let members = members.map(|(at, attempt)| {
                    let own = match &outcome {
                        Outcome::Kept(kept) => Outcome::Kept(kept.clone()),
                        Outcome::Completed | Outcome::Failed(_) => Outcome::Completed,
                    };
                    self.decide_one(*at, own, attempt)
                });
                members.collect()
            }
            Outcomes::Each(each) => {
                let members = members.zip(each);
                let members =
                    members.map(|((at, attempt), outcome)| self.decide_one(*at, outcome, attempt));
                members.collect()
            }
        }
    }

    /// Decides about a task that has an outcome of its own.
    fn decide_one(&self, at: usize, outcome: Outcome, attempt: &Attempt) -> Member {
        match outcome {
            Outcome::Failed(error) => {
                let hidden = self.hidden(&error);
                self.failed(at, &error, hidden.as_ref(), attempt, 1)
            }
            outcome => {
                // An error whose text panics is a failure like any other.
                let execution = self.execution(at);
                let decide = AssertUnwindSafe(|| execution.decide(outcome, attempt));
                let decided = catch_unwind(decide)
                    .unwrap_or_else(|panic| execution.decide(Outcome::panicked(&*panic), attempt));
                Member {
                    at,
                    decided: Ok(decided),
                    most: None,
                }
            }
        }
    }

    /// Decides about a task that has failed, together with all of `size` tasks.
    fn failed(
        &self,
        at: usize,
        error: &BoxError,
        hidden: Option<&BoxError>,
        attempt: &Attempt,
        size: usize,
    ) -> Member {
        let execution = self.execution(at);
        let own = attempt.take_wish();
        let decide = AssertUnwindSafe(|| {
            let wish = own.clone().or_else(|| wish_of(&**error));
            let wish = self.hide_in(wish);
            let is_charged = wish.is_none();
            (
                execution.decide_failure(error, hidden, wish, attempt),
                is_charged,
            )
        });
        let (decided, is_charged) = catch_unwind(decide).unwrap_or_else(|panic| {
            let outcome = Outcome::panicked(&*panic);
            (execution.decide(outcome, attempt), true)
        });
        let decided = Decided {
            verdict: execution.within_bounds(decided.verdict),
            ..decided
        };
        let most = (size > 1 && is_charged).then(|| self.next_most(at, size));
        Member {
            at,
            decided: Ok(decided),
            most,
        }
    }

    /// Decides about tasks all of which failed after their handler had ended.
    pub(super) fn failed_at_end(&self, members: Vec<Member>, error: &BoxError) -> Vec<Member> {
        let (size, hidden) = (members.len(), self.hidden(error));
        let said = hidden
            .as_ref()
            .map_or_else(|| error_text(&**error), |it| it.to_string());
        let failed = members.into_iter().map(|member| {
            let verdict = self.execution(member.at).failed_at_end(said.clone().into());
            Member {
                decided: Ok(Decided {
                    is_failure: true,
                    is_mixed_up: member.decided.is_ok_and(|it| it.is_mixed_up),
                    ..verdict.into()
                }),
                most: (size > 1).then(|| self.next_most(member.at, size)),
                ..member
            }
        });
        failed.collect()
    }

    pub(super) fn next_most(&self, at: usize, size: usize) -> usize {
        let (number, max_attempts) = self.execution(at).bounds_of_attempts();
        next_most(size, number, max_attempts)
    }

    /// Takes the secret values of all payloads out of what is said of a failure: it may quote any of them.
    fn hidden(&self, error: &BoxError) -> Option<BoxError> {
        if !self.has_secrets() {
            return None;
        }
        let text = catch_unwind(AssertUnwindSafe(|| error_text(&**error)));
        Some(self.hide(text.ok()?).into())
    }

    fn hide_in(&self, wish: Option<Wish>) -> Option<Wish> {
        if !self.has_secrets() {
            return wish;
        }
        wish.map(|wish| match wish {
            Wish::Discard(why) => Wish::Discard(self.hide(why)),
            Wish::Cancel(why) => Wish::Cancel(self.hide(why)),
            Wish::RetryIn(_) | Wish::Snooze(_) => wish,
        })
    }

    fn has_secrets(&self) -> bool {
        !self.registration.options.secret.is_empty()
    }

    fn hide(&self, text: String) -> String {
        let fields = self.registration.options.secret;
        self.tasks.iter().fold(text, |text, task| {
            Secrets::of(fields, Some(&task.payload)).hide(text)
        })
    }
}
