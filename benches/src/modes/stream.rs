//! A steady stream of small batches beside a transaction that is held open: what it costs as it goes on.
//!
//! A drain ends before rows that died can stand in its way. A stream empties its lanes again and again, and no
//! vacuum takes away what has died since the transaction began.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep_until;

use super::{Bench, drain, growth};
use crate::meter::Meter;
use crate::sample::{Sample, Statement, Stretch};
use crate::server::Database;
use crate::systems::{Handler, System, Taskq};

/// Tasks a second.
pub const RATE: u64 = 2_000;

/// Tasks in a batch, which is one transaction.
pub const BATCH: u64 = 50;

/// What a line of the table is about; a run that is shorter than two of these has four lines.
const STRETCH: Duration = Duration::from_secs(60);

/// How long the last tasks may take to run.
const CATCHING_UP: Duration = Duration::from_secs(30);

/// How the statements begin whose pages are counted, in the order of [`Stretch::statements`].
const STATEMENTS: [&str; 3] = ["/* taskq claim", "/* taskq scan", "/* taskq complete */"];

pub async fn measure(bench: &Bench<'_>) -> Result<Sample> {
    let length = bench.effort.streaming;
    let tasks = (length.as_secs_f64() * RATE as f64) as u64 / BATCH * BATCH;
    bench.server.count_statements().await?;
    let db = bench.database().await?;
    db.execute("create extension pg_stat_statements").await?;
    let before = db.costs().await?;
    let meter = Arc::new(Meter::timing(tasks));
    let mut worker = Taskq::STREAM
        .worker(&db.url, Handler::Nothing, meter.clone())
        .await?;
    let held = growth::hold_snapshot(&db).await?;
    worker.run().await?;
    let began = Instant::now();
    let stretches = stream(bench, &db, &meter, tasks).await?;
    let time = began.elapsed();
    let all_ran = meter.reaches(tasks, Instant::now() + CATCHING_UP).await;
    ensure!(all_ran, "{} of {tasks} tasks ran", meter.count());
    drop(held);
    drain::until_completed(bench.system, &db).await?;
    worker.stop().await?;
    meter.check_exactly_once(tasks)?;
    let after = db.costs().await?;
    bench.server.drop_database(db).await?;
    let mut sample = Sample::rate(tasks, time)
        .with_latencies(meter.latencies(0..tasks))
        .costing(before, after);
    sample.stretches = stretches;
    Ok(sample)
}

/// Enqueues batches by the clock, and says of each stretch of time what it cost.
async fn stream(
    bench: &Bench<'_>,
    db: &Database,
    meter: &Meter,
    tasks: u64,
) -> Result<Vec<Stretch>> {
    let length = bench.effort.streaming;
    let stretch = if length >= STRETCH * 2 {
        STRETCH
    } else {
        length / 4
    };
    let per_stretch = (stretch.as_secs_f64() * RATE as f64) as u64 / BATCH * BATCH;
    let mut client = bench.system.client(db).await?;
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut counted = counters(db).await?;
    let mut from = 0;
    let began = Instant::now();
    for first in (0..tasks).step_by(usize::try_from(BATCH)?) {
        let due = began + Duration::from_secs_f64(first as f64 / RATE as f64);
        sleep_until(due.into()).await;
        let numbers = first..first + BATCH;
        let now = Instant::now();
        for number in numbers.clone() {
            meter.sent_at(number, now);
        }
        client.enqueue_many(numbers.clone()).await?;
        let end = numbers.end;
        if end - from >= per_stretch || end == tasks {
            let now = counters(db).await?;
            let statements = counted.iter().zip(&now);
            let statements = statements.map(|(then, now)| now.since(*then)).collect();
            let ran = Sample::default().with_latencies(meter.latencies(from..end));
            stretches.push(Stretch {
                end: began.elapsed(),
                p50_ms: ran.p50_ms,
                p99_ms: ran.p99_ms,
                statements,
            });
            if let Some(last) = stretches.last() {
                eprintln!("{}", last.line());
            }
            (counted, from) = (now, end);
        }
    }
    Ok(stretches)
}

/// How often each of the statements was made so far, and how many pages it read.
async fn counters(db: &Database) -> Result<Vec<Statement>> {
    let mut counters = Vec::new();
    for begins in STATEMENTS {
        let (calls, pages): (i64, i64) = sqlx::query_as(
            "select coalesce(sum(calls), 0)::bigint,
                    coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint
             from pg_stat_statements
             where dbid = (select oid from pg_database where datname = current_database())
               and starts_with(query, $1)",
        )
        .bind(begins)
        .fetch_one(&db.pool)
        .await
        .context("pg_stat_statements")?;
        counters.push(Statement { calls, pages });
    }
    Ok(counters)
}
