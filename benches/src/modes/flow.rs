//! Limits, failures and orders: what they cost a drain, each beside the drain without, in turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::sleep;

use super::{Bench, drain};
use crate::meter::Meter;
use crate::sample::Sample;
use crate::server::Database;
use crate::systems::{Flow, Handler, System, flow};

/// How a limit stands to a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// One of the type, which never binds.
    InVain,
    /// One of each tenant, which never binds.
    ByKeyInVain,
    /// One of each tenant, which binds.
    Binds,
    /// It holds many tasks back, of another type than that of the drain.
    HoldsBack,
}

impl Limit {
    pub const ALL: [Self; 4] = [
        Self::InVain,
        Self::ByKeyInVain,
        Self::Binds,
        Self::HoldsBack,
    ];
}

/// What is compared of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Every second task always fails.
    Failing,
    /// The same in a random order.
    FailingAtRandom,
    /// The cost of claims at random, with a million waiting and with a thousand.
    ManyAtRandom,
    /// All tasks are of one tenant, whose turn it always is.
    FairAlone,
    /// Each task is of another tenant.
    FairAmongMany,
}

impl Order {
    pub const ALL: [Self; 5] = [
        Self::Failing,
        Self::FailingAtRandom,
        Self::ManyAtRandom,
        Self::FairAlone,
        Self::FairAmongMany,
    ];
}

/// Tasks where a limit binds.
pub const BOUND: u64 = 20_000;

/// The fewest that wait where claims at random are looked at.
pub const FEW: u64 = 1_000;

/// Good tasks among as many that fail; twice as many are good in the drain beside.
pub const GOOD: u64 = 10_000;

/// Tenants of one task each that take turns.
pub const FAIR_TENANTS: u64 = 10_000;

/// How often that short drain is repeated.
const REPEATS: usize = 5;

/// What a feeder adds at once.
const FED_AT_ONCE: u64 = 250;

pub async fn measure_limit(bench: &Bench<'_>, limit: Limit) -> Result<Sample> {
    let tasks = bench.effort.backlog;
    let plain = async || drained(bench, Flow::Plain, tasks).await;
    match limit {
        Limit::InVain => beside(plain, async || drained(bench, Flow::InVain, tasks).await).await,
        Limit::ByKeyInVain => {
            beside(plain, async || {
                drained(bench, Flow::ByKeyInVain, tasks).await
            })
            .await
        }
        Limit::HoldsBack => beside(plain, async || beside_held_back(bench).await).await,
        Limit::Binds => {
            let sample = drained(bench, Flow::ByKey, BOUND).await?;
            // What there would be if no place were ever empty.
            let most = (flow::TENANTS * flow::OF_TENANT) as f64 / flow::WORK.as_secs_f64();
            Ok(sample.beside(most))
        }
    }
}

pub async fn measure_order(bench: &Bench<'_>, order: Order) -> Result<Sample> {
    let kind = match order {
        Order::Failing => Flow::Plain,
        Order::FailingAtRandom => Flow::Random,
        Order::ManyAtRandom => {
            let few = claims_at_random(bench, FEW).await?;
            let many = claims_at_random(bench, bench.effort.many).await?;
            return Ok(many.beside(few.per_second.unwrap_or_default()));
        }
        Order::FairAlone => return in_turns(bench, Flow::FairAlone, bench.effort.backlog).await,
        Order::FairAmongMany => return in_turns(bench, Flow::FairAmongMany, FAIR_TENANTS).await,
    };
    let (mut good, mut mixed) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        good.push(drained(bench, kind, 2 * GOOD).await?);
        mixed.push(among_failing(bench, kind).await?);
    }
    let mut mixed = Sample::together(&mixed);
    // Both drains have as many tasks, and are over when the last good one is.
    mixed.per_second = mixed.per_second.map(|rate| 2.0 * rate);
    let good = Sample::together(&good).per_second;
    Ok(mixed.beside(good.unwrap_or_default()))
}

/// Measures a drain in fair turns beside the same without, by turns.
async fn in_turns(bench: &Bench<'_>, kind: Flow, tasks: u64) -> Result<Sample> {
    let (mut plain, mut fair) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        plain.push(drained(bench, Flow::Plain, tasks).await?);
        fair.push(drained(bench, kind, tasks).await?);
    }
    let plain = Sample::together(&plain).per_second;
    Ok(Sample::together(&fair).beside(plain.unwrap_or_default()))
}

/// Measures something between two drains without it.
async fn beside(
    plain: impl AsyncFn() -> Result<Sample>,
    other: impl AsyncFn() -> Result<Sample>,
) -> Result<Sample> {
    let before = plain().await?;
    let sample = other().await?;
    let after = plain().await?;
    let plain = Sample::together(&[before, after]);
    Ok(sample.beside(plain.per_second.unwrap_or_default()))
}

async fn database(bench: &Bench<'_>, kind: Flow) -> Result<Database> {
    let bench = Bench {
        server: bench.server,
        system: &kind,
        effort: bench.effort,
        drain_rate: None,
        relay: bench.relay,
    };
    bench.database().await
}

async fn drain(bench: &Bench<'_>, db: &Database, kind: Flow, tasks: u64) -> Result<Sample> {
    let (limit, from) = (bench.effort.drain_limit, drain::From::FirstHandler);
    drain::drain(&kind, db, Handler::Nothing, tasks, limit, from).await
}

async fn drained(bench: &Bench<'_>, kind: Flow, tasks: u64) -> Result<Sample> {
    let db = database(bench, kind).await?;
    drain::prepare(&kind, &db, Handler::Nothing, tasks).await?;
    let sample = drain(bench, &db, kind, tasks).await?;
    bench.server.drop_database(db).await?;
    Ok(sample)
}

/// Drains while tasks of another type wait that their limits hold back.
async fn beside_held_back(bench: &Bench<'_>) -> Result<Sample> {
    let db = database(bench, Flow::HeldBack).await?;
    let many = bench.effort.many;
    db.fill(Flow::HeldBack.preload(Handler::Nothing, 0..many))
        .await?;
    let meter = Arc::new(Meter::counting(0));
    let mut holder = Flow::HeldBack
        .worker(&db.url, Handler::Nothing, meter)
        .await?;
    holder.run().await?;
    let running = "select count(*) from taskq.lease cross join lateral taskq.left_in(lease)";
    let began = Instant::now();
    while db.count(running).await? < flow::TENANTS {
        ensure!(
            began.elapsed() < Duration::from_secs(20),
            "the limits are not used up"
        );
        sleep(Duration::from_millis(50)).await;
    }
    let tasks = bench.effort.backlog;
    drain::prepare(&Flow::Plain, &db, Handler::Nothing, tasks).await?;
    let sample = drain_beside(bench, &db, tasks).await;
    let ran = db.count(running).await?;
    ensure!(ran == flow::TENANTS, "{ran} ran within limits");
    holder.stop().await?;
    bench.server.drop_database(db).await?;
    sample
}

/// Drains without a look at the costs, for which it would wait for the other worker to end.
async fn drain_beside(bench: &Bench<'_>, db: &Database, tasks: u64) -> Result<Sample> {
    let meter = Arc::new(Meter::counting(tasks));
    let mut worker = Flow::Plain
        .worker(&db.url, Handler::Nothing, meter.clone())
        .await?;
    worker.run().await?;
    meter
        .reaches(tasks, Instant::now() + bench.effort.drain_limit)
        .await;
    let all_ran = meter.count() == tasks;
    if all_ran {
        drain::until_completed(&Flow::Plain, db).await?;
    }
    let first = meter.first().unwrap_or_else(Instant::now);
    let sample = Sample::rate(meter.count(), first.elapsed());
    worker.stop().await?;
    meter.check_none_repeated()?;
    Ok(sample)
}

/// Drains good tasks among as many that fail. It is over when the good ones are.
async fn among_failing(bench: &Bench<'_>, kind: Flow) -> Result<Sample> {
    let db = database(bench, kind).await?;
    db.fill(kind.preload_failing(0..GOOD)).await?;
    db.execute("vacuum analyze").await?;
    let sample = drain(bench, &db, kind, GOOD).await?;
    bench.server.drop_database(db).await?;
    Ok(sample)
}

/// Says how many tasks claims at random take in a second of the server's time, while so many wait.
async fn claims_at_random(bench: &Bench<'_>, waiting: u64) -> Result<Sample> {
    const KIND: Flow = Flow::RandomWaits;
    bench.server.count_statements().await?;
    let db = database(bench, KIND).await?;
    db.execute("create extension pg_stat_statements").await?;
    let (feeding, most) = (
        bench.effort.feeding.min(Duration::from_secs(10)),
        waiting + (1 << 20),
    );
    drain::prepare(&KIND, &db, Handler::Nothing, waiting).await?;
    let meter = Arc::new(Meter::counting(most));
    let mut worker = KIND
        .worker(&db.url, Handler::Nothing, meter.clone())
        .await?;
    let mut feeder = PgConnection::connect(&db.url).await?;
    sqlx::query("set synchronous_commit = off")
        .execute(&mut feeder)
        .await?;
    worker.run().await?;
    // Connections and plans are made.
    meter
        .reaches(2 * FED_AT_ONCE, Instant::now() + Duration::from_secs(5))
        .await;
    db.execute("select pg_stat_statements_reset()").await?;
    let (began, before) = (Instant::now(), meter.count());
    let mut enqueued = waiting;
    while began.elapsed() < feeding {
        let missing = (waiting + meter.count()).saturating_sub(enqueued);
        if missing < FED_AT_ONCE {
            sleep(Duration::from_millis(1)).await;
            continue;
        }
        let statement = KIND.preload(Handler::Nothing, enqueued..enqueued + missing);
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut feeder)
            .await?;
        enqueued += missing;
    }
    let tasks = meter.count() - before;
    let (calls, ms, pages): (i64, f64, i64) = sqlx::query_as(
        "select sum(calls)::bigint, sum(total_exec_time), sum(shared_blks_hit + shared_blks_read)::bigint
         from pg_stat_statements
         where query like '/* taskq claim%' or query like '/* taskq anywhere%'",
    )
    .fetch_one(&db.pool)
    .await?;
    feeder.close().await?;
    worker.stop().await?;
    meter.check_none_repeated()?;
    bench.server.drop_database(db).await?;
    eprintln!(
        "{waiting} wait: {tasks} tasks, {calls} claims and choices of places, {:.3} ms and {:.1} pages a task",
        ms / tasks as f64,
        pages as f64 / tasks as f64
    );
    Ok(Sample::rate(tasks, Duration::from_secs_f64(ms / 1000.0)))
}
