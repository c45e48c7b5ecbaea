//! Limits over all workers: so many at once of each tenant, and so many starts in a time; changed while workers run.
//!
//! ```text
//! $ cargo run --example limits
//! tenant 1: 2 calls at once at the most
//! tenant 2: 2 calls at once at the most
//! each key of call_api: 2 at once
//! task type send_card: 2 in 1s, 1 of them at once
//! ada: each key of call_api: 1 at once
//! tenant 1: 1 call at once at the most
//! 3 cards took a second: true
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use taskq::operate::EachKey;
use taskq::testing::Database;
use taskq::{Worker, WorkerBuilder};
use tokio::time::sleep;

/// How many calls of each tenant run, and how many ran at once at the most.
type Meter = Mutex<HashMap<i64, (usize, usize)>>;

/// A field that does not exist does not compile.
#[taskq::task(concurrency(2, key = tenant_id))]
async fn call_api(meter: &Meter, tenant_id: i64) {
    let change = |change: fn(usize) -> usize| {
        let mut meter = meter.lock().expect("nobody panics");
        let (now, most) = meter.entry(tenant_id).or_default();
        *now = change(*now);
        *most = (*most).max(*now);
    };
    change(|now| now + 1);
    sleep(Duration::from_millis(50)).await;
    change(|now| now - 1);
}

#[taskq::task(rate("2/s", burst = 1))]
async fn send_card() {}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool_of(30);
    let meter = Arc::new(Meter::default());
    // As if they were two processes.
    let worker = || -> WorkerBuilder {
        let worker = Worker::builder(pool.clone()).queue("default", 10);
        worker.state_arc(meter.clone())
    };
    let work = async || -> anyhow::Result<()> {
        let (one, other) = (worker().build().await?, worker().build().await?);
        let (one, other) = tokio::join!(
            one.run_until(taskq_examples::all_finished(&pool)),
            other.run_until(taskq_examples::all_finished(&pool)),
        );
        one?;
        other?;
        Ok(())
    };
    let mut db = pool.acquire().await?;

    let calls = (0..10).map(|n| CallApi {
        tenant_id: 1 + n % 2,
    });
    taskq::enqueue_many(&mut db, calls).await?;
    work().await?;
    for tenant_id in 1..=2 {
        let (_, most) = meter.lock().expect("nobody panics")[&tenant_id];
        println!("tenant {tenant_id}: {most} calls at once at the most");
    }

    // A program would have the name of who is logged in.
    let operator = taskq::operate(&pool).as_user("ada");
    let mut limits: Vec<_> = operator
        .limits()
        .await?
        .iter()
        .map(ToString::to_string)
        .collect();
    limits.sort();
    limits.iter().for_each(|limit| println!("{limit}"));
    operator.limit(EachKey("call_api")).concurrency(1).await?;
    for limit in operator.limits().await? {
        if let (Some(said), Some(bound)) = (&limit.overridden, &limit.in_force) {
            println!("{}: {}: {bound}", said.by, limit.scope);
        }
    }
    meter.lock().expect("nobody panics").clear();
    taskq::enqueue_many(&mut db, (0..4).map(|_| CallApi { tenant_id: 1 })).await?;
    work().await?;
    let (_, most) = meter.lock().expect("nobody panics")[&1];
    println!("tenant 1: {most} call at once at the most");

    taskq::enqueue_many(&mut db, (0..3).map(|_| SendCard {})).await?;
    let began = Instant::now();
    work().await?;
    println!(
        "3 cards took a second: {}",
        began.elapsed() >= Duration::from_millis(990)
    );
    Ok(())
}
