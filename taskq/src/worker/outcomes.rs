//! Writing what became of tasks.
//!
//! Run by each worker on one connection. Outcomes that arrive while a write is under way are written
//! together by the next. A lease whose tasks have all completed is finished by deleting its row.
//! Tasks that complete before the others of their lease wait a few milliseconds for them: a process
//! killed in that time repeats them, as it would a moment earlier. Outcomes are kept until they are
//! written, through any failure of the database; if a lease is lost meanwhile they do not count.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Error;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::shared::{Core, sleep_until_some};
use crate::attempt::outcome::Kept;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::store::Store;

/// How long a completed task waits for the rest of its lease.
const GATHER: Duration = Duration::from_millis(25);

/// The most outcomes that are written at once.
const BATCH: usize = 5_000;

/// The most bytes of results that are written at once.
const BATCH_LENGTH: usize = 16 * 1024 * 1024;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Writes outcomes until all senders are gone, or until `give_up`.
pub(crate) async fn write(
    core: Arc<Core>,
    mut outcomes: mpsc::Receiver<Settlement>,
    give_up: CancellationToken,
) {
    let mut writer = Writer {
        store: core.store(),
        core,
        waiting: HashMap::new(),
        oldest: None,
    };
    tokio::select! {
        () = writer.write_all(&mut outcomes) => {}
        () = give_up.cancelled() => tracing::error!(
            "outcomes could not be written in time; their tasks will be rescued and run again"
        ),
    }
}

struct Writer {
    core: Arc<Core>,
    store: Store<'static>,
    /// Outcomes not written yet, by lease.
    waiting: HashMap<Uuid, Vec<Settlement>>,
    /// When the first of them arrived.
    oldest: Option<Instant>,
}

/// Tasks of one lease that have completed.
struct Completed {
    lease_id: Uuid,
    /// How many tasks the lease has left, these included.
    remaining: usize,
    tasks: Vec<Settlement>,
}

/// How much of its lease completes.
#[derive(Clone, Copy)]
enum Extent {
    Whole,
    Part,
}

impl Writer {
    async fn write_all(&mut self, outcomes: &mut mpsc::Receiver<Settlement>) {
        // So that the connection is there when the first task has ended.
        if let Err(error) = self.store.backend().await {
            tracing::debug!(%error, "no connection for outcomes yet; the first of them tries again");
        }
        let mut arrived = Vec::new();
        let mut open = true;
        while open || !self.waiting.is_empty() {
            let gathered = self.oldest.map(|oldest| oldest + GATHER);
            tokio::select! {
                biased;
                count = outcomes.recv_many(&mut arrived, BATCH), if open => open = count > 0,
                () = sleep_until_some(gathered) => {}
            }
            for settlement in arrived.drain(..) {
                self.oldest.get_or_insert_with(Instant::now);
                self.waiting
                    .entry(settlement.lease_id)
                    .or_default()
                    .push(settlement);
            }
            let late = !open || gathered.is_some_and(|gathered| gathered <= Instant::now());
            self.write_ready(late).await;
        }
    }

    /// Writes what need not wait any longer; everything, if it is `late`.
    async fn write_ready(&mut self, late: bool) {
        let (mut whole, mut parts, mut single) = (Vec::new(), Vec::new(), Vec::new());
        let core = &self.core;
        self.waiting.retain(|lease_id, settlements| {
            let all_complete = settlements.iter().all(|it| it.verdict.is_completion());
            let remaining = core.held.remaining(*lease_id);
            let is_whole = remaining == Some(settlements.len());
            if all_complete && !is_whole && !late {
                return true;
            }
            let keeps_some = settlements.iter().any(|it| it.keep);
            let tasks = std::mem::take(settlements);
            match remaining {
                Some(remaining) if all_complete && !keeps_some => {
                    let group = if is_whole { &mut whole } else { &mut parts };
                    group.push(Completed {
                        lease_id: *lease_id,
                        remaining,
                        tasks,
                    });
                }
                _ => single.extend(tasks),
            }
            false
        });
        if self.waiting.is_empty() || late {
            self.oldest = None;
        }
        if !whole.is_empty() {
            single.extend(self.complete(whole, Extent::Whole).await);
        }
        if !parts.is_empty() {
            single.extend(self.complete(parts, Extent::Part).await);
        }
        let mut rest = single.as_slice();
        while !rest.is_empty() {
            let (batch, further) = split_batch(rest);
            self.settle(batch).await;
            rest = further;
        }
    }

    /// Completes tasks by lease. Returns those for whose leases counting was not enough.
    async fn complete(&mut self, leases: Vec<Completed>, extent: Extent) -> Vec<Settlement> {
        let counts: Vec<(Uuid, usize)> =
            (leases.iter().map(|it| (it.lease_id, it.remaining))).collect();
        let tasks: Vec<(Uuid, i64)> = (leases.iter())
            .flat_map(|lease| lease.tasks.iter().map(|it| (it.lease_id, it.task_id)))
            .collect();
        let lease_ids = || counts.iter().map(|(id, _)| *id);
        let mut pauses = Pauses::new();
        let completed = loop {
            // Only while the call is under way: through a long outage the leases must be given up.
            self.core.held.set_settling(lease_ids(), true);
            let completed = match extent {
                Extent::Whole => self.store.complete(&counts).await,
                Extent::Part => self.store.complete_some(&counts, &tasks).await,
            };
            match completed {
                Ok(completed) => break completed,
                Err(error) => {
                    self.core.held.set_settling(lease_ids(), false);
                    pauses.after(&error).await;
                }
            }
        };
        let mut rest = Vec::new();
        for lease in leases {
            if completed.contains(&lease.lease_id) {
                self.core
                    .held
                    .record_settled(lease.lease_id, lease.tasks.len());
            } else {
                rest.extend(lease.tasks);
            }
        }
        self.core.held.set_settling(lease_ids(), false);
        rest
    }

    /// Takes tasks out of their leases one by one.
    async fn settle(&mut self, settlements: &[Settlement]) {
        let lease_ids = || settlements.iter().map(|it| it.lease_id);
        let mut pauses = Pauses::new();
        loop {
            self.core.held.set_settling(lease_ids(), true);
            let settled = self.try_settle(settlements).await;
            if settled.is_err() {
                self.core.held.set_settling(lease_ids(), false);
            }
            match settled {
                Ok(()) => break,
                // One that Postgres refuses must not hold up the others.
                Err(Error::Database(error)) if settlements.len() > 1 && !is_passing(&*error) => {
                    for settlement in settlements {
                        Box::pin(self.settle(std::slice::from_ref(settlement))).await;
                    }
                    return;
                }
                // The work is done, and must not be repeated for the sake of what it returned.
                Err(Error::Database(error))
                    if !is_passing(&*error) && settlements.iter().any(has_result) =>
                {
                    tracing::error!(%error, "a result was refused; its task completes without it");
                    let without: Vec<_> = (settlements.iter())
                        .map(|settlement| without_result(settlement, error.message()))
                        .collect();
                    Box::pin(self.settle(&without)).await;
                    return;
                }
                Err(Error::Database(error)) if !is_passing(&*error) => {
                    let task_id = settlements.first().map(|it| it.task_id);
                    tracing::error!(
                        task_id,
                        %error,
                        "an outcome was refused; the task will be rescued and run again"
                    );
                    break;
                }
                Err(error) => pauses.after(&error).await,
            }
        }
        for lease_id in lease_ids() {
            self.core.held.record_settled(lease_id, 1);
        }
        self.core.held.set_settling(lease_ids(), false);
    }

    async fn try_settle(&mut self, settlements: &[Settlement]) -> Result<(), Error> {
        let counted = self.store.settle(settlements).await?;
        if counted.len() < settlements.len() {
            let dropped = settlements.len() - counted.len();
            tracing::warn!(dropped, "leases lost: these outcomes do not count");
        }
        Ok(())
    }
}

/// Splits what one statement takes from the rest.
fn split_batch(settlements: &[Settlement]) -> (&[Settlement], &[Settlement]) {
    let mut length = 0;
    let fitting = settlements.iter().take(BATCH).take_while(|settlement| {
        length += settlement.verdict.result().map_or(0, str::len);
        length <= BATCH_LENGTH
    });
    // A result alone is never longer.
    settlements.split_at(fitting.count())
}

fn has_result(settlement: &Settlement) -> bool {
    settlement.verdict.result().is_some()
}

fn without_result(settlement: &Settlement, error: &str) -> Settlement {
    Settlement {
        verdict: Verdict::Keep {
            result: Kept::refused(error),
        },
        ..settlement.clone()
    }
}

/// The waits between tries of one write.
struct Pauses {
    next: Duration,
}

impl Pauses {
    fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    async fn after(&mut self, error: &Error) {
        let pause = self.next.mul_f64(0.5 + 0.5 * fastrand::f64());
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        tracing::warn!(%error, ?pause, "outcomes could not be written; trying again");
        sleep(pause).await;
    }
}

/// Tells whether an error of the server is about its state, not about what was asked.
fn is_passing(error: &dyn sqlx::error::DatabaseError) -> bool {
    let code = error.code();
    let class = code.as_deref().and_then(|code| code.get(..2));
    // Connection, transaction rollback, resources, intervention by an operator, system, transaction
    // state, which includes a server that is read-only for now, and prepared statements that a pooler
    // has mixed up.
    matches!(
        class,
        Some("08" | "40" | "53" | "57" | "58" | "25" | "55" | "26")
    ) || code.as_deref() == Some("42P05")
}
