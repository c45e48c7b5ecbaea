//! Running what is due in the caller's own transaction, which may then be rolled back: for tests.
//!
//! It is a worker without its loops. The claimer claims, a slot makes the attempt, and the outcome is written, each on the
//! caller's connection and one after the other. So it sees what the caller has enqueued and not committed, and nothing
//! that it does is seen by others, or stays, unless the caller commits. It is done as a worker that drains is done: see
//! [`drain`](super::drain).

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Error, query_scalar, raw_sql};
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

use super::claim::buffered::Work;
use super::claim::{Claimer, Queue};
use super::drain::{Drain, Drained};
#[cfg(feature = "log")]
use super::lines;
use super::shared::Core;
use super::slot::batch::inline::attempt_many;
use super::slot::inline::{InlineSession, attempt, has_no_transaction};
use super::{limits, notes};
use crate::attempt::tx::Tx;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::error::WorkerError;
use crate::operate::migrate;
use crate::store::{ClaimedTask, Schema, Store};
use crate::task::registry::Registry;

/// How many outcomes a claim may hand back at once. It brings one task.
const HANDED_BACK: usize = 1_000;

/// Why the caller's transaction was not to be gone on with.
#[derive(Debug)]
pub(crate) enum InlineError {
    /// There is no worker of these settings and handlers, or not with these tables.
    Worker(WorkerError),
    /// What Postgres said to a statement of ours, which was undone.
    Database(Error),
    /// A handler has ended the transaction.
    TransactionEnded { task_type: String },
}

impl From<Error> for InlineError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// Requires tables that a worker can work with, and says how its handlers limit their task types. Returns the id of the
/// installation.
pub(super) async fn prepare(
    tx: &mut Tx,
    schema: Schema,
    registry: &Registry,
) -> Result<Uuid, InlineError> {
    let mut refused = Ok(());
    let prepare = async |tx: &mut Tx| {
        let mut store = Store::on(tx, schema);
        refused = migrate::require_version(&mut store, schema).await;
        match refused {
            Ok(()) => {
                limits::declare(&mut store, registry).await?;
                store.installation().await
            }
            Err(_) => Err(Error::RowNotFound),
        }
    };
    let prepared = whole(tx, prepare).await;
    refused.map_err(InlineError::Worker)?;
    Ok(prepared?)
}

/// Runs what is due, until nothing is, or for no longer than `limit`.
pub(crate) async fn run(
    core: &Arc<Core>,
    drain: &Drain,
    tx: &mut Tx,
    limit: Duration,
) -> Result<Drained, InlineError> {
    drain.begin(core.buffers.len(), 0);
    let backend = query_scalar("select pg_backend_pid()");
    let backend = backend.fetch_one(&mut **tx).await?;
    let schema = core.settings.schema;
    // Those that the test has changed.
    Store::on(tx, schema).end_groups().await?;
    let mut inline = Inline {
        core,
        session: InlineSession { tx, backend },
        queues: None,
    };
    if let Ok(ended) = timeout(limit, inline.run_all(drain)).await {
        ended?;
    }
    Ok(drain.end())
}

struct Inline<'a> {
    core: &'a Arc<Core>,
    session: InlineSession<'a>,
    /// What earlier claims have learnt.
    queues: Option<Vec<Queue>>,
}

impl Inline<'_> {
    async fn run_all(&mut self, drain: &Drain) -> Result<(), InlineError> {
        while !drain.done.is_cancelled() {
            for at in 0..self.core.buffers.len() {
                let tasks = self.claim(at).await?;
                if self.core.buffers[at].has_batches() {
                    self.attempt_all(at, tasks).await?;
                } else {
                    for task in tasks {
                        self.attempt(at, &task).await?;
                    }
                }
                if drain.left() == 0 {
                    drain.done.cancel();
                    break;
                }
            }
        }
        Ok(())
    }

    /// Makes one claim, of one task at the most.
    async fn claim(&mut self, at: usize) -> Result<Vec<ClaimedTask>, InlineError> {
        let (outcomes, mut handed_back) = mpsc::channel(HANDED_BACK);
        let (_, wakes) = mpsc::unbounded_channel();
        let (core, known) = (self.core.clone(), self.queues.take());
        let claim = async |tx: &mut Tx| {
            let store = Store::on(tx, core.settings.schema);
            let mut claimer = Claimer::new(core.clone(), store, wakes, outcomes);
            let claimed = claimer.claim_once(at, known).await;
            claimed.map(|tasks| (tasks, claimer.into_queues()))
        };
        let (tasks, queues) = whole(self.session.tx, claim).await?;
        self.queues = Some(queues);
        while let Ok(settlement) = handed_back.try_recv() {
            self.write(&settlement).await?;
        }
        Ok(tasks)
    }

    async fn attempt(&mut self, at: usize, task: &ClaimedTask) -> Result<(), InlineError> {
        let settlement = match attempt(self.core, at, task, &mut self.session).await {
            Err(error) if has_no_transaction(&error) => {
                return Err(InlineError::TransactionEnded {
                    task_type: task.task_type.clone(),
                });
            }
            settlement => settlement?,
        };
        if let Some(settlement) = settlement {
            self.write(&settlement).await?;
        }
        let core = self.core;
        let say = async |tx: &mut Tx| {
            let mut store = Store::on(tx, core.settings.schema);
            notes::write_in(core, &mut store).await
        };
        whole(self.session.tx, say).await?;
        self.write_lines().await
    }

    /// Writes what handlers have logged. What is refused is lost, as elsewhere.
    #[cfg(feature = "log")]
    async fn write_lines(&mut self) -> Result<(), InlineError> {
        let core = self.core;
        for part in core.lines.take(std::time::Instant::now()) {
            let write = async |tx: &mut Tx| {
                let mut store = Store::on(tx, core.settings.schema);
                lines::write_part(core, &mut store, &part).await
            };
            // Where the connection is lost, the next statement says it.
            let _ = whole(self.session.tx, write).await;
        }
        Ok(())
    }

    #[cfg(not(feature = "log"))]
    async fn write_lines(&mut self) -> Result<(), InlineError> {
        Ok(())
    }

    /// Makes the attempts at tasks of which some run in batches.
    async fn attempt_all(&mut self, at: usize, tasks: Vec<ClaimedTask>) -> Result<(), InlineError> {
        let core = self.core;
        let buffer = &core.buffers[at];
        buffer.put(tasks);
        while let Some(work) = buffer.take_at_once() {
            match work {
                Work::One(task) => {
                    self.attempt(at, &task).await?;
                    buffer.record_ended(&task, &core.room);
                }
                Work::Many(tasks) => {
                    self.attempt_many(at, &tasks).await?;
                    buffer.record_batch_ended(&tasks, &core.room);
                }
            }
        }
        Ok(())
    }

    async fn attempt_many(&mut self, at: usize, tasks: &[ClaimedTask]) -> Result<(), InlineError> {
        let settlements = match attempt_many(self.core, at, tasks, &mut self.session).await {
            Err(error) if has_no_transaction(&error) => {
                let first = tasks.first();
                return Err(InlineError::TransactionEnded {
                    task_type: first.map_or_else(String::new, |task| task.task_type.clone()),
                });
            }
            settlements => settlements?,
        };
        for settlement in &settlements {
            self.write(settlement).await?;
        }
        self.write_lines().await
    }

    /// Writes what becomes of a task.
    async fn write(&mut self, settlement: &Settlement) -> Result<(), InlineError> {
        let (schema, lease_id) = (self.core.settings.schema, settlement.lease_id);
        let write = async |tx: &mut Tx| {
            let mut store = Store::on(tx, schema);
            let leaves_more = settlement.keep || settlement.is_member;
            let mut completed = Vec::new();
            if settlement.verdict == Verdict::Complete && !leaves_more {
                completed = store.complete(&[(lease_id, 1)]).await?;
            }
            if completed != [lease_id] {
                // A lease that is gone was another's, as where the handler has cancelled its own task.
                store.settle(std::slice::from_ref(settlement)).await?;
            }
            // Groups end with the commit, and here none comes.
            store.end_groups().await
        };
        whole(self.session.tx, write).await?;
        self.core.held.record_settled(lease_id, 1);
        Ok(())
    }
}

/// Does all of something in the caller's transaction, or nothing: an error leaves it as it was.
async fn whole<T>(
    tx: &mut Tx,
    step: impl AsyncFnOnce(&mut Tx) -> Result<T, Error>,
) -> Result<T, Error> {
    raw_sql("savepoint taskq_inline").execute(&mut **tx).await?;
    match step(tx).await {
        Ok(done) => {
            let release = raw_sql("release savepoint taskq_inline");
            release.execute(&mut **tx).await?;
            Ok(done)
        }
        Err(error) => {
            let undo =
                raw_sql("rollback to savepoint taskq_inline; release savepoint taskq_inline");
            // Where it cannot be undone, the connection is lost, and with it all.
            let _ = undo.execute(&mut **tx).await;
            Err(error)
        }
    }
}
