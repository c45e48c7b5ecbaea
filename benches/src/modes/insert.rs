//! Clients enqueue: one task per commit, or a thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Bench, drain};
use crate::meter::Meter;
use crate::sample::Sample;
use crate::systems::Client;
use crate::why;

pub const PER_COMMIT: u64 = 1_000;

/// More tasks than any client can enqueue in the time.
const MOST: u64 = 1 << 21;

/// How long workers may go on after the last insert, so that each task is seen to run once.
const CATCHING_UP: Duration = Duration::from_secs(10);

pub async fn measure(bench: &Bench<'_>, clients: usize, beside_workers: bool) -> Result<Sample> {
    let db = bench.database().await?;
    let before = db.costs().await?;
    let meter = Arc::new(Meter::counting(MOST));
    let mut worker = match beside_workers {
        true => Some(bench.system.worker_beside(&db.url, meter.clone()).await?),
        false => None,
    };
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(bench.system.client(&db).await?);
    }
    if let Some(worker) = &mut worker {
        worker.run().await?;
    }
    let watch = bench.watch(&db).await?;
    let (sample, enqueued) = enqueue_for(connections, bench.effort.inserting).await?;
    let why = why::end(watch, &db).await?;

    if let Some(mut worker) = worker {
        let all_ran = meter.reaches(enqueued, Instant::now() + CATCHING_UP).await;
        if all_ran {
            drain::until_completed(bench.system, &db).await?;
        }
        worker.stop().await?;
        meter.check_none_repeated()?;
        if all_ran {
            meter.check_exactly_once(enqueued)?;
        }
    } else {
        let left = bench.system.left(&db).await?;
        ensure!(
            left == enqueued,
            "{enqueued} tasks were enqueued, but {left} are there"
        );
    }
    let after = db.costs().await?;
    bench.server.drop_database(db).await?;
    let sample = sample.costing(before, after);
    Ok(Sample { why, ..sample })
}

/// Lets the clients enqueue until the time is over. Returns how many tasks there are now.
async fn enqueue_for(connections: Vec<Box<dyn Client>>, time: Duration) -> Result<(Sample, u64)> {
    let next = Arc::new(AtomicU64::new(0));
    let start = Arc::new(Barrier::new(connections.len() + 1));
    let mut clients = JoinSet::new();
    for mut client in connections {
        let (next, start) = (next.clone(), start.clone());
        clients.spawn(async move {
            let mut commits = Vec::new();
            start.wait().await;
            let ends = Instant::now() + time;
            loop {
                let began = Instant::now();
                if began >= ends {
                    return anyhow::Ok(commits);
                }
                client
                    .enqueue_in_transaction(next.fetch_add(1, Relaxed))
                    .await?;
                commits.push(began.elapsed());
            }
        });
    }
    start.wait().await;
    let began = Instant::now();
    let mut commits = Vec::new();
    while let Some(client) = clients.join_next().await {
        commits.extend(client??);
    }
    let sample = Sample::rate(commits.len() as u64, began.elapsed());
    Ok((sample.with_latencies(commits), next.load(Relaxed)))
}

pub async fn measure_bulk(bench: &Bench<'_>) -> Result<Sample> {
    let db = bench.database().await?;
    let before = db.costs().await?;
    let mut client = bench.system.client(&db).await?;
    // The first commit prepares the statement.
    client.enqueue_many(0..PER_COMMIT).await?;
    let (first, last) = (PER_COMMIT, PER_COMMIT + bench.effort.bulk);
    let mut commits = Vec::new();
    let watch = bench.watch(&db).await?;
    let began = Instant::now();
    for at in (first..last).step_by(PER_COMMIT as usize) {
        let commit = Instant::now();
        client.enqueue_many(at..(at + PER_COMMIT).min(last)).await?;
        commits.push(commit.elapsed());
        if began.elapsed() > bench.effort.drain_limit {
            break;
        }
    }
    let time = began.elapsed();
    let why = why::end(watch, &db).await?;
    let enqueued = commits.len() as u64 * PER_COMMIT;
    drop(client);
    let left = bench.system.left(&db).await?;
    ensure!(
        left == enqueued + PER_COMMIT,
        "{enqueued} tasks were enqueued after the first {PER_COMMIT}, but {left} are there"
    );
    let after = db.costs().await?;
    bench.server.drop_database(db).await?;
    let sample = Sample::rate(enqueued, time)
        .with_latencies(commits)
        .costing(before, after);
    Ok(Sample { why, ..sample })
}
