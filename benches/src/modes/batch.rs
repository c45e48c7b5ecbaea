//! Handlers of many payloads: a drain whose handler inserts them by one statement, beside one whose handler inserts one, by
//! turns.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::{Bench, drain};
use crate::meter::Meter;
use crate::sample::Sample;
use crate::server::Database;
use crate::systems::batch::POISON;
use crate::systems::{Handler, System, batch};

/// What is compared with one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Many {
    Hundred,
    Thousand,
    /// A thousand, and the table refuses one of all payloads.
    Poisoned,
}

impl Many {
    pub const ALL: [Self; 3] = [Self::Hundred, Self::Thousand, Self::Poisoned];
}

/// How often the two drains are repeated.
const REPEATS: usize = 3;

pub async fn measure(bench: &Bench<'_>, many: Many) -> Result<Sample> {
    let (mut one_by_one, mut batches) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        one_by_one.push(drained(bench, batch::Batch::One).await?);
        batches.push(match many {
            Many::Hundred => drained(bench, batch::Batch::Hundred).await?,
            Many::Thousand => drained(bench, batch::Batch::Thousand).await?,
            Many::Poisoned => poisoned(bench).await?,
        });
    }
    let one_by_one = Sample::together(&one_by_one).per_second;
    Ok(Sample::together(&batches).beside(one_by_one.unwrap_or_default()))
}

async fn database(bench: &Bench<'_>, kind: batch::Batch) -> Result<Database> {
    let bench = Bench {
        server: bench.server,
        system: &kind,
        effort: bench.effort,
        drain_rate: None,
        relay: bench.relay,
    };
    bench.database().await
}

async fn drained(bench: &Bench<'_>, kind: batch::Batch) -> Result<Sample> {
    let db = database(bench, kind).await?;
    let (tasks, limit) = (bench.effort.slow_backlog, bench.effort.drain_limit);
    drain::prepare(&kind, &db, Handler::Inserts, tasks).await?;
    let from = drain::From::FirstHandler;
    let sample = drain::drain(&kind, &db, Handler::Inserts, tasks, limit, from).await?;
    bench.server.drop_database(db).await?;
    Ok(sample)
}

/// Drains until all but one have completed, which is discarded at last.
async fn poisoned(bench: &Bench<'_>) -> Result<Sample> {
    let kind = batch::Batch::Thousand;
    let db = database(bench, kind).await?;
    let tasks = bench.effort.slow_backlog;
    drain::prepare(&kind, &db, Handler::Inserts, tasks).await?;
    db.execute("alter table effect add check (n <> 613)")
        .await?;
    ensure!(POISON == 613 && POISON < tasks, "no payload is poisoned");
    let meter = Arc::new(Meter::counting(tasks));
    let mut worker = kind
        .worker(&db.url, Handler::Inserts, meter.clone())
        .await?;
    worker.run().await?;
    let good = tasks - 1;
    let all_ran = meter
        .reaches(good, Instant::now() + bench.effort.drain_limit)
        .await;
    let first = meter.first().unwrap_or_else(Instant::now);
    let sample = Sample::rate(meter.count(), first.elapsed());
    let began = Instant::now();
    while all_ran && !db.is("select exists (select from taskq.dead)").await? {
        ensure!(
            began.elapsed() < bench.effort.drain_limit,
            "the poisoned payload is not discarded"
        );
        sleep(std::time::Duration::from_millis(20)).await;
    }
    worker.stop().await?;
    meter.check_none_repeated()?;
    if all_ran {
        let effects = db.count("select count(*) from effect").await?;
        let (left, dead) = (
            kind.left(&db).await?,
            db.count("select count(*) from taskq.dead where payload @> '{\"n\": 613}'")
                .await?,
        );
        ensure!(
            (effects, left, dead) == (good, 1, 1),
            "{effects} rows of {good}, {left} tasks left, and {dead} of them poisoned"
        );
    }
    bench.server.drop_database(db).await?;
    Ok(sample)
}
