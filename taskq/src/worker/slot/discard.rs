//! What a task type does when one of its tasks is given up, in the transaction that discards it.
//!
//! First the function of the type runs, then the task leaves its lease, then both commit: so what it writes is there
//! once, if and only if the task is dead. If the function fails, all of it is undone. The task waits, with the reason in
//! its metadata why it is given up, and whoever claims it next goes on here, and does not run its handler again. If Postgres
//! refuses twice to have it dead, as where its id has come again, the task is set aside.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::json;
use sqlx::{Error, PgConnection};
use tokio::time::timeout;

use super::handler::{Decided, Ended, Execution, Taken};
use super::hooks::{self, Answer};
use super::session::{Session, begin_in_time, step};
use super::transaction::{NO_TRANSACTION_DELAY, unacceptable};
use crate::attempt::backoff::{MAX_DELAY, Retry};
use crate::attempt::discarded::Discarded;
use crate::attempt::ended::AttemptOutcome;
use crate::attempt::outcome::{Outcome, panic_message};
use crate::attempt::verdict::{GivenUp, Settlement, Verdict, shorten};
use crate::error::{BoxError, TimedOut, error_text};
use crate::store::{CompletionError, Refusal, Store, version_of};
use crate::task::registration::OnDiscardFn;
use crate::worker::tell::with_outcome;
use crate::worker::trouble::Said;

/// The metadata in which a task has why it is given up, where that could not be finished.
const DISCARD: &str = "task.discard";

/// Why a task is not discarded yet.
pub(super) enum NotYet {
    /// What its type does then has failed.
    Failed(String),
    /// A hook does not agree.
    Vetoed(String),
    /// Postgres refuses to have the task dead.
    Refused(Refusal),
    /// Its worker stops, or no transaction could be begun.
    Interrupted(Duration),
}

impl NotYet {
    /// Postgres does not accept what the function did.
    pub(super) fn refused(error: Error) -> Self {
        let failure = CompletionError::unanswered(error);
        Self::Failed(error_text(&*unacceptable(failure)))
    }
}

impl Execution<'_> {
    /// Returns what the task's type does before it is discarded, if it is to be and the type does anything.
    pub(super) fn on_discard(&self, verdict: &Verdict) -> Option<OnDiscardFn> {
        match verdict {
            Verdict::Discard { .. } => self.registration.on_discard,
            _ => None,
        }
    }

    /// Returns the verdict of an earlier attempt that could not be finished.
    pub(super) fn left_to_discard(&self) -> Option<Verdict> {
        let error = self.task.metadata.get(DISCARD)?.get("error")?.as_str()?;
        Some(Verdict::Discard {
            error: error.to_owned(),
            why: GivenUp::Earlier,
        })
    }
}

/// Discards a task after what its type does then. Returns how the attempt ended, and what is left to be written.
pub(super) async fn run(
    execution: &Execution<'_>,
    decided: Decided,
) -> (Ended, Option<Settlement>) {
    let discarded = discard(execution, &decided).await;
    let not_yet = match discarded {
        Ok(ended) => return (ended, None),
        Err(not_yet) => not_yet,
    };
    (Ended::Settled, Some(later(execution, &decided, not_yet)))
}

/// Returns what is written about a task that is not discarded yet.
pub(super) fn later(execution: &Execution<'_>, decided: &Decided, not_yet: NotYet) -> Settlement {
    let error = decided.verdict.error().unwrap_or_default();
    let tries = execution.task.metadata.get(DISCARD);
    let tries = tries.and_then(|it| it.get("tries")?.as_u64()).unwrap_or(0);
    let again = |who: &str, what: &str, problem: String| {
        let tries = tries.saturating_add(1);
        let number = u16::try_from(tries).unwrap_or(u16::MAX);
        let delay = Retry::DEFAULT.wait(number, fastrand::f64());
        tracing::error!(
            error = problem,
            given_up = error,
            retry_in = ?delay,
            "{who} failed; the task waits, to be discarded later"
        );
        let said = format!("{what} failed: {problem}; the task is given up: {error}");
        (delay, Some(shorten(said)), tries)
    };
    let (delay, problem, tries) = match not_yet {
        NotYet::Failed(problem) => again("the function of `on_discard`", "`on_discard`", problem),
        NotYet::Vetoed(problem) => again("a hook", "a hook", problem),
        NotYet::Refused(refusal) => again("discarding", "discarding", refusal.to_string()),
        NotYet::Interrupted(delay) => (delay, None, tries),
    };
    let later = Verdict::DiscardLater {
        delay,
        error: problem,
    };
    // Neither JSON in Postgres nor its text holds a zero byte.
    let error = error.replace('\0', "\u{fffd}");
    let mark = json!({ DISCARD: { "error": error, "tries": tries } }).to_string();
    let later = Decided::from(later);
    execution.count(&later);
    let ended = execution.to_tell(&later);
    Settlement {
        mark: Some(mark),
        ended,
        ..execution.settlement(later.verdict)
    }
}

async fn discard(execution: &Execution<'_>, decided: &Decided) -> Result<Ended, NotYet> {
    let core = execution.core;
    let mut session = match begin_in_time(core).await {
        Ok(session) => session,
        Err(error) => {
            if let Some(Said { error, again }) = core.trouble("begin", &error) {
                tracing::warn!(
                    error,
                    "cannot begin a transaction; the task is discarded later{again}"
                );
            }
            return Err(NotYet::Interrupted(NO_TRANSACTION_DELAY));
        }
    };
    let mut ended = tell(execution, decided, &mut session).await;
    match ended {
        Ok(Ended::Settled) => decided.log(),
        _ => session.roll_back(execution).await,
    }
    // Then its row has the mark, and whoever takes it back goes on here.
    if let Err(NotYet::Refused(refusal)) = &ended
        && execution.left_to_discard().is_some()
        && set_aside(execution, decided, &mut session, refusal).await
    {
        ended = Ok(Ended::Settled);
    }
    // Its lease may have other tasks, whose heartbeats go on.
    core.held.set_settling([execution.task.lease_id], false);
    session.end(core).await;
    ended
}

async fn tell(
    execution: &Execution<'_>,
    decided: &Decided,
    session: &mut Session,
) -> Result<Ended, NotYet> {
    if let Some(why) = before(execution, decided, &mut session.tx).await? {
        return Ok(Ended::Taken(why));
    }
    let accepted = session.own.accept_attempt(&mut session.tx).await;
    accepted.map_err(NotYet::refused)?;
    let settled = session.settle(execution, decided).await;
    settled.map_err(|failure| match failure.refusal() {
        Some(refusal) if refusal.is_about_a_row() => NotYet::Refused(refusal),
        _ => NotYet::Failed(error_text(&*unacceptable(failure))),
    })
}

/// Sets a task aside that Postgres refuses to have dead. Returns whether that went well.
async fn set_aside(
    execution: &Execution<'_>,
    decided: &Decided,
    session: &mut Session,
    refusal: &Refusal,
) -> bool {
    let core = execution.core;
    let given_up = decided.verdict.error().unwrap_or_default();
    let said = format!("discarding failed: {refusal}; the task is given up: {given_up}");
    let later = Decided::from(Verdict::DiscardLater {
        delay: Duration::ZERO,
        error: Some(shorten(said)),
    });
    let settlement = execution.settlement(later.verdict.clone());
    core.held.set_settling([settlement.lease_id], true);
    let written = async {
        let mut store = Store::on(&mut session.tx, core.settings.schema);
        let counted = store.set_aside(&settlement, refusal).await?;
        session.own.commit_and_begin(&mut session.tx).await?;
        Ok(!counted.is_empty())
    };
    match step(written).await {
        Ok(true) => {}
        // The lease is lost, which whoever writes the outcome finds out.
        Ok(false) => return false,
        Err(error) => {
            tracing::debug!(%error, "a task cannot be set aside");
            return false;
        }
    }
    tracing::error!(
        given_up,
        "task set aside in `refused`: Postgres refuses to have it dead: {refusal}"
    );
    core.held.record_settled(settlement.lease_id, 1);
    execution.count(&later);
    if let Some(ended) = execution.to_tell(&later) {
        let error = refusal.to_string();
        core.tell(with_outcome(&ended, AttemptOutcome::Refused { error }));
    }
    true
}

/// Does what comes before a task is discarded: its type's function, then the hooks. Returns why the task was taken
/// meanwhile, if it was.
pub(super) async fn before(
    execution: &Execution<'_>,
    decided: &Decided,
    tx: &mut PgConnection,
) -> Result<Option<Taken>, NotYet> {
    if let Some(on_discard) = execution.on_discard(&decided.verdict)
        && let Some(why) = call(execution, decided, on_discard, tx).await?
    {
        return Ok(Some(why));
    }
    if !execution.asks_hooks(&decided.verdict) {
        return Ok(None);
    }
    match hooks::ask(execution, decided, tx).await {
        Answer::Agreed => Ok(None),
        Answer::Taken(why) => Ok(Some(why)),
        Answer::Stopping => Err(NotYet::Interrupted(Duration::ZERO)),
        Answer::Vetoed(vetoed) => Err(NotYet::Vetoed(said(execution, vetoed.into()))),
    }
}

/// Calls the function of the type. Returns why the task was taken meanwhile, if it was.
async fn call(
    execution: &Execution<'_>,
    decided: &Decided,
    on_discard: OnDiscardFn,
    tx: &mut PgConnection,
) -> Result<Option<Taken>, NotYet> {
    let allowed = execution.registration.declaration.timeout.min(MAX_DELAY);
    let attempt = execution.attempt(Instant::now() + allowed);
    let discarded = Discarded {
        states: &execution.core.states,
        attempt: &attempt,
        error: decided.verdict.error().unwrap_or_default(),
    };
    let (payload, version) = (
        &execution.task.payload,
        version_of(execution.task.payload_version),
    );
    let told = async {
        match on_discard(payload, version, discarded, tx) {
            Ok(told) => told.await,
            Err(error) => Outcome::Failed(error.into()),
        }
    };
    let told = AssertUnwindSafe(told).catch_unwind();
    let outcome = tokio::select! {
        // The task may have been taken while it waited for a connection.
        biased;
        () = execution.taken.cancelled() => return Ok(Some(execution.why_taken())),
        told = timeout(allowed, told) => match told {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Outcome::panicked(&*panic),
            Err(_) => Outcome::Failed(TimedOut::new(allowed).into()),
        },
        () = execution.core.stop.now.cancelled() => return Err(NotYet::Interrupted(Duration::ZERO)),
    };
    if let Outcome::Failed(error) = outcome {
        let text = catch_unwind(AssertUnwindSafe(|| said(execution, error)));
        return Err(NotYet::Failed(
            text.unwrap_or_else(|panic| panic_message(&*panic)),
        ));
    }
    Ok(None)
}

/// Returns what an error says, without the values of secret fields.
fn said(execution: &Execution<'_>, error: BoxError) -> String {
    let (hidden, _) = execution.hide_secrets(&error, None);
    error_text(&**hidden.as_ref().unwrap_or(&error))
}
