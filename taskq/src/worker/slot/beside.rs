//! Completing a task whose handler had no transaction, in one of its own, because hooks want to be asked in it.
//!
//! In order: begin, hooks, deferred constraints, the task leaves its lease, commit. The handler has ended before, so it runs
//! again where any of that fails.

use super::handler::{Decided, Ended, Execution, Interrupted};
use super::hooks::{Answer, ask};
use super::session::{Session, begin_in_time};
use super::transaction::{stop_query, unacceptable};
use crate::attempt::verdict::Verdict;
use crate::error::{BoxError, error_text};
use crate::hooks::Vetoed;
use crate::store;
use crate::worker::trouble::Said;

/// Completes a task whose handler had no transaction, in one in which its hooks agree.
pub(super) async fn complete(execution: &Execution<'_>, decided: Decided) -> Ended {
    let core = execution.core;
    let _place = match core.shared_places.are_shared_in(execution.queue) {
        true => tokio::select! {
            biased;
            place = core.shared_places.take() => Some(place),
            () = execution.taken.cancelled() => return Ended::Taken(execution.why_taken()),
            () = core.stop.now.cancelled() => return Ended::Unsettled(Verdict::HandBack.into()),
        },
        false => None,
    };
    let mut session = match begin_in_time(core).await {
        Ok(session) => session,
        Err(error) => {
            if let Some(Said { error, again }) = core.trouble("begin", &error) {
                tracing::warn!(
                    error,
                    "cannot begin a transaction for hooks; the task runs again{again}"
                );
            }
            return interrupted(execution, error_text(&error));
        }
    };
    let ended = complete_in(execution, &decided, &mut session).await;
    if matches!(ended, Ended::Settled) {
        decided.log();
    } else {
        session.roll_back(execution).await;
    }
    // Its lease may have other tasks, whose heartbeats go on.
    core.held.set_settling([execution.task.lease_id], false);
    session.end(core).await;
    ended
}

async fn complete_in(execution: &Execution<'_>, decided: &Decided, session: &mut Session) -> Ended {
    match ask(execution, decided, &mut session.tx).await {
        Answer::Agreed => {}
        Answer::Vetoed(vetoed) => return vetoed_by(execution, vetoed, session).await,
        Answer::Taken(why) => return Ended::Taken(why),
        Answer::Stopping => return Ended::Unsettled(Verdict::HandBack.into()),
    }
    let settled = match session.own.accept_attempt(&mut session.tx).await {
        Ok(()) => session.settle_beside(execution, decided).await,
        Err(error) => Err(store::CompletionError::unanswered(error)),
    };
    match settled {
        Ok(ended) => ended,
        Err(failure) if failure.is_interruption() => {
            interrupted(execution, error_text(&failure.error))
        }
        Err(failure) => failed(execution, unacceptable(failure)),
    }
}

/// A hook may have failed because the connection did, because the server writes nothing now, or over what somebody else did to
/// the session: then the task runs again, uncharged.
async fn vetoed_by(execution: &Execution<'_>, vetoed: Vetoed, session: &mut Session) -> Ended {
    let undo = session.own.undo(&mut session.tx);
    match stop_query(execution, session.backend, undo).await {
        Err(error) if store::is_lost(&error) => interrupted(execution, error_text(&error)),
        _ if vetoed.is_mixed_up() => {
            store::end_backend(&mut session.tx).await;
            interrupted(
                execution,
                "a statement of a hook was deallocated".to_owned(),
            )
        }
        _ if vetoed.is_read_only() => {
            interrupted(execution, "the server writes nothing now".to_owned())
        }
        _ => failed(execution, vetoed.into()),
    }
}

fn interrupted(execution: &Execution<'_>, error: String) -> Ended {
    let charged = format!("the transaction of its hooks was not committed: {error}");
    Ended::Interrupted(Interrupted {
        error,
        charged: execution.failed_at_end(charged.into()),
    })
}

fn failed(execution: &Execution<'_>, error: BoxError) -> Ended {
    let decided = Decided::from(execution.failed_at_end(error));
    if !execution.leaves_in_own_transaction(&decided.verdict) {
        decided.log();
    }
    Ended::Unsettled(decided)
}
