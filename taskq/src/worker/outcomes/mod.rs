//! Writing what became of tasks.
//!
//! Run by each worker on one connection. Outcomes that arrive while a write is under way are written
//! together by the next, and few of them wait some milliseconds for others, unless somebody waits for them.
//! A process that is killed while a completed task waits for the rest of its lease repeats that task, as it
//! would a moment earlier. Outcomes are kept until they are written, through any failure of the database; if
//! a lease is lost meanwhile they do not count.

mod gather;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldhash::HashSet;
use sqlx::Error;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::gather::{Completed, Gathered};
use super::beats::{self, Loop};
use super::shared::{Core, sleep_until_some};
use super::tell::with_outcome;
use super::trouble::Said;
use crate::attempt::ended::AttemptOutcome;
use crate::attempt::outcome::Kept;
use crate::attempt::verdict::{Settlement, Verdict, in_ascii};
use crate::error::error_text;
use crate::store::{Refusal, Store, is_too_much};

/// The most outcomes that are written at once.
const BATCH: usize = 5_000;

/// The most bytes of results that are written at once.
const BATCH_LENGTH: usize = 16 * 1024 * 1024;

/// How long an outcome waits for others where a few have just been written. Each write waits for the disk, and whoever enqueues
/// meanwhile waits behind it.
const PACE: Duration = Duration::from_millis(5);

/// So many are not few.
const MANY: usize = 64;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Writes outcomes until all senders are gone, or until `give_up`.
pub(crate) async fn write(
    core: Arc<Core>,
    mut outcomes: mpsc::Receiver<Settlement>,
    give_up: CancellationToken,
) {
    let beats = core.beats.clone();
    let mut writer = Writer {
        store: core.store(),
        core,
    };
    tokio::select! {
        () = writer.write_all(&mut outcomes) => {}
        () = give_up.cancelled() => tracing::error!(
            "the last outcomes could not be written before the worker stopped; their tasks will be rescued and run again"
        ),
    }
    beats.end(Loop::Outcomes);
}

struct Writer {
    core: Arc<Core>,
    store: Store<'static>,
}

/// How much of its lease completes, and whether it is kept.
#[derive(Clone, Copy)]
enum Extent {
    Whole,
    Kept,
    Part,
}

/// Why Postgres does not take outcomes.
enum Refused {
    For(Refusal),
    /// They are too many for its limits.
    TooMany,
}

impl Writer {
    async fn write_all(&mut self, outcomes: &mut mpsc::Receiver<Settlement>) {
        // So that the connection is there when the first task has ended.
        if let Err(error) = self.store.backend().await {
            tracing::debug!(%error, "cannot connect to write outcomes yet; trying again with the first outcome");
        }
        let mut gathered = Gathered::default();
        let mut arrived = Vec::new();
        let mut beat = beats::pace();
        let mut few_until = Instant::now();
        let mut open = true;
        while open || !gathered.is_empty() {
            let deadline = gathered.deadline();
            tokio::select! {
                biased;
                count = outcomes.recv_many(&mut arrived, BATCH), if open => open = count > 0,
                () = sleep_until_some(deadline) => {}
                _ = beat.tick() => {
                    self.core.beats.beat(Loop::Outcomes);
                    continue;
                }
            }
            self.core.beats.beat(Loop::Outcomes);
            self.core.outcomes_wait.store(true, Ordering::Relaxed);
            self.wait_for_others(outcomes, &mut arrived, few_until)
                .await;
            let are_few = arrived.len() < MANY;
            for settlement in arrived.drain(..) {
                gathered.record(settlement);
            }
            let late = !open || deadline.is_some_and(|deadline| deadline <= Instant::now());
            self.write_ready(&mut gathered, late).await;
            if are_few {
                few_until = Instant::now() + PACE;
            }
            let some_wait = !gathered.is_empty();
            self.core.outcomes_wait.store(some_wait, Ordering::Relaxed);
        }
    }

    /// Adds what arrives until then to the outcomes that have arrived, if these are few and nobody waits for one of them.
    async fn wait_for_others(
        &self,
        outcomes: &mut mpsc::Receiver<Settlement>,
        arrived: &mut Vec<Settlement>,
        until: Instant,
    ) {
        let may_wait = |of: &[Settlement]| {
            let held = &self.core.held;
            !of.is_empty() && !of.iter().any(|it| held.is_waited_for(it.lease_id))
        };
        let mut looked_at = 0;
        while arrived.len() < MANY && Instant::now() < until && may_wait(&arrived[looked_at..]) {
            looked_at = arrived.len();
            let further = outcomes.recv_many(arrived, BATCH);
            // Nothing is lost where it is over: what has been received is there.
            let _ = timeout_at(until.into(), further).await;
        }
    }

    async fn write_ready(&mut self, gathered: &mut Gathered, late: bool) {
        let held = &self.core.held;
        let mut ready = gathered.take_ready(
            late,
            |lease_id| held.remaining(lease_id),
            |lease_id| held.is_waited_for(lease_id),
        );
        for (leases, extent) in [(ready.whole, Extent::Whole), (ready.parts, Extent::Part)] {
            if !leases.is_empty() {
                ready.single.extend(self.complete(leases, extent).await);
            }
        }
        let is_long = |lease: &mut Completed| lease.length_of_results() > BATCH_LENGTH;
        for lease in ready.kept.extract_if(.., is_long) {
            ready.single.extend(lease.tasks);
        }
        while !ready.kept.is_empty() {
            let further = ready.kept.split_off(fitting(&ready.kept));
            let leases = std::mem::replace(&mut ready.kept, further);
            ready
                .single
                .extend(self.complete(leases, Extent::Kept).await);
        }
        let mut rest = ready.single.as_slice();
        while !rest.is_empty() {
            let (batch, further) = split_batch(rest);
            self.settle(batch).await;
            rest = further;
        }
    }

    /// Completes tasks by lease. Returns those for whose leases counting was not enough.
    async fn complete(&mut self, leases: Vec<Completed>, extent: Extent) -> Vec<Settlement> {
        let completed = self.complete_until_written(&leases, extent).await;
        let held = &self.core.held;
        let mut rest = Vec::new();
        for lease in leases {
            if completed.contains(&lease.lease_id) {
                held.record_settled(lease.lease_id, lease.tasks.len());
                self.core.tell_settled(&lease.tasks);
            } else {
                held.set_settling([lease.lease_id], false);
                rest.extend(lease.tasks);
            }
        }
        held.set_settling(completed, false);
        rest
    }

    /// Returns the leases that were counted rightly: none, if Postgres refuses a row of the history.
    async fn complete_until_written(&mut self, leases: &[Completed], extent: Extent) -> Vec<Uuid> {
        let counts: Vec<(Uuid, usize)> = leases
            .iter()
            .map(|lease| (lease.lease_id, lease.remaining))
            .collect();
        let tasks: Vec<(Uuid, i64)> = leases
            .iter()
            .flat_map(|lease| &lease.tasks)
            .map(|task| (task.lease_id, task.task_id))
            .collect();
        let results: Vec<Option<String>> = match extent {
            Extent::Kept => leases.iter().map(Completed::results).collect(),
            Extent::Whole | Extent::Part => Vec::new(),
        };
        let lease_ids = || counts.iter().map(|(lease_id, _)| *lease_id);
        let mut pauses = Pauses::new();
        loop {
            // Only while the call is under way: through a long outage the leases must be given up.
            self.core.held.set_settling(lease_ids(), true);
            let completed = match extent {
                Extent::Whole => self.store.complete(&counts).await,
                Extent::Kept => self.store.complete_kept(&counts, &results).await,
                Extent::Part => self.store.complete_some(&counts, &tasks).await,
            };
            let error = match completed {
                Ok(completed) => return completed,
                Err(error) => error,
            };
            self.core.held.set_settling(lease_ids(), false);
            // Which row it is, and what to do about it, is found out task by task.
            let is_refused = Refusal::of(&error).is_some() || is_too_much(&error);
            if matches!(extent, Extent::Kept) && is_refused {
                return Vec::new();
            }
            pauses.after(&self.core, &error).await;
        }
    }

    /// Takes tasks out of their leases one by one.
    async fn settle(&mut self, settlements: &[Settlement]) {
        let refused = match self.settle_until_answered(settlements).await {
            Ok(counted) => {
                self.tell(settlements, &counted).await;
                return self.record_settled(settlements);
            }
            Err(refused) => refused,
        };
        match (settlements, refused) {
            ([settlement], Refused::For(refusal)) => match another_way(settlement, &refusal) {
                Some(other) => Box::pin(self.settle(&[other])).await,
                None if settlement.verdict.is_completion() => {
                    self.let_go(settlement, &refusal).await
                }
                None => self.set_aside(settlement, &refusal).await,
            },
            // One that Postgres refuses must not hold up the others.
            (several, _) => {
                let (first, second) = several.split_at(several.len() / 2);
                Box::pin(self.settle(first)).await;
                Box::pin(self.settle(second)).await;
            }
        }
    }

    /// Tells of outcomes, of which those counted that Postgres has named.
    async fn tell(&mut self, settlements: &[Settlement], counted: &[(Uuid, i64)]) {
        if settlements.iter().all(|task| task.ended.is_none()) {
            return;
        }
        let counted: HashSet<_> = counted.iter().collect();
        let (written, lost): (Vec<_>, Vec<_>) = settlements
            .iter()
            .partition(|task| counted.contains(&(task.lease_id, task.task_id)));
        self.core.tell_settled(written);
        let lost: Vec<_> = lost.iter().filter_map(|task| task.ended.clone()).collect();
        if !lost.is_empty() {
            self.core.tell_lost(&mut self.store, &lost).await;
        }
    }

    fn record_settled(&self, settlements: &[Settlement]) {
        let held = &self.core.held;
        for settlement in settlements {
            held.record_settled(settlement.lease_id, 1);
        }
        held.set_settling(settlements.iter().map(|task| task.lease_id), false);
    }

    /// Tries until Postgres has taken outcomes, or has refused them. Returns those that counted.
    async fn settle_until_answered(
        &mut self,
        settlements: &[Settlement],
    ) -> Result<Vec<(Uuid, i64)>, Refused> {
        let lease_ids = || settlements.iter().map(|task| task.lease_id);
        let mut pauses = Pauses::new();
        loop {
            self.core.held.set_settling(lease_ids(), true);
            let error = match self.store.settle(settlements).await {
                Ok(counted) => {
                    let dropped = settlements.len() - counted.len();
                    if dropped > 0 {
                        tracing::warn!(
                            dropped,
                            "some outcomes came too late: their leases were lost, and they do not count"
                        );
                    }
                    return Ok(counted);
                }
                Err(error) => error,
            };
            self.core.held.set_settling(lease_ids(), false);
            match Refusal::of(&error) {
                Some(refusal) => return Err(Refused::For(refusal)),
                None if settlements.len() > 1 && is_too_much(&error) => {
                    return Err(Refused::TooMany);
                }
                None => pauses.after(&self.core, &error).await,
            }
        }
    }

    /// Takes a task out of its lease that has completed, where Postgres refuses whatever names the other tables.
    async fn let_go(&mut self, settlement: &Settlement, refusal: &Refusal) {
        let one = std::slice::from_ref(settlement);
        match self.store.settle_completed(one).await {
            Ok(counted) => {
                self.tell(one, &counted).await;
                self.record_settled(one);
            }
            Err(_) => self.set_aside(settlement, refusal).await,
        }
    }

    /// Sets a task aside for which there is no way back.
    async fn set_aside(&mut self, settlement: &Settlement, refusal: &Refusal) {
        let (task_id, outcome) = (settlement.task_id, settlement.verdict.name());
        match self.store.set_aside(settlement, refusal).await {
            Ok(_) => {
                tracing::error!(
                    task_id,
                    outcome,
                    "task set aside in `refused`: Postgres refuses its outcome: {refusal}"
                );
                if let Some(ended) = &settlement.ended {
                    let error = refusal.to_string();
                    let refused = AttemptOutcome::Refused { error };
                    self.core.tell(with_outcome(ended, refused));
                }
            }
            Err(error) => tracing::error!(
                task_id,
                outcome,
                error = error_text(&error),
                "Postgres refuses an outcome, and its task could not be set aside; it will be rescued: {refusal}"
            ),
        }
        self.record_settled(std::slice::from_ref(settlement));
    }
}

/// Returns an outcome that Postgres may take in place of one that it has refused.
fn another_way(settlement: &Settlement, refusal: &Refusal) -> Option<Settlement> {
    let task_id = settlement.task_id;
    let other = |verdict, keep| Settlement {
        verdict,
        keep,
        ..settlement.clone()
    };
    let verdict = &settlement.verdict;
    if verdict.result().is_some() {
        // The work is done, and must not be repeated for the sake of what it returned.
        tracing::error!(
            task_id,
            "Postgres refuses a result; its task completes without it: {refusal}"
        );
        let result = Kept::refused(refusal.message());
        return Some(other(Verdict::Keep { result }, true));
    }
    // The text of the error has it in short, and the task must not be lost for the sake of the rest.
    if settlement.report.is_some() {
        let report = None;
        let verdict = settlement.verdict.clone();
        return Some(Settlement {
            report,
            ..other(verdict, settlement.keep)
        });
    }
    if let Some(verdict) = verdict.in_ascii() {
        let mark = settlement.mark.as_deref().map(in_ascii);
        return Some(Settlement {
            mark,
            ..other(verdict, settlement.keep)
        });
    }
    if verdict.is_completion() && settlement.keep {
        tracing::error!(
            task_id,
            "Postgres refuses to keep a completed task; it is not kept: {refusal}"
        );
        return Some(other(Verdict::Complete, false));
    }
    None
}

/// Splits what one statement takes from the rest.
pub(crate) fn split_batch(settlements: &[Settlement]) -> (&[Settlement], &[Settlement]) {
    let mut length = 0;
    let fitting = settlements.iter().take(BATCH).take_while(|settlement| {
        length += settlement.verdict.result().map_or(0, str::len);
        length <= BATCH_LENGTH
    });
    // A result alone is never longer.
    settlements.split_at(fitting.count())
}

/// Returns of how many leases one statement takes the results.
fn fitting(leases: &[Completed]) -> usize {
    let mut length = 0;
    let fitting = leases.iter().take_while(|lease| {
        length += lease.length_of_results();
        length <= BATCH_LENGTH
    });
    // Of one at least.
    fitting.count().max(1)
}

/// The waits between tries of one write.
struct Pauses {
    next: Duration,
}

impl Pauses {
    fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    async fn after(&mut self, core: &Core, error: &Error) {
        let pause = self.next.mul_f64(0.5 + 0.5 * fastrand::f64());
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        if let Some(Said { error, again }) = core.trouble("outcomes", error) {
            tracing::warn!(error, ?pause, "cannot write outcomes; trying again{again}");
        }
        sleep(pause).await;
        core.beats.beat(Loop::Outcomes);
    }
}
