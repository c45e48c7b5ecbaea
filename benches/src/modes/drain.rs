//! Tasks that wait already are run, as fast as workers can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::Bench;
use crate::meter::Meter;
use crate::sample::Sample;
use crate::server::Database;
use crate::systems::{Handler, System};
use crate::why;

/// How long the last completions may take to be committed.
const COMPLETING_LIMIT: Duration = Duration::from_secs(10);

/// Where the time of a drain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// When the worker is started, which then has no connections.
    Start,
    /// When the first handler runs.
    FirstHandler,
}

pub async fn measure(bench: &Bench<'_>, handler: Handler) -> Result<Sample> {
    let tasks = match handler {
        Handler::Nothing => bench.effort.backlog,
        Handler::Waits | Handler::Inserts => bench.effort.slow_backlog,
    };
    measure_of(bench, handler, tasks, From::Start).await
}

pub async fn measure_of(
    bench: &Bench<'_>,
    handler: Handler,
    tasks: u64,
    from: From,
) -> Result<Sample> {
    let db = bench.database().await?;
    prepare(bench.system, &db, handler, tasks).await?;
    let limit = bench.effort.drain_limit;
    let watch = bench.watch(&db).await?;
    let mut sample = drain(bench.system, &db, handler, tasks, limit, from).await?;
    sample.why = why::end(watch, &db).await?;
    bench.server.drop_database(db).await?;
    Ok(sample)
}

/// Fills the tables with tasks, and does what autovacuum would have done had they come over some
/// minutes.
pub async fn prepare(
    system: &dyn System,
    db: &Database,
    handler: Handler,
    tasks: u64,
) -> Result<()> {
    if handler == Handler::Inserts {
        db.execute("create table effect (n bigint primary key)")
            .await?;
    }
    db.fill(system.preload(handler, 0..tasks)).await?;
    db.execute("vacuum analyze").await
}

/// Runs the waiting tasks until all are completed, durably, or the time is over.
pub async fn drain(
    system: &dyn System,
    db: &Database,
    handler: Handler,
    tasks: u64,
    limit: Duration,
    from: From,
) -> Result<Sample> {
    let before = db.costs().await?;
    let meter = Arc::new(Meter::counting(tasks));
    let mut worker = system.worker(&db.url, handler, meter.clone()).await?;
    let began = Instant::now();
    worker.run().await?;
    let all_ran = meter.reaches(tasks, began + limit).await;
    if all_ran {
        until_completed(system, db).await?;
    }
    let counted_from = match from {
        From::Start => began,
        From::FirstHandler => meter.first().unwrap_or(began),
    };
    let (time, ran) = (counted_from.elapsed(), meter.count());
    worker.stop().await?;

    meter.check_none_repeated()?;
    if all_ran {
        meter.check_exactly_once(tasks)?;
        let left = system.left(db).await?;
        ensure!(left == 0, "all {tasks} tasks ran, but {left} are left");
    }
    if handler == Handler::Inserts {
        let (effects, ran) = (
            db.count("select count(*) from effect").await?,
            meter.count(),
        );
        ensure!(
            effects == ran,
            "{ran} handlers ran, but {effects} rows are there"
        );
    }
    let after = db.costs().await?;
    Ok(Sample::rate(ran, time).costing(before, after))
}

/// Waits until the completion of every task whose handler ran is committed.
pub async fn until_completed(system: &dyn System, db: &Database) -> Result<()> {
    let began = Instant::now();
    while system.is_completing(db).await? {
        ensure!(
            began.elapsed() < COMPLETING_LIMIT,
            "handlers ran, but tasks are not completed"
        );
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
