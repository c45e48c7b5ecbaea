//! In what order tasks run: by priority, by time, and no type in the way of another.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use taskq::task;

use crate::support::{database, drain, states, task as find, until, while_working};

type Order = Mutex<Vec<String>>;

/// Handlers take so long that a worker prefetches few.
const WORK: Duration = Duration::from_millis(2);

#[task]
async fn slow_lane(order: &Order, name: String) {
    tokio::time::sleep(WORK).await;
    order.lock().expect("not poisoned").push(name);
}

#[task]
async fn fast_lane(order: &Order, name: String) {
    tokio::time::sleep(WORK).await;
    order.lock().expect("not poisoned").push(name);
}

fn one_at_a_time(pool: &sqlx::PgPool, order: &Arc<Order>) -> taskq::WorkerBuilder {
    taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(SlowLane, FastLane)>()
        .state_arc(order.clone())
}

#[tokio::test]
async fn a_smaller_priority_runs_earlier_whatever_its_type() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for (priority, name) in [(5, "last"), (0, "second"), (-3, "first")] {
        taskq::enqueue(&mut db, SlowLane { name: name.into() })
            .priority(priority)
            .await
            .expect("enqueued");
    }
    taskq::enqueue(
        &mut db,
        FastLane {
            name: "third".into(),
        },
    )
    .priority(1)
    .await
    .expect("enqueued");
    let order = Arc::new(Order::default());
    drain(one_at_a_time(&pool, &order), &pool).await;
    assert_eq!(
        *order.lock().expect("not poisoned"),
        ["first", "second", "third", "last"]
    );
}

#[tokio::test]
async fn tasks_of_one_type_run_in_the_order_in_which_they_are_due() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for (minutes, name) in [(1, "third"), (3, "first"), (2, "second")] {
        taskq::enqueue(&mut db, SlowLane { name: name.into() })
            .run_at(Utc::now() - chrono::TimeDelta::minutes(minutes))
            .await
            .expect("enqueued");
    }
    let order = Arc::new(Order::default());
    drain(one_at_a_time(&pool, &order), &pool).await;
    assert_eq!(
        *order.lock().expect("not poisoned"),
        ["first", "second", "third"]
    );
}

#[tokio::test]
async fn a_type_with_many_tasks_does_not_hold_up_another() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let many = (0..400).map(|n| SlowLane {
        name: format!("slow {n}"),
    });
    taskq::enqueue_many(&mut db, many).await.expect("enqueued");
    let few = (0..5).map(|n| FastLane {
        name: format!("fast {n}"),
    });
    taskq::enqueue_many(&mut db, few).await.expect("enqueued");
    let order = Arc::new(Order::default());
    drain(one_at_a_time(&pool, &order), &pool).await;
    let order = order.lock().expect("not poisoned");
    assert_eq!(order.len(), 405);
    let last = order
        .iter()
        .rposition(|name| name.starts_with("fast"))
        .expect("all have run");
    // A claim of what runs in a tenth of a second takes as much from each lane, and one of a single task from either by chance.
    assert!(last < 100, "the last of five ran as number {last}");
}

#[task]
async fn good_lane(order: &Order) {
    tokio::time::sleep(WORK).await;
    order.lock().expect("not poisoned").push("good".into());
}

#[task(max_attempts = 1)]
async fn broken_lane(order: &Order) -> Result<(), &'static str> {
    tokio::time::sleep(WORK).await;
    order.lock().expect("not poisoned").push("broken".into());
    Err("it is broken")
}

#[tokio::test]
async fn a_type_that_always_fails_has_a_smaller_share() {
    const MANY: usize = 400;
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let broken = (0..MANY).map(|_| BrokenLane {});
    taskq::enqueue_many(&mut db, broken)
        .await
        .expect("enqueued");
    let good = (0..MANY).map(|_| GoodLane {});
    taskq::enqueue_many(&mut db, good).await.expect("enqueued");
    let order = Arc::new(Order::default());
    let worker = taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(GoodLane, BrokenLane)>()
        .state_arc(order.clone());
    drain(worker, &pool).await;
    let order = order.lock().expect("not poisoned");
    assert_eq!(order.len(), 2 * MANY);
    let last = order.iter().rposition(|name| name == "good");
    let broken_before = last.expect("all have run") + 1 - MANY;
    // A fourth, and what was claimed before the worker knew.
    assert!(
        (MANY / 10..MANY / 2).contains(&broken_before),
        "{broken_before} broken ones ran before the last good one"
    );
}

/// Returns as which number a task of a worse priority, due for half a minute, runs beside a thousand others.
async fn place_of_an_old_task(ageing: Option<Duration>) -> usize {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let urgent = (0..1_000).map(|_| SlowLane {
        name: "urgent".into(),
    });
    taskq::enqueue_many(&mut db, urgent)
        .await
        .expect("enqueued");
    taskq::enqueue(&mut db, FastLane { name: "old".into() })
        .priority(10)
        .run_at(Utc::now() - chrono::TimeDelta::seconds(30))
        .await
        .expect("enqueued");
    let order = Arc::new(Order::default());
    let mut worker = one_at_a_time(&pool, &order);
    if let Some(step) = ageing {
        worker = worker.priority_ageing(step);
    }
    drain(worker, &pool).await;
    let order = order.lock().expect("not poisoned");
    let place = order.iter().position(|name| name == "old");
    place.expect("it has run")
}

#[tokio::test]
async fn a_task_that_has_aged_shares_with_the_best_priority() {
    let step = Duration::from_secs(2);
    // Each claim takes of both lanes.
    let place = place_of_an_old_task(Some(step)).await;
    assert!(place < 100, "fifteen steps old, it ran as number {place}");
}

#[tokio::test]
async fn a_task_that_has_not_aged_enough_waits_for_the_better_priority() {
    let step = Duration::from_secs(20);
    assert_eq!(place_of_an_old_task(Some(step)).await, 1_000);
    assert_eq!(
        place_of_an_old_task(None).await,
        1_000,
        "priorities are strict"
    );
}

#[task(order = "random")]
async fn by_chance(numbers: &Numbers, number: i64) {
    numbers.lock().expect("not poisoned").push(number);
}

type Numbers = Mutex<Vec<i64>>;

fn chance_worker(pool: &sqlx::PgPool, numbers: &Arc<Numbers>) -> taskq::WorkerBuilder {
    taskq::Worker::builder(pool.clone())
        .only::<(ByChance,)>()
        .state_arc(numbers.clone())
}

/// Returns how far numbers lie from where they would stand in order, on average, in parts of the whole.
fn disorder(numbers: &[i64]) -> f64 {
    let apart = numbers.iter().enumerate();
    let apart = apart.map(|(at, number)| number.abs_diff(at as i64));
    apart.sum::<u64>() as f64 / (numbers.len() * numbers.len()) as f64
}

#[tokio::test]
async fn tasks_of_a_random_type_run_once_each_and_in_no_order() {
    // As a bulk with one time, and one by one.
    for at_once in [true, false] {
        let (_database, pool) = database().await;
        let mut db = pool.acquire().await.expect("a connection");
        let many = (0..3_000).map(|number| ByChance { number });
        taskq::enqueue_many(&mut db, many).await.expect("enqueued");
        if !at_once {
            crate::support::execute(
                &pool,
                "update taskq.task set run_at = run_at - interval '1 second' * (3000 - (payload ->> 'number')::integer)",
            )
            .await;
        }
        let numbers = Arc::new(Numbers::default());
        let two = || chance_worker(&pool, &numbers).queue("default", 4);
        tokio::join!(drain(two(), &pool), drain(two(), &pool));
        let mut numbers = numbers.lock().expect("not poisoned").clone();
        // A third, if all orders are alike.
        let found = disorder(&numbers);
        assert!(found > 0.2, "at once {at_once}: {found}");
        numbers.sort_unstable();
        assert_eq!(numbers, Vec::from_iter(0..3_000));
    }
}

#[tokio::test]
async fn tasks_of_a_random_type_run_in_no_order_within_limits() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let many = (0..500).map(|number| ByChance { number });
    taskq::enqueue_many(&mut db, many).await.expect("enqueued");
    crate::support::execute(
        &pool,
        "select taskq.limit_concurrency('task_type', 'by_chance', 3)",
    )
    .await;
    let numbers = Arc::new(Numbers::default());
    let one = chance_worker(&pool, &numbers).queue("default", 10);
    drain(one, &pool).await;
    let mut numbers = numbers.lock().expect("not poisoned").clone();
    let found = disorder(&numbers);
    assert!(found > 0.2, "{found}");
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter(0..500));
}

#[tokio::test]
async fn one_old_task_does_not_keep_chance_from_the_others() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let many = (0..1_000).map(|number| ByChance { number });
    taskq::enqueue_many(&mut db, many).await.expect("enqueued");
    crate::support::execute(
        &pool,
        "update taskq.task set run_at = run_at - interval '1 day' where payload ->> 'number' = '0'",
    )
    .await;
    let numbers = Arc::new(Numbers::default());
    drain(chance_worker(&pool, &numbers).queue("default", 1), &pool).await;
    let numbers = numbers.lock().expect("not poisoned");
    let found = disorder(&numbers);
    assert!(found > 0.2, "{found}");
}

#[tokio::test]
async fn a_few_tasks_of_a_random_type_all_run() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let numbers = Arc::new(Numbers::default());
    while_working(chance_worker(&pool, &numbers), async {
        for number in 0..20 {
            ByChance::enqueue(&mut db, number).await.expect("enqueued");
            until("run", async || {
                numbers.lock().expect("not poisoned").len() == number as usize + 1
            })
            .await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_delayed_task_waits_for_its_time_and_is_not_polled_for() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = taskq::enqueue(
        &mut db,
        SlowLane {
            name: "later".into(),
        },
    )
    .delay(Duration::from_secs(1))
    .await
    .expect("enqueued")
    .task_id;
    let row = find(&pool, task_id).await.expect("waiting");
    assert!(row.due_in.is_some_and(|due_in| due_in > 0.0));
    let order = Arc::new(Order::default());
    // The poll interval and the wake-ups cannot be what finds it.
    let worker = one_at_a_time(&pool, &order)
        .poll_interval(Duration::from_secs(3600))
        .listen(false);
    drain(worker, &pool).await;
    assert_eq!(*order.lock().expect("not poisoned"), ["later"]);
}

#[tokio::test]
async fn tasks_in_the_future_do_not_hold_up_those_that_are_due() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue(
        &mut db,
        SlowLane {
            name: "future".into(),
        },
    )
    .priority(-10)
    .delay(Duration::from_secs(3600))
    .await
    .expect("enqueued");
    taskq::enqueue(&mut db, SlowLane { name: "now".into() })
        .await
        .expect("enqueued");
    let order = Arc::new(Order::default());
    while_working(one_at_a_time(&pool, &order), async {
        until("run", async || {
            !order.lock().expect("not poisoned").is_empty()
        })
        .await;
    })
    .await;
    assert_eq!(*order.lock().expect("not poisoned"), ["now"]);
    assert_eq!(states(&pool).await["waiting"], 1);
}
