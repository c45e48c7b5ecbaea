//! How a handler's run ended, and what is left to be written about its task.

use std::time::Duration;

use uuid::Uuid;

use crate::attempt::verdict::{GivenUp, Verdict};
use crate::worker::counters::Times;
use crate::worker::shared::Core;

/// How a handler's run ended.
#[derive(Debug)]
pub(crate) enum Handled {
    /// With this verdict.
    Decided(Decided),
    /// It was taken from its handler, so whatever that has done does not count.
    Taken(Taken),
}

/// Why a task was taken from its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The lease was lost, and the task belongs to somebody else.
    Lost,
    /// An operator has cancelled the task, which has left its lease.
    Cancelled,
}

/// What became of a task, as its handler decided it.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) verdict: Verdict,
    /// Whether the verdict says no more than that the handler failed. If its connection failed too, nobody
    /// knows what the handler would have done.
    pub(crate) is_failure: bool,
    /// Whether it failed over a prepared statement that is missing, or there already.
    pub(crate) is_mixed_up: bool,
    pub(super) times: Option<Times>,
}

/// What is left to be written about a task after an attempt.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Nothing: the handler's transaction has settled it.
    Settled,
    /// This verdict.
    Unsettled(Decided),
    /// That it waits again: its transaction's connection failed, or Postgres did not commit.
    Interrupted(Interrupted),
    /// Nothing: the task was taken from its handler.
    Taken(Taken),
}

/// An attempt that ended without a fault of its handler.
#[derive(Debug)]
pub(crate) struct Interrupted {
    pub(crate) error: String,
    /// What becomes of the task if it is interrupted too often.
    pub(crate) charged: Verdict,
}

/// Tells why a task was taken from its handler, or is about to be.
pub(super) fn why_taken(core: &Core, lease_id: Uuid, task_id: i64) -> Taken {
    match core.held.is_cancelled(lease_id, task_id) {
        true => Taken::Cancelled,
        false => Taken::Lost,
    }
}

impl Decided {
    /// Returns how long the attempt took, if its handler came to its end.
    pub(super) fn times(&self) -> Option<Times> {
        self.times
    }

    /// Reports the attempt's end.
    pub(crate) fn log(&self) {
        log_end(&self.verdict, self.times.map(|times| times.run));
    }
}

impl Interrupted {
    pub(crate) fn of(charged: Verdict) -> Self {
        Self {
            error: charged.error().unwrap_or_default().to_owned(),
            charged,
        }
    }
}

impl From<Verdict> for Decided {
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            is_failure: false,
            is_mixed_up: false,
            times: None,
        }
    }
}

/// Reports an attempt's end, once, where it is decided. No attempt keeps that among its lines: it keeps its error.
pub(crate) fn log_end(verdict: &Verdict, took: Option<Duration>) {
    #[cfg(feature = "log")]
    let _quiet = crate::attempt::log::quiet();
    let took = took.unwrap_or_default();
    match verdict {
        Verdict::Complete => tracing::debug!(?took, "completed"),
        Verdict::Keep { result } => match result.problem() {
            None => tracing::debug!(?took, "completed"),
            Some(error) => {
                tracing::error!(?took, error, "completed, but the result could not be kept")
            }
        },
        Verdict::Retry { delay, error } => {
            tracing::warn!(?took, error, retry_in = ?delay, "attempt failed; will retry");
        }
        Verdict::Discard { error, why } => match why {
            GivenUp::Wished => tracing::warn!(?took, error, "task discarded by its handler"),
            GivenUp::LastAttempt => {
                tracing::error!(?took, error, "task discarded: no attempt is left");
            }
            GivenUp::Bound => {
                tracing::error!(?took, error, "task discarded: it may not wait any longer");
            }
            GivenUp::Earlier => {
                tracing::error!(error, "task discarded, as its last attempt ended earlier");
            }
        },
        Verdict::Cancel { error } => tracing::info!(?took, error, "task cancelled by its handler"),
        Verdict::Snooze { delay, .. } => tracing::debug!(?took, ?delay, "snoozed"),
        // Where it failed, that was said.
        Verdict::DiscardLater { .. }
        | Verdict::HandBack
        | Verdict::Invalid { .. }
        | Verdict::Expire => {}
    }
}
