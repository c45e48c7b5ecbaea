//! One call of a handler of many payloads: read, run, and watch over its tasks.

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[cfg(feature = "encryption")]
use super::super::encrypted;
use super::super::handler::{CANCEL_GRACE, Ended, Execution, OVERRUN, Taken};
use super::super::log::Log;
use super::super::noted::Noted;
use super::super::trace;
use super::end::{End, How, Ran};
use crate::attempt::Cancellation;
use crate::attempt::backoff::MAX_DELAY;
use crate::attempt::batch::{Batch, EndingBatch, Outcomes};
use crate::attempt::delivery::Delivery;
use crate::attempt::outcome::Outcome;
use crate::attempt::state::{Made, Parts};
use crate::attempt::tx_handle::GivenTx;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::error::TimedOut;
use crate::faults::crash_point;
use crate::store::{ClaimedTask, version_of};
use crate::task::batch::Unread;
use crate::task::registration::Registration;
use crate::worker::held::many::Running;
use crate::worker::held::pulse::{Polled, Pulse};
use crate::worker::held::running::Place;
use crate::worker::shared::Core;

/// Everything that the attempts of one call need.
pub(super) struct BatchExecution<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) registration: &'a Registration,
    pub(super) queue: usize,
    /// Those whose lease is still held, with their fields decrypted.
    pub(super) tasks: Vec<Cow<'a, ClaimedTask>>,
    /// What is written about those that cannot be decrypted here.
    pub(super) closed: Vec<Settlement>,
    /// What each attempt leaves beside its outcome.
    noted: Vec<Noted>,
    /// On which thread the handler is.
    pub(super) pulse: Arc<Pulse>,
    _places: Vec<Place<'a>>,
    /// Cancelled when one of the tasks is taken from the handler. Then there is a new one.
    token: CancellationToken,
}

impl<'a> BatchExecution<'a> {
    pub(super) fn start(
        core: &'a Arc<Core>,
        registration: &'a Registration,
        queue: usize,
        tasks: &'a [ClaimedTask],
        log: &Log,
    ) -> Self {
        let (token, pulse) = (CancellationToken::new(), Arc::default());
        let (mut held, mut places) = (Vec::new(), Vec::new());
        #[cfg_attr(not(feature = "encryption"), expect(unused_mut))]
        let mut closed = Vec::new();
        for task in tasks {
            let (lease_id, task_id) = (task.lease_id, task.task_id);
            let task_type = registration.task_type;
            // Nothing if the lease was lost while the task waited for its turn.
            let place = (core.held).record_started(lease_id, task_id, task_type, &token, &pulse);
            let Some(place) = place else {
                continue;
            };
            #[cfg(feature = "encryption")]
            let task = match encrypted::open(core, registration, task) {
                Ok(opened) => opened.map_or(Cow::Borrowed(task), Cow::Owned),
                Err(error) => {
                    let execution = Execution {
                        core,
                        registration,
                        queue,
                        task,
                        taken: &token,
                        pulse: &pulse,
                        noted: &Noted::with(log),
                    };
                    let span = trace::of_member(task, &core.queue_names[queue]);
                    closed.push(span.in_scope(|| encrypted::settle(&execution, error)));
                    continue;
                }
            };
            #[cfg(not(feature = "encryption"))]
            let task = Cow::Borrowed(task);
            held.push(task);
            places.push(place);
        }
        let payloads = held.iter().map(|task| &*task.payload);
        log.hide(registration.options.secret, payloads);
        Self {
            core,
            registration,
            queue,
            noted: held.iter().map(|_| Noted::with(log)).collect(),
            tasks: held,
            closed,
            pulse,
            _places: places,
            token,
        }
    }

    pub(super) fn execution(&self, at: usize) -> Execution<'_> {
        Execution {
            core: self.core,
            registration: self.registration,
            queue: self.queue,
            task: &self.tasks[at],
            taken: &self.token,
            pulse: &self.pulse,
            noted: &self.noted[at],
        }
    }

    pub(super) fn delivery(&self) -> Delivery {
        self.registration.declaration.delivery
    }

    pub(super) fn task_type(&self) -> &'static str {
        self.registration.task_type
    }

    pub(super) fn queue(&self) -> usize {
        self.queue
    }

    pub(super) fn all(&self) -> Range<usize> {
        0..self.tasks.len()
    }

    pub(super) fn key(&self, at: usize) -> (Uuid, i64) {
        let task = &self.tasks[at];
        (task.lease_id, task.task_id)
    }

    /// Says something in the name of one of the tasks.
    pub(super) fn in_name_of<T>(&self, at: usize, say: impl FnOnce(&Execution<'_>) -> T) -> T {
        let execution = self.execution(at);
        let queue = &self.core.queue_names[self.queue];
        trace::of_member(execution.task, queue).in_scope(|| say(&execution))
    }

    /// Decides about the tasks that are not to run, and returns the others.
    pub(super) fn look(&self, tasks: impl IntoIterator<Item = usize>) -> (Vec<End>, Vec<usize>) {
        let (mut ends, mut running) = (Vec::new(), Vec::new());
        let (core, now) = (self.core, Instant::now());
        let queue = &core.queue_names[self.queue];
        let is_stopping = core.stop.now.is_cancelled();
        for at in tasks {
            let (task, execution) = (&self.tasks[at], self.execution(at));
            let verdict = if is_stopping || core.pauses.hold(queue, &task.task_type, now) {
                Some(Verdict::HandBack)
            } else if let Some(verdict) = execution.left_to_discard() {
                Some(verdict)
            } else if execution.has_expired() {
                let say = |_: &Execution<'_>| {
                    tracing::info!("task expired: it was not started in time");
                };
                self.in_name_of(at, say);
                Some(Verdict::Expire)
            } else {
                None
            };
            match verdict {
                Some(verdict) => ends.push(End::new(at, Ended::Unsettled(verdict.into()))),
                None => running.push(at),
            }
        }
        (ends, running)
    }

    /// Runs the handler, in a transaction if one is given, and decides.
    pub(super) async fn run_handler(&self, running: &[usize], tx: Option<GivenTx<'_>>) -> Ran {
        let core = self.core;
        let began = Instant::now();
        let allowed = self.registration.declaration.timeout.min(MAX_DELAY);
        let is_in_tx = tx.is_some();
        // A lease may be gone since its task waits for a transaction.
        if is_in_tx && self.token.is_cancelled() {
            let now = self.taken_now(running, &CancellationToken::new());
            return Ran {
                before: Vec::new(),
                how: How::Taken(running.iter().copied().zip(now).collect()),
            };
        }
        let (before, given, start) = self.read(running, began);
        let ran = |how| Ran { before, how };
        let (false, Some(start)) = (given.is_empty(), start) else {
            return ran(How::NotCalled);
        };
        let attempts = given.iter();
        let attempts = attempts.map(|at| self.execution(*at).attempt(began + allowed));
        let EndingBatch(batch) = &EndingBatch(Arc::new(Batch {
            attempts: attempts.collect(),
            deadline: began + allowed,
            cancellation: Cancellation::of(&core.stop.gently),
        }));
        let parts = Parts {
            states: &core.states,
            made: Made::Many(batch),
            tx,
        };
        crash_point("before_handler");
        // What comes before the handler's first wait may panic too.
        let start = catch_unwind(AssertUnwindSafe(|| start(parts)));
        let handler = start.unwrap_or_else(|panic| {
            let outcome = Outcome::panicked(&*panic);
            std::future::ready(Outcomes::All(outcome)).boxed()
        });
        let handler = AssertUnwindSafe(handler).catch_unwind();
        let mut handler = Polled::new(&self.pulse, handler);
        let mut taken: Vec<Option<Taken>> = vec![None; given.len()];
        let mut token = self.token.clone();
        let outcomes = loop {
            tokio::select! {
                // The handler first: most end at once, and then nothing else need be waited for.
                biased;
                ended = timeout_at(batch.deadline.into(), &mut handler) => break match ended {
                    Ok(Ok(outcomes)) => outcomes,
                    Ok(Err(panic)) => Outcomes::All(Outcome::panicked(&*panic)),
                    Err(_) => Outcomes::All(Outcome::Failed(TimedOut::new(allowed).into())),
                },
                () = token.cancelled() => {
                    token = CancellationToken::new();
                    self.look_again(&given, &mut taken, batch, &token);
                    // What it writes could not be committed without the tasks that were taken.
                    if is_in_tx && taken.iter().any(Option::is_some)
                        || taken.iter().all(Option::is_some)
                    {
                        // Others have what was lost, and may be running it.
                        if !taken.contains(&Some(Taken::Lost)) {
                            batch.cancellation.ask();
                            // Nothing that it returns counts.
                            let _ = timeout(CANCEL_GRACE, handler).await;
                        }
                        return ran(How::Taken(given.into_iter().zip(taken).collect()));
                    }
                }
                () = core.stop.now.cancelled() => {
                    tracing::info!("worker is stopping; the tasks are handed back");
                    return ran(How::Stopped(given));
                }
            }
        };
        crash_point("after_handler");
        let ended = Instant::now();
        if ended.saturating_duration_since(batch.deadline) > OVERRUN {
            tracing::warn!(
                took = ?(ended - began),
                timeout = ?allowed,
                "the handler outran its timeout because it blocks its thread, or its process stood still; blocking work belongs in `spawn_blocking`"
            );
        }
        for (at, attempt) in given.iter().zip(batch.iter()) {
            self.noted[*at].record_said(attempt);
            if let Some(time) = attempt.take_hold() {
                // Rare, and large.
                Box::pin(self.execution(*at).hold_key(time)).await;
            }
        }
        // One that was cancelled while the handler ended.
        self.look_again(&given, &mut taken, batch, &CancellationToken::new());
        let outcomes = outcomes.checked(given.len());
        let has_failed = matches!(&outcomes, Outcomes::All(Outcome::Failed(_)));
        let mut members = self.decide(&given, outcomes, batch);
        for (member, why) in members.iter_mut().zip(taken) {
            if let Some(why) = why {
                member.decided = Err(why);
            } else if let Ok(decided) = &mut member.decided {
                let execution = self.execution(member.at);
                execution.report_times(&decided.verdict, began, ended);
                decided.times = Some(execution.times(began, ended));
            }
        }
        ran(How::Decided {
            members,
            has_failed,
        })
    }

    /// Reads the payloads. Returns the ends of the attempts at those that cannot be given to the handler, the others, and what
    /// calls it with them.
    #[allow(clippy::type_complexity)]
    fn read(
        &self,
        running: &[usize],
        now: Instant,
    ) -> (
        Vec<End>,
        Vec<usize>,
        Option<Box<dyn for<'p> FnOnce(Parts<'p>) -> BoxFuture<'p, Outcomes>>>,
    ) {
        let Some(handler) = self.registration.batch else {
            return (Vec::new(), Vec::new(), None);
        };
        let raws = running.iter().map(|at| {
            let task = &self.tasks[*at];
            (&*task.payload, version_of(task.payload_version))
        });
        let read = (handler.read)(&raws.collect::<Vec<_>>());
        let (mut ends, mut given) = (Vec::new(), Vec::new());
        for (at, unread) in running.iter().zip(read.unread) {
            let execution = self.execution(*at);
            let verdict = match unread {
                None => {
                    execution.record_decoded(now);
                    given.push(*at);
                    continue;
                }
                Some(Unread::Invalid(error)) => self.in_name_of(*at, |it| it.refuse(&error, now)),
                Some(Unread::Panicked(error)) => execution.failed_at_end(error),
            };
            ends.push(End::new(*at, Ended::Unsettled(verdict.into())));
        }
        (ends, given, Some(read.start))
    }

    /// Notes which tasks were taken from the handler meanwhile, and tells their attempts.
    fn look_again(
        &self,
        given: &[usize],
        taken: &mut [Option<Taken>],
        batch: &Batch,
        token: &CancellationToken,
    ) {
        let now = self.taken_now(given, token);
        for ((taken, now), attempt) in taken.iter_mut().zip(now).zip(batch) {
            if taken.is_none() && now.is_some() {
                *taken = now;
                attempt.cancellation.ask();
            }
        }
    }

    /// Tells why tasks were taken, of those that were. The others are from now on when `token` is cancelled.
    fn taken_now(&self, tasks: &[usize], token: &CancellationToken) -> Vec<Option<Taken>> {
        let keys: Vec<_> = tasks.iter().map(|at| self.key(*at)).collect();
        let now = self.core.held.watch(&keys, token).into_iter();
        now.map(|now| match now {
            Running::On => None,
            Running::Lost => Some(Taken::Lost),
            Running::Cancelled => Some(Taken::Cancelled),
        })
        .collect()
    }
}
