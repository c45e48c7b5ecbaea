//! Making an attempt whose handler begins its transaction by itself, or does not.
//!
//! Until it begins, the attempt has no connection: not even the one that the slot has kept from the task before. From then
//! on it ends as one that was in a transaction all along does. One that never began leaves its outcome to be written
//! together with others. Its lease is its own either way, so that the transaction can end it.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::handler::{Ended, Execution, Handled, Interrupted, Taken, why_taken};
use super::session::{Session, SessionRest, be_ready, begin_in_time};
use super::transaction::conclude;
use crate::attempt::lazy::{Beginner, LazyTx};
use crate::attempt::tx::Tx;
use crate::attempt::tx_handle::GivenTx;
use crate::error::BeginError;
use crate::worker::held::pulse::Pulse;
use crate::worker::shared::Core;

/// Runs a handler that may begin a transaction.
pub(super) async fn run(execution: &Execution<'_>, kept: &mut Option<Session>) -> Ended {
    if let Some(session) = kept.take() {
        session.end(execution.core).await;
    }
    let begins = Arc::new(Begins::of(execution));
    let mut lazy = LazyTx::new(begins.clone());
    let handled = execution.run_handler(Some(GivenTx::Lazy(&mut lazy))).await;
    execution.pulse.set_backend(0);
    let Some((session, place)) = begins.take(lazy) else {
        return without_transaction(execution, handled, begins.take_failed());
    };
    let (ended, session) = conclude(execution, session, handled).await;
    // Others may be waiting for the connection.
    if let Some(session) = session {
        session.end(execution.core).await;
    }
    drop(place);
    ended
}

/// Ends an attempt that has no transaction.
fn without_transaction(
    execution: &Execution<'_>,
    handled: Handled,
    failed: Option<Failed>,
) -> Ended {
    match (handled, failed) {
        // Where the task was taken, the handler may end with the error of `begin` before it is dropped. The lease may be
        // there still, so that its failure would count.
        (Handled::Taken(why), _) | (_, Some(Failed::Taken(why))) => Ended::Taken(why),
        // Nobody knows what the handler would have done.
        (Handled::Decided(decided), Some(Failed::Connection)) if decided.is_failure => {
            Ended::Interrupted(Interrupted::of(decided.verdict))
        }
        (Handled::Decided(decided), _) => {
            if !execution.leaves_in_own_transaction(&decided.verdict) {
                decided.log();
            }
            Ended::Unsettled(decided)
        }
    }
}

/// Begins the transaction of one attempt.
pub(super) struct Begins {
    core: Arc<Core>,
    queue: usize,
    task_type: &'static str,
    lease_id: Uuid,
    task_id: i64,
    /// Cancelled when the task is taken from its handler.
    taken: CancellationToken,
    /// What belongs to the transaction that the handler has.
    begun: Mutex<Option<Begun>>,
    /// Where it says which process of the server works for it.
    pulse: Arc<Pulse>,
    /// Why it was not begun, the last time.
    failed: Mutex<Option<Failed>>,
}

/// Why a transaction was not begun.
#[derive(Clone, Copy)]
pub(super) enum Failed {
    /// There was no connection, or no answer.
    Connection,
    /// The task is not this handler's any more.
    Taken(Taken),
}

struct Begun {
    rest: SessionRest,
    place: Option<OwnedSemaphorePermit>,
}

impl Begins {
    pub(super) fn of(execution: &Execution<'_>) -> Self {
        Self {
            core: Arc::clone(execution.core),
            queue: execution.queue,
            task_type: execution.registration.task_type,
            lease_id: execution.task.lease_id,
            task_id: execution.task.task_id,
            taken: execution.taken.clone(),
            begun: Mutex::default(),
            pulse: execution.pulse.clone(),
            failed: Mutex::default(),
        }
    }

    pub(super) fn take_failed(&self) -> Option<Failed> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.take()
    }

    /// Returns the session in which the transaction was begun, if it was.
    pub(super) fn take(&self, lazy: LazyTx) -> Option<(Session, Option<OwnedSemaphorePermit>)> {
        let tx = lazy.into_begun()?;
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let Begun { rest, place } = begun.take()?;
        Some((Session::of(tx, rest), place))
    }

    async fn begin_session(&self) -> Result<Tx, BeginError> {
        let core = &*self.core;
        let place = match core.shared_places.are_shared_in(self.queue) {
            true => Some(self.place().await?),
            false => None,
        };
        let begun = be_ready(core, self.task_type, begin_in_time(core).await).await;
        let mut session = begun.map_err(BeginError::Database)?;
        let is_held = session.is_held(core, self.lease_id, self.task_id).await;
        if !matches!(is_held, Ok(true)) {
            session.end(core).await;
            return Err(match is_held {
                Ok(_) => self.why(),
                Err(error) => BeginError::Database(error),
            });
        }
        self.pulse.set_backend(session.backend);
        let (tx, rest) = session.split();
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        *begun = Some(Begun { rest, place });
        Ok(tx)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, BeginError> {
        let waited = self.core.pool.options().get_acquire_timeout();
        let place = timeout(waited, self.core.shared_places.take()).await;
        place.map_err(|_| BeginError::NoConnection { waited })
    }

    fn why(&self) -> BeginError {
        match why_taken(&self.core, self.lease_id, self.task_id) {
            Taken::Cancelled => BeginError::Cancelled,
            Taken::Lost => BeginError::LeaseLost,
        }
    }
}

impl Beginner for Begins {
    fn begin(&self) -> BoxFuture<'_, Result<Tx, BeginError>> {
        async {
            let begun = tokio::select! {
                biased;
                () = self.taken.cancelled() => Err(self.why()),
                begun = self.begin_session() => begun,
            };
            let failed = match &begun {
                Ok(_) => None,
                Err(BeginError::Cancelled) => Some(Failed::Taken(Taken::Cancelled)),
                Err(BeginError::LeaseLost) => Some(Failed::Taken(Taken::Lost)),
                Err(BeginError::NoConnection { .. } | BeginError::Database(_)) => {
                    Some(Failed::Connection)
                }
            };
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
            begun
        }
        .boxed()
    }
}
