//! Drains among many rows, beside a transaction that is held open, and by many processes; and a stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::sleep;

use super::{Bench, drain, stream};
use crate::meter::Meter;
use crate::process;
use crate::sample::Sample;
use crate::server::Database;
use crate::systems::{Ballast, Handler};

/// What is different from a plain drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// Nothing.
    Plain,
    /// A thousand wait, because a feeder adds as many as were run.
    Fed,
    Waiting(Count),
    /// There are tasks in front that no worker knows.
    BehindUnknown,
    /// There are many rows that are due later, and many that are finished.
    FutureAndFinished,
    /// A transaction with a snapshot from before everything stays open.
    HeldTransaction,
    /// A stream of small batches beside such a transaction.
    Stream,
    /// So many worker processes share the work.
    Processes(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    TenThousand,
    Backlog,
    /// A million, or as many as the effort has for that.
    Many,
}

impl Situation {
    pub const ALL: [Self; 16] = [
        Self::Plain,
        Self::Fed,
        Self::Waiting(Count::TenThousand),
        Self::Waiting(Count::Backlog),
        Self::Waiting(Count::Many),
        Self::BehindUnknown,
        Self::FutureAndFinished,
        Self::HeldTransaction,
        Self::Stream,
        Self::Processes(1),
        Self::Processes(2),
        Self::Processes(4),
        Self::Processes(8),
        Self::Processes(16),
        Self::Processes(32),
        Self::Processes(64),
    ];
}

/// What the feeder keeps waiting.
pub const FED: u64 = 1_000;

/// The least that the feeder adds at once.
const HELPING: u64 = 250;

/// More tasks than a feeder can add in the time.
const MOST: u64 = 1 << 24;

/// In front of a worker's own tasks.
pub const UNKNOWN: u64 = 100_000;

/// A short drain is repeated, since its time varies most.
const REPEATED_BELOW: u64 = 50_000;
const REPEATS: u64 = 5;

/// How long workers may go on after the last insert.
const CATCHING_UP: Duration = Duration::from_secs(10);

pub async fn measure(bench: &Bench<'_>, situation: Situation) -> Result<Sample> {
    if situation == Situation::Stream {
        return stream::measure(bench).await;
    }
    let effort = bench.effort;
    let db = bench.database().await?;
    let mut held = None;
    let mut tasks = effort.backlog;
    match situation {
        Situation::Plain | Situation::Stream => {}
        // Many, or it is their start that is measured.
        Situation::Processes(_) => tasks = effort.many,
        Situation::Fed => {
            let sample = fed(bench, &db).await?;
            bench.server.drop_database(db).await?;
            return Ok(sample);
        }
        Situation::Waiting(Count::TenThousand) => tasks = 10_000,
        Situation::Waiting(Count::Backlog) => tasks = effort.backlog,
        Situation::Waiting(Count::Many) => tasks = effort.many,
        Situation::BehindUnknown => add(bench, &db, Ballast::Unknown, UNKNOWN).await?,
        Situation::FutureAndFinished => {
            add(bench, &db, Ballast::Future, effort.many).await?;
            add(bench, &db, Ballast::Finished, effort.many).await?;
        }
        Situation::HeldTransaction => held = Some(hold_snapshot(&db).await?),
    }
    let sample = match situation {
        Situation::Processes(count) => {
            drain::prepare(bench.system, &db, Handler::Nothing, tasks).await?;
            process::drain(bench, &db, tasks, count).await?
        }
        _ if tasks < REPEATED_BELOW => {
            let mut samples = Vec::new();
            for _ in 0..REPEATS {
                samples.push(plain(bench, &db, tasks).await?);
            }
            Sample::together(&samples)
        }
        _ => plain(bench, &db, tasks).await?,
    };
    if let Some(held) = held {
        held.close().await?;
    }
    bench.server.drop_database(db).await?;
    Ok(sample)
}

async fn plain(bench: &Bench<'_>, db: &Database, tasks: u64) -> Result<Sample> {
    drain::prepare(bench.system, db, Handler::Nothing, tasks).await?;
    let limit = bench.effort.drain_limit;
    let from = drain::From::FirstHandler;
    drain::drain(bench.system, db, Handler::Nothing, tasks, limit, from).await
}

async fn add(bench: &Bench<'_>, db: &Database, ballast: Ballast, rows: u64) -> Result<()> {
    match bench.system.ballast(ballast, rows) {
        Some(statement) => db.fill(statement).await,
        // A system that deletes what is finished has no such rows, and no slowness from them.
        None => Ok(()),
    }
}

/// Begins a transaction and has it see the database as it is now, for as long as it lives.
pub async fn hold_snapshot(db: &Database) -> Result<PgConnection> {
    let mut held = PgConnection::connect(&db.url).await?;
    for statement in [
        "begin isolation level repeatable read",
        // It needs a snapshot only from its first statement on.
        "select count(*) from pg_class",
    ] {
        sqlx::query(statement).execute(&mut held).await?;
    }
    Ok(held)
}

/// Works while a feeder adds tasks, so that about a thousand wait at any time.
async fn fed(bench: &Bench<'_>, db: &Database) -> Result<Sample> {
    let before = db.costs().await?;
    let meter = Arc::new(Meter::counting(MOST));
    let mut worker = bench
        .system
        .worker(&db.url, Handler::Nothing, meter.clone())
        .await?;
    let mut feeder = PgConnection::connect(&db.url).await?;
    // It stands for many clients, whose waiting for the disk is not what is measured.
    sqlx::query("set synchronous_commit = off")
        .execute(&mut feeder)
        .await?;
    worker.run().await?;
    let began = Instant::now();
    let mut enqueued = 0;
    while began.elapsed() < bench.effort.feeding {
        let missing = (meter.count() + FED).saturating_sub(enqueued);
        if missing < HELPING {
            sleep(Duration::from_millis(1)).await;
            continue;
        }
        let end = (enqueued + missing).min(MOST);
        ensure!(enqueued < end, "more than {MOST} tasks");
        let statement = bench.system.preload(Handler::Nothing, enqueued..end);
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut feeder)
            .await?;
        enqueued = end;
    }
    let (ran, time) = (meter.count(), began.elapsed());
    feeder.close().await?;
    let all_ran = meter.reaches(enqueued, Instant::now() + CATCHING_UP).await;
    ensure!(all_ran, "{} of {enqueued} tasks ran", meter.count());
    drain::until_completed(bench.system, db).await?;
    worker.stop().await?;
    meter.check_exactly_once(enqueued)?;
    let after = db.costs().await?;
    Ok(Sample::rate(ran, time).costing(before, after))
}
