//! The steps of an order, one after the other: a step that is dead holds up its order and no other, until somebody decides.
//!
//! ```text
//! $ cargo run --example sequence
//! order 1: pay, pack, send
//! order 2: pay
//! ship {"order_id": 2}: 2 wait behind task 5, discarded: out of stock
//! without a number: 2 tasks wait behind task 5
//! order 2: pay, send, thank
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskq::Worker;
use taskq::testing::Database;
use tokio::time::sleep;

/// The steps of each order, as they have been done.
type Done = Mutex<BTreeMap<i64, Vec<String>>>;

/// A field that does not exist does not compile. With `on_dead = "skip"` a dead step would hold up nothing.
#[taskq::task(sequence = order_id, max_attempts = 1)]
async fn ship(done: &Done, order_id: i64, step: String) -> Result<(), String> {
    if (order_id, &*step) == (2, "pack") {
        return Err("out of stock".to_owned());
    }
    // The later a step, the faster it is; and yet it waits.
    sleep(Duration::from_millis(40 / step.len() as u64)).await;
    let mut done = done.lock().expect("nobody panics");
    done.entry(order_id).or_default().push(step);
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool_of(30);
    let done = Arc::new(Done::default());
    // As if they were two processes.
    let work = async || -> anyhow::Result<()> {
        let worker = || Worker::builder(pool.clone()).state_arc(done.clone());
        let (one, other) = (worker().build().await?, worker().build().await?);
        let idle = || async {
            let others = "
                select
                    (select count(*) from taskq.tasks where state in ('waiting', 'running'))
                    - (select coalesce(sum(waiting), 0)::bigint from taskq.blocked)";
            let others = || sqlx::query_scalar::<_, i64>(others).fetch_one(&pool);
            while others().await.is_ok_and(|it| it > 0) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let (one, other) = tokio::join!(one.run_until(idle()), other.run_until(idle()));
        one?;
        other?;
        Ok(())
    };
    let print = |order_id: i64| {
        let done = done.lock().expect("nobody panics");
        println!("order {order_id}: {}", done[&order_id].join(", "));
    };
    let mut db = pool.acquire().await?;
    for (order_id, step) in [
        (1, "pay"),
        (1, "pack"),
        (1, "send"),
        (2, "pay"),
        (2, "pack"),
        (2, "send"),
        (2, "thank"),
    ] {
        Ship::enqueue(&mut db, order_id, step.to_owned()).await?;
    }
    work().await?;
    print(1);
    print(2);

    // A program would have the name of who is logged in.
    let operator = taskq::operate(&pool).as_user("ada");
    let blocked = operator.blocked().await?;
    for it in &blocked {
        println!(
            "{} {}: {} wait behind task {}, {}: {}",
            it.task_type,
            it.key,
            it.waiting,
            it.task_id,
            it.state,
            it.error.as_deref().unwrap_or_default()
        );
    }
    let task_id = blocked[0].task_id;
    if let Err(error) = operator.skip_dead(task_id).await {
        let text = error.to_string();
        let known = text.split(", key").next().unwrap_or_default();
        println!("without a number: {known}");
    }
    operator.skip_dead(task_id).frees(2).await?;
    work().await?;
    print(2);
    Ok(())
}
