//! Running a handler of many payloads in a transaction: its effects and the ends of all its tasks commit together.
//!
//! Where the handler has one outcome for all and that is a failure, what it wrote is undone, and the failures commit in its
//! place. Otherwise what it wrote commits, and each task leaves its lease with its own outcome in the same transaction. The
//! fence is that of each task: if one is not this worker's any more, nothing is committed, and the others run again,
//! uncharged. A task that is discarded where its type has `on_discard`, or hooks want to be asked, leaves in a transaction of its
//! own, afterwards. If a hook refuses one of the tasks that have completed, all fail: what the handler wrote is one.

use std::sync::Arc;

use uuid::Uuid;

use super::super::handler::{Decided, Ended, Interrupted, Taken};
use super::super::hooks::{self, Answer};
use super::super::lazy::Begins;
use super::super::session::{Session, be_ready, begin_in_time, step};
use super::super::transaction::{NO_TRANSACTION_DELAY, stop_query, unacceptable, unless_left_over};
use super::end::{End, How, Member, handed_back, log_failed, taken_or_handed_back};
use super::execution::BatchExecution;
use crate::attempt::lazy::LazyTx;
use crate::attempt::tx_handle::GivenTx;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::error::error_text;
use crate::faults::crash_point;
use crate::hooks::Vetoed;
use crate::store::{self, CompletionError, Store};
use crate::worker::outcomes::split_batch;
use crate::worker::trouble::Said;

/// Makes the attempts. The slot keeps the session where the transaction has settled the tasks.
pub(super) async fn run(
    batch: &BatchExecution<'_>,
    running: &[usize],
    kept: &mut Option<Session>,
) -> Vec<End> {
    let core = batch.core;
    let place = match core.shared_places.are_shared_in(batch.queue()) {
        false => None,
        true => tokio::select! {
            biased;
            place = core.shared_places.take_for_stray() => Some(place),
            () = core.stop.now.cancelled() => {
                return handed_back(running.to_vec()).collect();
            }
        },
    };
    let begun = match kept.take() {
        Some(session) => Ok(session),
        None => begin_in_time(core).await,
    };
    let begun = be_ready(core, batch.task_type(), begun).await;
    let mut session = match begun {
        Ok(session) => session,
        Err(error) => {
            if let Some(Said { error, again }) = core.trouble("begin", &error) {
                tracing::warn!(
                    error,
                    "cannot begin a transaction; the tasks are put off{again}"
                );
            }
            let put_off = running.iter().map(|at| {
                let put_off = Verdict::Snooze {
                    delay: NO_TRANSACTION_DELAY,
                    is_wished: false,
                };
                End::new(*at, Ended::Unsettled(put_off.into()))
            });
            return put_off.collect();
        }
    };
    // Any of these may have come while the tasks waited for a transaction.
    let (mut ends, running) = batch.look(running.iter().copied());
    batch.pulse.set_backend(session.backend);
    let tx = GivenTx::Begun(&mut session.tx);
    let ran = batch.run_handler(&running, Some(tx)).await;
    batch.pulse.set_backend(0);
    ends.extend(ran.before);
    let (own, is_settled) = session.conclude(batch, ran.how).await;
    ends.extend(own);
    if session.is_lost {
        drop(session);
    } else if is_settled && session.is_usable && place.is_none() {
        *kept = Some(session);
    } else {
        session.end(core).await;
    }
    ends
}

/// Makes the attempts of a handler that begins its transaction by itself, or does not.
pub(super) async fn run_lazily(
    batch: &BatchExecution<'_>,
    running: &[usize],
    kept: &mut Option<Session>,
) -> Vec<End> {
    if let Some(session) = kept.take() {
        session.end(batch.core).await;
    }
    let Some(first) = running.first().map(|at| batch.execution(*at)) else {
        return Vec::new();
    };
    let begins = Arc::new(Begins::of(&first));
    let mut lazy = LazyTx::new(begins.clone());
    let ran = batch.run_handler(running, Some(GivenTx::Lazy(&mut lazy)));
    let mut ran = ran.await;
    batch.pulse.set_backend(0);
    let Some((mut session, place)) = begins.take(lazy) else {
        let How::Decided { members, .. } = &mut ran.how else {
            return ran.into_ends();
        };
        if begins.take_failed().is_some() {
            // Nobody knows what the handler would have done.
            let has_failed = |it: &mut Member| it.decided.as_ref().is_ok_and(|it| it.is_failure);
            let failed = members.extract_if(.., has_failed).collect();
            ran.before.extend(interrupted(failed, None));
        }
        return ran.into_ends();
    };
    let (own, _) = session.conclude(batch, ran.how).await;
    ran.before.extend(own);
    // Others may be waiting for the connection.
    match session.is_lost {
        true => drop(session),
        false => session.end(batch.core).await,
    }
    drop(place);
    ran.before
}

impl Session {
    /// Ends the transaction as the handler has decided. Returns the ends of the attempts, and whether the next transaction
    /// has begun.
    async fn conclude(&mut self, batch: &BatchExecution<'_>, how: How) -> (Vec<End>, bool) {
        let ends: Vec<End> = match how {
            How::NotCalled => return (Vec::new(), true),
            How::Decided {
                members,
                has_failed,
            } => {
                let is_taken = |member: &Member| member.decided.is_err();
                if !members.iter().any(is_taken) {
                    let (settled, ends) = match has_failed {
                        false => self.complete_batch(batch, members).await,
                        true => self.record_batch(batch, members).await,
                    };
                    return (ends, settled);
                }
                let taken = members.into_iter();
                let taken = taken.map(|it| (it.at, it.decided.err()));
                taken.map(taken_or_handed_back).collect()
            }
            How::Taken(tasks) => tasks.into_iter().map(taken_or_handed_back).collect(),
            How::Stopped(tasks) => handed_back(tasks).collect(),
        };
        if let Some(end) = ends.first() {
            self.roll_back(&batch.execution(end.at)).await;
        }
        (ends, false)
    }

    /// Commits what the handler did, and with it what became of the tasks.
    async fn complete_batch(
        &mut self,
        batch: &BatchExecution<'_>,
        members: Vec<Member>,
    ) -> (bool, Vec<End>) {
        let committed = self.commit_batch(batch, &members).await;
        let failure = match committed {
            Ok(Fenced::Committed) => return (true, settled(batch, members)),
            Ok(Fenced::Lost(lost)) => {
                let ends = members.into_iter().map(|member| {
                    let is_lost = lost.contains(&member.at);
                    if is_lost {
                        let lease_id = batch.execution(member.at).task.lease_id;
                        batch.core.held.record_settled(lease_id, 1);
                    }
                    taken_or_handed_back((member.at, is_lost.then_some(Taken::Lost)))
                });
                return (false, ends.collect());
            }
            Ok(Fenced::Vetoed(vetoed)) => {
                let is_mixed_up = vetoed.is_mixed_up();
                let mut members = batch.failed_at_end(members, &vetoed.into());
                let decided = members.iter_mut().flat_map(|it| &mut it.decided);
                decided.for_each(|it| it.is_mixed_up |= is_mixed_up);
                log_failed(&members);
                return self.record_batch(batch, members).await;
            }
            Ok(Fenced::Stopping) => {
                if let Some(first) = members.first() {
                    self.roll_back(&batch.execution(first.at)).await;
                }
                let tasks = members.into_iter().map(|member| member.at);
                return (false, handed_back(tasks.collect()).collect());
            }
            Err(failure) => failure,
        };
        if failure.is_interruption() {
            self.is_lost = store::is_lost(&failure.error);
            let error = error_text(&failure.error);
            let charged = format!("its transaction was not committed: {error}");
            let members = batch.failed_at_end(members, &charged.into());
            return (false, interrupted(members, Some(&error)));
        }
        let members = batch.failed_at_end(members, &unacceptable(failure));
        log_failed(&members);
        self.record_batch(batch, members).await
    }

    async fn commit_batch(
        &mut self,
        batch: &BatchExecution<'_>,
        members: &[Member],
    ) -> Result<Fenced, CompletionError> {
        let (core, task_type) = (batch.core, batch.task_type());
        let Some(first) = members.first().map(|member| batch.execution(member.at)) else {
            return Ok(Fenced::Committed);
        };
        if let Some(refused) = self.ask_batch_hooks(batch, members).await {
            return Ok(refused);
        }
        let fresh = core.fresh_session().await.map_err(CompletionError::ours)?;
        let habits = core.habits.of(task_type);
        let accepted = self.own.accept(&mut self.tx, fresh, habits);
        let accepted = unless_left_over(&first, self.backend, accepted).await;
        let committed = match accepted {
            Ok(()) => self.settle_batch(batch, members).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = &committed {
            let learned = failure.habits();
            core.habits.learn(task_type, learned);
            // What the next completion is better prepared for may be no refusal then.
            if habits.and(learned) == habits && failure.refusal().is_some() {
                stop_keeping(batch, members, failure);
            }
        }
        committed
    }

    /// Asks the hooks of the type about each task that has completed. Returns why nothing may be committed, if so.
    async fn ask_batch_hooks(
        &mut self,
        batch: &BatchExecution<'_>,
        members: &[Member],
    ) -> Option<Fenced> {
        for member in members {
            let Ok(decided) = &member.decided else {
                continue;
            };
            let execution = batch.execution(member.at);
            if !decided.verdict.is_completion() || !execution.asks_hooks(&decided.verdict) {
                continue;
            }
            match hooks::ask(&execution, decided, &mut self.tx).await {
                Answer::Agreed => {}
                Answer::Vetoed(vetoed) => return Some(Fenced::Vetoed(vetoed)),
                // One that was taken finds its lease gone when it is handed back.
                Answer::Taken(_) | Answer::Stopping => return Some(Fenced::Stopping),
            }
        }
        None
    }

    /// Undoes what the handler did, and commits in its place what becomes of the tasks.
    async fn record_batch(
        &mut self,
        batch: &BatchExecution<'_>,
        members: Vec<Member>,
    ) -> (bool, Vec<End>) {
        let Some(first) = members.first().map(|member| batch.execution(member.at)) else {
            return (false, Vec::new());
        };
        let decided = || members.iter().filter_map(|it| it.decided.as_ref().ok());
        let is_failure = decided().all(|it| it.is_failure);
        let is_mixed_up = decided().any(|it| it.is_mixed_up);
        let undo = self.own.undo(&mut self.tx);
        let error = match stop_query(&first, self.backend, undo).await {
            // It failed over what somebody else has prepared on this session, or deallocated.
            Ok(()) if is_mixed_up => {
                store::end_backend(&mut self.tx).await;
                self.is_lost = true;
                return (false, interrupted(members, None));
            }
            Ok(()) => match self.settle_batch(batch, &members).await {
                Ok(Fenced::Committed) => return (true, settled(batch, members)),
                // What was decided about the others counts, on another connection.
                Ok(Fenced::Lost(_) | Fenced::Vetoed(_) | Fenced::Stopping) => {
                    return (false, members.into_iter().map(Member::into_end).collect());
                }
                // The handler failed because the server writes nothing now.
                Err(failure) if is_failure && store::is_read_only(&failure.error) => {
                    return (false, interrupted(members, None));
                }
                Err(failure) => failure.error,
            },
            // It failed because the connection did, as far as anybody can tell.
            Err(error) if is_failure && store::is_lost(&error) => {
                self.is_lost = true;
                return (false, interrupted(members, None));
            }
            Err(error) => error,
        };
        tracing::debug!(%error, "the handler's transaction is broken; recording the outcomes on another connection");
        (false, members.into_iter().map(Member::into_end).collect())
    }

    /// Takes the tasks out of their leases, commits, and begins the next transaction. If one is not in its lease any more,
    /// nothing must be committed.
    async fn settle_batch(
        &mut self,
        batch: &BatchExecution<'_>,
        members: &[Member],
    ) -> Result<Fenced, CompletionError> {
        let core = batch.core;
        let mut settlements: Vec<(usize, Settlement)> = members
            .iter()
            .filter_map(|member| {
                let decided = member.decided.as_ref().ok()?;
                // That one leaves in a transaction of its own, with what its type does then.
                let is_left = batch.is_left_out(member.at, &decided.verdict);
                let verdict = decided.verdict.clone();
                let settlement = || batch.settlement(member.at, verdict, member.most);
                (!is_left).then(|| (member.at, settlement()))
            })
            .collect();
        let returns = &core.returns;
        for (_, settlement) in &mut settlements {
            settlement.keep &= !returns.is_not_kept(settlement.task_id);
            if !settlement.keep && settlement.verdict.is_completion() {
                settlement.verdict = Verdict::Complete;
            }
        }
        // Leases are locked in this order everywhere.
        settlements.sort_by_key(|(_, it)| (it.lease_id, it.task_id));
        let (members, settlements): (Vec<_>, Vec<_>) = settlements.into_iter().unzip();
        let leases = || settlements.iter().map(|it| it.lease_id);
        let held = &core.held;
        held.set_settling(leases(), true);
        let settled = self.settle_all(batch, &settlements).await;
        crash_point("after_commit");
        if let Ok(None) = &settled {
            leases().for_each(|lease_id| held.record_settled(lease_id, 1));
        }
        held.set_settling(leases(), false);
        let counted = match settled? {
            None => return Ok(Fenced::Committed),
            Some(counted) => counted,
        };
        let lost = settlements.iter().zip(members);
        let lost = lost.filter(|(it, _)| !counted.contains(&(it.lease_id, it.task_id)));
        Ok(Fenced::Lost(lost.map(|(_, at)| at).collect()))
    }

    /// Returns the tasks that were in their leases still, if not all were, and commits otherwise.
    async fn settle_all(
        &mut self,
        batch: &BatchExecution<'_>,
        settlements: &[Settlement],
    ) -> Result<Option<Vec<(Uuid, i64)>>, CompletionError> {
        let schema = batch.core.settings.schema;
        let mut counted = Vec::with_capacity(settlements.len());
        let mut rest = settlements;
        while !rest.is_empty() {
            let (some, further) = split_batch(rest);
            let settled = step(Store::on(&mut self.tx, schema).settle(some)).await;
            counted.extend(settled.map_err(CompletionError::ours)?);
            rest = further;
        }
        if counted.len() < settlements.len() {
            return Ok(Some(counted));
        }
        let committed = step(self.own.commit_and_begin(&mut self.tx)).await;
        let committed = committed.map_err(CompletionError::ours)?;
        batch.core.habits.learn(batch.task_type(), committed.habits);
        if committed.is_dirty {
            self.clean_up(batch.core, &committed).await;
        }
        Ok(None)
    }
}

/// Whether the tasks were still this worker's when their transaction ended.
enum Fenced {
    Committed,
    /// These were not, and nothing was committed.
    Lost(Vec<usize>),
    /// A hook has refused, and nothing was committed.
    Vetoed(Vetoed),
    /// The worker stops while hooks are asked, and nothing was committed.
    Stopping,
}

/// Returns the ends of attempts whose outcomes were committed.
fn settled(batch: &BatchExecution<'_>, members: Vec<Member>) -> Vec<End> {
    let ends = members.into_iter().map(|member| {
        let Ok(decided) = &member.decided else {
            return member.into_end();
        };
        if batch.is_left_out(member.at, &decided.verdict) {
            return member.into_end();
        }
        batch.record_ended(member.at, decided, member.most);
        if let Some(ended) = batch.execution(member.at).to_tell(decided) {
            batch.core.tell(ended);
        }
        End::new(member.at, Ended::Settled)
    });
    ends.collect()
}

/// Returns the ends of attempts that ended without a fault of their handler.
fn interrupted(members: Vec<Member>, error: Option<&str>) -> Vec<End> {
    let ends = members.into_iter().map(|member| {
        let most = member.most;
        match member.decided {
            Ok(decided) => {
                let mut why = Interrupted::of(decided.verdict);
                if let Some(error) = error {
                    error.clone_into(&mut why.error);
                }
                End {
                    at: member.at,
                    ended: Ended::Interrupted(why),
                    most,
                }
            }
            Err(why) => End::new(member.at, Ended::Taken(why)),
        }
    });
    ends.collect()
}

/// Where Postgres refuses to keep tasks, lets the next attempt complete without that.
fn stop_keeping(batch: &BatchExecution<'_>, members: &[Member], failure: &CompletionError) {
    let kept = members.iter().filter(|member| {
        let is_completion = |it: &Decided| it.verdict.is_completion();
        member.decided.as_ref().is_ok_and(is_completion)
            && batch.execution(member.at).keeps_completed()
    });
    let mut are_kept = false;
    for member in kept {
        are_kept = true;
        let task_id = batch.execution(member.at).task.task_id;
        batch.core.returns.record_not_kept(task_id);
    }
    if are_kept && let Some(refusal) = failure.refusal() {
        tracing::error!(
            "Postgres refuses what became of the tasks of a batch; they run again, and are not kept: {refusal}"
        );
    }
}
