//! How long it takes from the call of enqueue, and from its return, to the begin of the handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::{Bench, Effort, drain};
use crate::meter::Meter;
use crate::sample::Sample;
use crate::server::Database;
use crate::systems::Handler;
use crate::why;

/// How fast tasks come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One, then a pause in which the workers fall asleep.
    Idle,
    FiveHundred,
    /// Half as many as the system drains, in batches.
    HalfOfDrain,
}

/// How long workers are left alone at first.
const FALLING_ASLEEP: Duration = Duration::from_millis(1_500);

/// The pause between two tasks when idle, and what it grows by from one to the next, so that it is
/// in step with nothing.
const PAUSE: Duration = Duration::from_millis(150);
const LONGER: Duration = Duration::from_micros(1_300);

const CLIENTS: usize = 16;

/// How often batches come.
const BATCH_EVERY: Duration = Duration::from_millis(10);
const BATCH_CLIENTS: usize = 2;

/// How long the last tasks may take to run.
const CATCHING_UP: Duration = Duration::from_secs(20);

pub async fn measure(bench: &Bench<'_>, pace: Pace) -> Result<Sample> {
    let rate = match (pace, bench.drain_rate) {
        (Pace::HalfOfDrain, Some(rate)) => rate / 2.0,
        (Pace::HalfOfDrain, None) => {
            let drained = drain::measure(bench, Handler::Nothing).await?;
            drained.per_second.unwrap_or_default() / 2.0
        }
        (Pace::Idle | Pace::FiveHundred, _) => 500.0,
    };
    let Effort {
        idle_tasks, paced, ..
    } = bench.effort;
    let tasks = match pace {
        Pace::Idle => idle_tasks,
        Pace::FiveHundred | Pace::HalfOfDrain => (rate * paced.as_secs_f64()) as u64,
    };
    let db = bench.database().await?;
    let before = db.costs().await?;
    let meter = Arc::new(Meter::timing(tasks));
    let mut worker = bench
        .system
        .worker(&db.url, Handler::Nothing, meter.clone())
        .await?;
    worker.run().await?;
    sleep(FALLING_ASLEEP).await;
    let watch = bench.watch(&db).await?;
    let began = Instant::now();
    match pace {
        Pace::Idle => one_by_one(bench, &db, &meter, tasks).await?,
        Pace::FiveHundred => evenly(bench, &db, &meter, tasks, rate).await?,
        Pace::HalfOfDrain => in_batches(bench, &db, &meter, tasks, rate).await?,
    }
    let enqueued_in = began.elapsed();
    let all_ran = meter.reaches(tasks, Instant::now() + CATCHING_UP).await;
    ensure!(
        all_ran,
        "{} of {tasks} tasks ran within {CATCHING_UP:?} of the last",
        meter.count()
    );
    drain::until_completed(bench.system, &db).await?;
    let why = why::end(watch, &db).await?;
    worker.stop().await?;
    meter.check_exactly_once(tasks)?;
    let after = db.costs().await?;
    bench.server.drop_database(db).await?;
    let mut sample = Sample::rate(tasks, enqueued_in)
        .with_latencies(meter.latencies(0..tasks))
        .with_latencies_after_commit(meter.latencies_after_commit(0..tasks))
        .costing(before, after);
    if pace == Pace::Idle {
        sample.per_second = None;
    }
    Ok(Sample { why, ..sample })
}

async fn one_by_one(bench: &Bench<'_>, db: &Database, meter: &Meter, tasks: u64) -> Result<()> {
    let mut client = bench.system.client(db).await?;
    for number in 0..tasks {
        sleep(PAUSE + LONGER * u32::try_from(number)?).await;
        meter.sent_at(number, Instant::now());
        client.enqueue(number).await?;
        meter.committed(number);
    }
    Ok(())
}

/// Enqueues by the clock, whether or not earlier tasks are committed: what a client that lags cannot
/// send in time counts from when it should have been sent.
async fn evenly(
    bench: &Bench<'_>,
    db: &Database,
    meter: &Arc<Meter>,
    tasks: u64,
    rate: f64,
) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = bench.system.client(db).await?;
        let (next, meter) = (next.clone(), meter.clone());
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= tasks {
                    return anyhow::Ok(());
                }
                let due = began + Duration::from_secs_f64(number as f64 / rate);
                if Instant::now() < due {
                    sleep_until(due.into()).await;
                    // The timer's lateness is not the system's.
                    meter.sent_at(number, Instant::now());
                } else {
                    meter.sent_at(number, due);
                }
                client.enqueue(number).await?;
                meter.committed(number);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}

async fn in_batches(
    bench: &Bench<'_>,
    db: &Database,
    meter: &Arc<Meter>,
    tasks: u64,
    rate: f64,
) -> Result<()> {
    let size = ((rate * BATCH_EVERY.as_secs_f64()) as u64).max(1);
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..BATCH_CLIENTS {
        let mut client = bench.system.client(db).await?;
        let (next, meter) = (next.clone(), meter.clone());
        clients.spawn(async move {
            loop {
                let first = next.fetch_add(size, Relaxed);
                if first >= tasks {
                    return anyhow::Ok(());
                }
                let due = began + Duration::from_secs_f64(first as f64 / rate);
                sleep_until(due.into()).await;
                let numbers = first..(first + size).min(tasks);
                let now = Instant::now();
                for number in numbers.clone() {
                    meter.sent_at(number, now);
                }
                client.enqueue_many(numbers.clone()).await?;
                numbers.for_each(|number| meter.committed(number));
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}
