//! Making an attempt in a transaction in a queue where there may be no connection for it: see `places`.

use super::handler::{Ended, Execution};
use super::transaction;
use crate::attempt::verdict::Verdict;

/// Runs a handler in a transaction once there is a place for it, and keeps nothing.
pub(crate) async fn run(execution: &Execution<'_>) -> Ended {
    let core = execution.core;
    let _place = tokio::select! {
        biased;
        place = core.shared_places.take_for_stray() => place,
        () = execution.taken.cancelled() => return Ended::Taken(execution.why_taken()),
        () = core.stop.now.cancelled() => return Ended::Unsettled(Verdict::HandBack.into()),
    };
    let mut session = None;
    let ended = transaction::run(execution, &mut session).await;
    // Another slot may be waiting for the place.
    if let Some(session) = session {
        session.end(core).await;
    }
    ended
}
