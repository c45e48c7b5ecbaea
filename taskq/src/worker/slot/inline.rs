//! Making an attempt in the caller's own transaction, for a test that rolls it back.
//!
//! It is the attempt of a slot: the handler is run, timed and judged by the same code. What differs is the session. It
//! is the caller's, so nothing is committed, and a savepoint stands in the place of a transaction.

use std::pin::pin;
use std::slice::from_ref;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Error, raw_sql};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

#[cfg(feature = "encryption")]
use super::encrypted;
use super::handler::{Decided, Execution, Handled};
use super::hooks::{self, Answer};
use super::log::OpenLog;
use super::noted::Noted;
use super::transaction::{stop_query, unacceptable, unless_left_over};
use super::{discard, trace};
use crate::attempt::delivery::Delivery;
use crate::attempt::lazy::{Beginner, LazyTx};
use crate::attempt::tx::Tx;
use crate::attempt::tx_handle::GivenTx;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::error::BeginError;
use crate::store::{self, ClaimedTask, CompletionError};
use crate::worker::shared::Core;

/// Makes one attempt, and returns what is to be written about the task, if anything is.
pub(crate) async fn attempt(
    core: &Arc<Core>,
    queue: usize,
    task: &ClaimedTask,
    session: &mut InlineSession<'_>,
) -> Result<Option<Settlement>, Error> {
    let log = OpenLog::of(core, from_ref(task));
    let span = log.span(|| trace::begin(core, task, &core.queue_names[queue]));
    let (token, pulse) = (CancellationToken::new(), Arc::default());
    let noted = Noted::with(&log.0);
    let Some(registration) = core.registry.find(&task.task_type) else {
        return Ok(None);
    };
    let (lease_id, task_type) = (task.lease_id, registration.task_type);
    let Some(_place) =
        (core.held).record_started(lease_id, task.task_id, task_type, &token, &pulse)
    else {
        return Ok(None);
    };
    let execution = Execution {
        core,
        registration,
        queue,
        task,
        taken: &token,
        pulse: &pulse,
        noted: &noted,
    };
    #[cfg(feature = "encryption")]
    let opened = match encrypted::open(core, registration, task) {
        Ok(opened) => opened,
        Err(error) => return Ok(Some(encrypted::settle(&execution, error))),
    };
    #[cfg(feature = "encryption")]
    let execution = Execution {
        task: opened.as_ref().unwrap_or(task),
        ..execution
    };
    execution.hide_in_log();
    let attempt = async {
        let decided = match registration.declaration.delivery {
            Delivery::AtLeastOnce => match execution.run_handler(None).await {
                Handled::Decided(decided) if execution.asks_hooks(&decided.verdict) => {
                    session.complete(&execution, decided).await?
                }
                Handled::Decided(decided) => Some(decided),
                Handled::Taken(_) => None,
            },
            Delivery::Transactional | Delivery::LazilyTransactional => {
                session.run(&execution).await?
            }
        };
        match decided {
            Some(decided) => session.settlement(&execution, decided).await,
            None => Ok(None),
        }
    };
    log.around(pin!(attempt.instrument(span))).await
}

/// The caller's transaction, and the process of the server that works on it.
pub(crate) struct InlineSession<'a> {
    pub(crate) tx: &'a mut Tx,
    pub(crate) backend: i32,
}

impl InlineSession<'_> {
    /// Runs a handler between savepoints. What it did stays if it succeeded.
    async fn run(&mut self, execution: &Execution<'_>) -> Result<Option<Decided>, Error> {
        self.say(store::SAVEPOINT).await?;
        let handled = self.run_handler(execution).await;
        self.conclude(execution, handled).await
    }

    /// Completes a task whose handler had no transaction, between savepoints, in which its hooks agree.
    pub(super) async fn complete(
        &mut self,
        execution: &Execution<'_>,
        decided: Decided,
    ) -> Result<Option<Decided>, Error> {
        self.say(store::SAVEPOINT).await?;
        self.conclude(execution, Handled::Decided(decided)).await
    }

    async fn conclude(
        &mut self,
        execution: &Execution<'_>,
        handled: Handled,
    ) -> Result<Option<Decided>, Error> {
        let decided = match handled {
            Handled::Decided(decided) if decided.verdict.is_completion() => {
                match self.accept(execution, &decided).await? {
                    Ok(()) => return Ok(Some(decided)),
                    Err(instead) => instead,
                }
            }
            Handled::Decided(decided) => Some(decided),
            Handled::Taken(_) => None,
        };
        let undo = store::undo_inline(self.tx);
        let undone = stop_query(execution, self.backend, undo).await;
        if undone.is_err() {
            // What came was the end of a query that was cancelled.
            store::undo_inline(self.tx).await?;
        }
        self.say(store::RELEASE).await?;
        Ok(decided)
    }

    /// Asks hooks, and then the constraints, whether what was done may stay. Returns what is decided instead where it may
    /// not.
    async fn accept(
        &mut self,
        execution: &Execution<'_>,
        decided: &Decided,
    ) -> Result<Result<(), Option<Decided>>, Error> {
        if execution.asks_hooks(&decided.verdict) {
            match hooks::ask(execution, decided, self.tx).await {
                Answer::Agreed => {}
                Answer::Vetoed(vetoed) => {
                    let failed = execution.failed_at_end(vetoed.into());
                    return Ok(Err(Some(failed.into())));
                }
                Answer::Taken(_) => return Ok(Err(None)),
                Answer::Stopping => return Ok(Err(Some(Verdict::HandBack.into()))),
            }
        }
        let backend = self.backend;
        let accept = self.say(store::ACCEPT_INLINE);
        let accept = async { accept.await.map_err(CompletionError::unanswered) };
        match unless_left_over(execution, backend, accept).await {
            Ok(()) => Ok(Ok(())),
            Err(failure) if failure.is_interruption() => Err(failure.error),
            Err(failure) => {
                let failed = execution.failed_at_end(unacceptable(failure));
                Ok(Err(Some(failed.into())))
            }
        }
    }

    /// Returns what is to be written, after what the task's type does where the task is discarded.
    pub(super) async fn settlement(
        &mut self,
        execution: &Execution<'_>,
        decided: Decided,
    ) -> Result<Option<Settlement>, Error> {
        let is_completion = decided.verdict.is_completion();
        if !is_completion && execution.leaves_in_own_transaction(&decided.verdict) {
            self.say(store::SAVEPOINT).await?;
            let mut called = discard::before(execution, &decided, self.tx).await;
            if let Ok(None) = called
                && let Err(error) = self.say(store::ACCEPT_INLINE).await
            {
                called = Err(discard::NotYet::refused(error));
            }
            if !matches!(called, Ok(None)) {
                store::undo_inline(self.tx).await?;
                self.say(store::RELEASE).await?;
            }
            match called {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(None),
                Err(not_yet) => return Ok(Some(discard::later(execution, &decided, not_yet))),
            }
        }
        decided.log();
        execution.count(&decided);
        Ok(Some(execution.settlement(decided.verdict)))
    }

    async fn run_handler(&mut self, execution: &Execution<'_>) -> Handled {
        if execution.registration.declaration.delivery == Delivery::Transactional {
            let given = GivenTx::Begun(&mut *self.tx);
            return execution.run_handler(Some(given)).await;
        }
        let lent = Arc::new(Lent(Mutex::new(Some(self.tx.lend()))));
        let mut lazy = LazyTx::new(lent.clone());
        let handled = execution.run_handler(Some(GivenTx::Lazy(&mut lazy))).await;
        if let Some(tx) = lazy.into_begun().or_else(|| lent.take()) {
            self.tx.take_back(tx);
        }
        handled
    }

    pub(super) async fn say(&mut self, statement: &'static str) -> Result<(), Error> {
        let said = raw_sql(AssertSqlSafe(statement)).execute(&mut **self.tx);
        said.await.map(drop)
    }
}

/// The caller's transaction, for a handler that may ask for it.
pub(super) struct Lent(pub(super) Mutex<Option<Tx>>);

impl Lent {
    pub(super) fn take(&self) -> Option<Tx> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Beginner for Lent {
    fn begin(&self) -> BoxFuture<'_, Result<Tx, BeginError>> {
        async { self.take().ok_or(BeginError::LeaseLost) }.boxed()
    }
}

/// Tells whether an error says that a handler has ended its caller's transaction.
pub(crate) fn has_no_transaction(error: &Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("25P01" | "3B001"))
}
