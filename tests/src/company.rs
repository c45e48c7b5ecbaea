//! Tasks in company: in batches, in groups, with somebody who waits for them, with hooks, encrypted, and kept for a while.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool, query, query_as};
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, EndedAttempt, Wants};
use taskq::{
    Attempt, AttemptOutcome, Batch, EnqueueError, Group, Handle, Hook, Payload, WaitError, enqueue,
    task,
};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::history::{Event, How, Recorder, Running};
use crate::tasks::{Once, OnceLazily, Repeatable, Single, Tenanted, Ticked, is_refusal};

/// Those with keys, limits and ticks, and those in company.
pub type AllTypes = (
    Once,
    OnceLazily,
    Repeatable,
    Single,
    Tenanted,
    Ticked,
    Answered,
    Briefly,
    GatherEachHandler,
    GatherAllHandler,
    Spreads,
    Added,
    Finished,
);

/// The keys by which words are encrypted.
pub const KEYS: &str = "2026-11:ZGVhZGJlZWZkZWFkYmVlZmRlYWRiZWVmZGVhZGJlZWY=";

/// Is in each word, and nowhere else.
pub const WORD: &str = "pAsswOrd";

/// Returns the word of a task.
pub fn word(n: i64) -> String {
    format!("{WORD} {n}")
}

/// Tells how often the hook refuses that a task has ended, once its handler is content.
pub fn refusals(n: i64) -> u16 {
    u16::from(n % 7 == 0 || n % 11 == 0)
}

/// Its caller is told its number.
#[task(
    timeout = "10m",
    queue = "company",
    retry = "fixed(50ms)",
    result = "keep"
)]
pub async fn answered(
    history: &Recorder,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
    #[encrypted] word: String,
) -> Result<i64, BoxError> {
    let running = history.started(n, attempt);
    if word != self::word(n) {
        history.record(Event::Trace {
            n,
            what: format!("another word: {word}"),
        });
    }
    for part in 0..4_u8 {
        attempt.progress(f64::from(part) / 4.0, format!("part {part}"));
        sleep(Duration::from_millis(takes_ms / 4)).await;
    }
    end(running, attempt, failures).map(|()| n)
}

/// Is kept for a minute once it has completed.
#[task(
    timeout = "10m",
    queue = "company",
    retry = "fixed(50ms)",
    keep(completed = "1m")
)]
pub async fn briefly(
    tx: &mut PgConnection,
    history: &Recorder,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
) -> Result<(), BoxError> {
    let running = history.started(n, attempt);
    if let Err(error) = leave(tx, &[n]).await {
        return Err(refused([running], error));
    }
    sleep(Duration::from_millis(takes_ms)).await;
    end(running, attempt, failures)
}

fn end(running: Running<'_>, attempt: &Attempt, failures: u16) -> Result<(), BoxError> {
    if attempt.number() <= failures {
        running.ends(How::Failed);
        return Err("as planned".into());
    }
    running.ends(How::Succeeded);
    Ok(())
}

/// What Postgres said of the handler's statement, which concerns all of these.
fn refused<'a>(all: impl IntoIterator<Item = Running<'a>>, error: sqlx::Error) -> BoxError {
    if is_refusal(&error) {
        all.into_iter().for_each(|it| it.ends(How::Refused));
    }
    error.into()
}

async fn leave(tx: &mut PgConnection, numbers: &[i64]) -> sqlx::Result<()> {
    let insert = query("insert into effect (n) select unnest($1::bigint[])").bind(numbers);
    insert.execute(tx).await?;
    Ok(())
}

/// One of many that run in one transaction, and end each in its own way.
#[derive(Debug, Serialize, Deserialize, Payload)]
#[taskq(queue = "company")]
pub struct GatherEach {
    /// Its number.
    pub n: i64,
    /// So many attempts fail.
    pub failures: u16,
    /// So long it takes.
    pub takes_ms: u64,
}

/// One of many that run without a transaction, and end all in one way.
#[derive(Debug, Serialize, Deserialize, Payload)]
#[taskq(queue = "company")]
pub struct GatherAll {
    /// Its number.
    pub n: i64,
    /// So many attempts fail.
    pub failures: u16,
    /// So long it takes.
    pub takes_ms: u64,
}

/// Leaves the effects of those that succeed.
#[task(timeout = "10m", retry = "fixed(50ms)")]
pub async fn gather_each(
    #[batch(20, "30ms")] all: Vec<GatherEach>,
    tx: &mut PgConnection,
    batch: &Batch,
    history: &Recorder,
) -> Vec<Result<(), BoxError>> {
    let tasks = || all.iter().zip(batch);
    let mut running: Vec<_> = tasks().map(|(it, of)| history.started(it.n, of)).collect();
    let fails = |it: &GatherEach, of: &Attempt| of.number() <= it.failures;
    let succeed = tasks().filter(|(it, of)| !fails(it, of));
    let succeed: Vec<i64> = succeed.map(|(it, _)| it.n).collect();
    if let Err(error) = leave(tx, &succeed).await {
        tracing::warn!(%error, "no effects are left");
        let text = error.to_string();
        let mut said = Some(refused(running, error));
        let of_all = all
            .iter()
            .map(|_| Err(said.take().unwrap_or_else(|| text.clone().into())));
        return of_all.collect();
    }
    let longest = all.iter().map(|it| it.takes_ms).max();
    sleep(Duration::from_millis(longest.unwrap_or_default())).await;
    let ends = tasks().zip(running.drain(..)).map(|((it, of), running)| {
        if fails(it, of) {
            running.ends(How::Failed);
            return Err("as planned".into());
        }
        running.ends(How::Succeeded);
        Ok(())
    });
    ends.collect()
}

/// Fails for all where it is to fail for one.
#[task(timeout = "10m", retry = "fixed(50ms)")]
pub async fn gather_all(
    #[batch(20, "30ms")] all: Vec<GatherAll>,
    batch: &Batch,
    history: &Recorder,
) -> Result<(), BoxError> {
    let tasks = || all.iter().zip(batch);
    let running: Vec<_> = tasks().map(|(it, of)| history.started(it.n, of)).collect();
    let longest = all.iter().map(|it| it.takes_ms).max();
    sleep(Duration::from_millis(longest.unwrap_or_default())).await;
    let fails: Vec<bool> = tasks().map(|(it, of)| of.number() <= it.failures).collect();
    let is_failure = fails.contains(&true);
    for (running, fails) in running.into_iter().zip(fails) {
        running.ends(match (is_failure, fails) {
            (false, _) => How::Succeeded,
            (true, true) => How::Failed,
            // For another's sake.
            (true, false) => How::Refused,
        });
    }
    if is_failure {
        Err("as planned")?;
    }
    Ok(())
}

/// A member that adds others to its group, and begins a group of its own: of one, or of none.
#[task(timeout = "10m", queue = "company", retry = "fixed(50ms)")]
pub async fn spreads(
    tx: &mut PgConnection,
    history: &Recorder,
    attempt: &Attempt,
    n: i64,
    failures: u16,
    takes_ms: u64,
) -> Result<(), BoxError> {
    let running = history.started(n, attempt);
    let worked = async {
        leave(tx, &[n]).await?;
        if let Some(group) = attempt.group() {
            for _ in 0..n % 3 {
                enqueue(&mut *tx, Added {}).group(group).await?;
            }
            add(tx, group, n % 3).await?;
        }
        let inner = begin(tx, n % 2).await?;
        if n % 2 == 1 {
            enqueue(&mut *tx, Added {}).group(inner).await?;
        }
        inner.seal(tx).await?;
        Ok::<_, BoxError>(())
    };
    if let Err(error) = worked.await {
        if said_by_postgres(&*error) {
            running.ends(How::Refused);
        }
        return Err(error);
    }
    sleep(Duration::from_millis(takes_ms)).await;
    end(running, attempt, failures)
}

/// Tells whether Postgres has refused a statement: also because an id is taken, where the sequence was set back.
fn said_by_postgres(error: &(dyn std::error::Error + 'static)) -> bool {
    let said = |it: &sqlx::Error| it.as_database_error().is_some();
    if let Some(error) = error.downcast_ref::<EnqueueError>() {
        return matches!(error, EnqueueError::Database(error) if said(error));
    }
    error.downcast_ref::<sqlx::Error>().is_some_and(said)
}

/// What another member has added.
#[task(timeout = "10m", queue = "company")]
pub async fn added() {}

/// Notes how its group has ended.
#[task(timeout = "10m", queue = "company", retry = "fixed(50ms)")]
pub async fn finished(tx: &mut PgConnection, attempt: &Attempt) -> Result<(), BoxError> {
    let ended = attempt.group_ended().ok_or("it is the task of a group")?;
    let counts = [
        ended.members,
        ended.completed,
        ended.discarded,
        ended.cancelled,
        ended.invalid,
        ended.quarantined,
        ended.expired,
        ended.deleted,
    ];
    let counts: Vec<i64> = counts.map(u64::cast_signed).into();
    let insert = query("insert into finish (group_id, counts) values ($1, $2)");
    insert.bind(ended.group_id).bind(counts).execute(tx).await?;
    Ok(())
}

/// Begins a group, and notes that it will have so many members at first.
pub async fn begin(tx: &mut PgConnection, members: i64) -> Result<Group, BoxError> {
    let group = Group::begin(&mut *tx, Finished {}).await?;
    add(tx, group, members).await?;
    Ok(group)
}

async fn add(tx: &mut PgConnection, group: Group, members: i64) -> sqlx::Result<()> {
    let insert = query("insert into joined (group_id, members) values ($1, $2)");
    let insert = insert.bind(group.group_id()).bind(members);
    insert.execute(tx).await?;
    Ok(())
}

/// Notes each end in its transaction, refuses some, panics now and then, and remembers what it is told afterwards.
pub struct Witness(pub Arc<Recorder>);

impl Hook for Witness {
    fn name(&self) -> &str {
        "witness"
    }

    fn wants(&self, task_type: &str) -> Wants {
        match task_type {
            "answered" | "briefly" => Wants::IN_TX | Wants::AFTER,
            _ => Wants::NOTHING,
        }
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let number = Number::of(attempt)?;
            let outcome = attempt.outcome.name();
            let insert = query("insert into witnessed (task_type, n, outcome) values ($1, $2, $3)");
            let insert = insert.bind(attempt.task_type).bind(number.n);
            if let Err(error) = insert.bind(outcome).execute(tx).await {
                if is_refusal(&error) {
                    self.0.record(Event::HookRefused { n: number.n });
                }
                return Err(error.into());
            }
            match &attempt.outcome {
                AttemptOutcome::Completed
                    if attempt.number <= number.failures + refusals(number.n) =>
                {
                    assert!(number.n % 11 > 0, "a hook panics");
                    Err("not yet".into())
                }
                // It is asked again.
                AttemptOutcome::Discarded { .. }
                    if number.n % 19 == 0 && fastrand::u8(..4) == 0 =>
                {
                    Err("not yet".into())
                }
                _ => Ok(()),
            }
        })
    }

    fn after<'a>(&'a self, attempt: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let Number { n, .. } = Number::of(attempt)?;
            self.0.record(Event::Told {
                n,
                outcome: attempt.outcome.name().to_owned(),
            });
            assert!(n % 13 > 0, "a hook panics");
            Ok(())
        })
    }
}

#[derive(Deserialize)]
struct Number {
    n: i64,
    failures: u16,
}

impl Number {
    fn of(attempt: &EndedAttempt) -> Result<Self, BoxError> {
        Ok(serde_json::from_str(attempt.payload())?)
    }
}

/// How long somebody waits: longer than a soak.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// For how long a process that is to end waits for what it is still to be told.
const AT_THE_END: Duration = Duration::from_secs(20);

/// Waits for all tasks that an application has noted in `asked`, until the process is to end, and records what it is told.
pub async fn wait_for_all<T>(pool: &PgPool, history: &Arc<Recorder>, end: impl Future<Output = T>) {
    let mut waits = JoinSet::new();
    let mut known = HashSet::new();
    let mut end = pin!(end);
    loop {
        let asked = query_as::<_, (i64, i64)>("select task_id, n from asked order by n");
        let asked = asked.fetch_all(pool).await.unwrap_or_default();
        for (task_id, n) in asked {
            if known.insert(n) {
                let (pool, history) = (pool.clone(), history.clone());
                waits.spawn(async move { wait_for(&pool, &history, task_id, n).await });
            }
        }
        while let Some(Ok(n)) = waits.try_join_next() {
            history.record(Event::WaitEnded { n });
        }
        if timeout(Duration::from_millis(100), &mut end).await.is_ok() {
            break;
        }
    }
    let told = async {
        while let Some(Ok(n)) = waits.join_next().await {
            history.record(Event::WaitEnded { n });
        }
    };
    let _ = timeout(AT_THE_END, told).await;
    history.record(Event::StillWaiting { waits: waits.len() });
}

async fn wait_for(pool: &PgPool, history: &Recorder, task_id: i64, n: i64) -> i64 {
    loop {
        let what = match Handle::<Answered>::of(task_id).wait(pool, PATIENCE).await {
            Ok(answer) => format!("{answer}"),
            Err(WaitError::Dead { state, .. }) => state,
            Err(WaitError::Database(error)) => {
                let error = error.to_string();
                history.record(Event::WaitFailed { n, error });
                sleep(Duration::from_millis(200)).await;
                continue;
            }
            Err(error) => error.to_string(),
        };
        // A task that is set aside may be taken back.
        let is_over = what != "refused";
        history.record(Event::Answered { n, task_id, what });
        if is_over {
            return n;
        }
        sleep(Duration::from_millis(500)).await;
    }
}
