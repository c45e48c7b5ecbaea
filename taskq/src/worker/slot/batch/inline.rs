//! Running a handler of many payloads in the caller's own transaction, for a test that rolls it back.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use sqlx::Error;
use tracing::Instrument;

use super::super::handler::Ended;
use super::super::hooks::{self, Answer};
use super::super::inline::{InlineSession, Lent};
use super::super::log::OpenLog;
use super::super::trace;
use super::super::transaction::{stop_query, unacceptable, unless_left_over};
use super::end::{End, How, Member, Ran, log_failed, marked};
use super::execution::BatchExecution;
use crate::attempt::delivery::Delivery;
use crate::attempt::lazy::LazyTx;
use crate::attempt::tx_handle::GivenTx;
use crate::attempt::verdict::Settlement;
use crate::error::BoxError;
use crate::store::{self, ClaimedTask, CompletionError};
use crate::worker::shared::Core;

/// Makes the attempts of one call, and returns what is to be written about the tasks.
pub(crate) async fn attempt_many(
    core: &Arc<Core>,
    queue: usize,
    tasks: &[ClaimedTask],
    session: &mut InlineSession<'_>,
) -> Result<Vec<Settlement>, Error> {
    let log = OpenLog::of(core, tasks);
    let span = log.span(|| trace::begin_batch(core, tasks, &core.queue_names[queue]));
    let registration = tasks
        .first()
        .and_then(|it| core.registry.find(&it.task_type));
    let Some(registration) = registration else {
        return Ok(Vec::new());
    };
    let batch = BatchExecution::start(core, registration, queue, tasks, &log.0);
    let attempt = async {
        let (mut ends, running) = batch.look(batch.all());
        if !running.is_empty() {
            ends.extend(match batch.delivery() {
                Delivery::AtLeastOnce => batch.run_handler(&running, None).await.into_ends(),
                Delivery::Transactional | Delivery::LazilyTransactional => {
                    session.run_batch(&batch, &running).await?
                }
            });
        }
        let mut settlements = batch.closed.clone();
        for End { at, ended, most } in ends {
            let Ended::Unsettled(decided) = ended else {
                continue;
            };
            let execution = batch.execution(at);
            let asks = execution.asks_hooks(&decided.verdict) && decided.verdict.is_completion();
            let decided = match batch.delivery() {
                Delivery::AtLeastOnce if asks => session.complete(&execution, decided).await?,
                _ => Some(decided),
            };
            if let Some(decided) = decided {
                let settlement = session.settlement(&execution, decided).await?;
                settlements.extend(settlement.map(|it| marked(it, most)));
            }
        }
        Ok(settlements)
    };
    log.around(pin!(attempt.instrument(span))).await
}

impl InlineSession<'_> {
    /// Runs a handler between savepoints. What it did stays unless all of it failed.
    async fn run_batch(
        &mut self,
        batch: &BatchExecution<'_>,
        running: &[usize],
    ) -> Result<Vec<End>, Error> {
        self.say(store::SAVEPOINT).await?;
        let Ran { before, how } = self.call_batch(batch, running).await;
        let (members, stays) = match how {
            How::Decided {
                members,
                has_failed,
            } => {
                let stays = !has_failed && members.iter().all(|it| it.decided.is_ok());
                (members, stays)
            }
            how => {
                self.undo(batch, running).await?;
                return Ok(Ran { before, how }.into_ends());
            }
        };
        let members = match stays {
            true => match self.accept_batch(batch, &members).await? {
                None => return Ok(ends(before, members)),
                Some(failure) => {
                    let members = batch.failed_at_end(members, &failure);
                    log_failed(&members);
                    members
                }
            },
            false => members,
        };
        self.undo(batch, running).await?;
        Ok(ends(before, members))
    }

    /// Asks hooks, and then the constraints, whether what was done may stay. Returns why it may not.
    async fn accept_batch(
        &mut self,
        batch: &BatchExecution<'_>,
        members: &[Member],
    ) -> Result<Option<BoxError>, Error> {
        for member in members {
            let execution = batch.execution(member.at);
            if let Ok(decided) = &member.decided
                && decided.verdict.is_completion()
                && execution.asks_hooks(&decided.verdict)
                && let Answer::Vetoed(vetoed) = hooks::ask(&execution, decided, self.tx).await
            {
                return Ok(Some(vetoed.into()));
            }
        }
        let (first, backend) = (batch.execution(members[0].at), self.backend);
        let accept = self.say(store::ACCEPT_INLINE);
        let accept = async { accept.await.map_err(CompletionError::unanswered) };
        match unless_left_over(&first, backend, accept).await {
            Ok(()) => Ok(None),
            Err(failure) if failure.is_interruption() => Err(failure.error),
            Err(failure) => Ok(Some(unacceptable(failure))),
        }
    }

    async fn undo(&mut self, batch: &BatchExecution<'_>, running: &[usize]) -> Result<(), Error> {
        let first = batch.execution(running[0]);
        let undo = store::undo_inline(self.tx);
        if stop_query(&first, self.backend, undo).await.is_err() {
            // What came was the end of a query that was cancelled.
            store::undo_inline(self.tx).await?;
        }
        self.say(store::RELEASE).await
    }

    async fn call_batch(&mut self, batch: &BatchExecution<'_>, running: &[usize]) -> Ran {
        if batch.delivery() == Delivery::Transactional {
            let given = GivenTx::Begun(&mut *self.tx);
            return batch.run_handler(running, Some(given)).await;
        }
        let lent = Arc::new(Lent(Mutex::new(Some(self.tx.lend()))));
        let mut lazy = LazyTx::new(lent.clone());
        let given = GivenTx::Lazy(&mut lazy);
        let ran = batch.run_handler(running, Some(given)).await;
        if let Some(tx) = lazy.into_begun().or_else(|| lent.take()) {
            self.tx.take_back(tx);
        }
        ran
    }
}

fn ends(mut before: Vec<End>, members: Vec<Member>) -> Vec<End> {
    before.extend(members.into_iter().map(Member::into_end));
    before
}
