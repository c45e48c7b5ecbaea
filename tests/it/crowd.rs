//! Workers that start together and claim much from one lane.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::PgPool;
use taskq::{Worker, task};
use tokio::time::sleep;

use crate::support::{database, execute, one, until, while_working};

/// The numbers of the tasks that ran, in their order.
#[derive(Default)]
struct Order(Mutex<Vec<i64>>);

impl Order {
    fn ran(&self) -> Vec<i64> {
        self.0.lock().expect("not poisoned").clone()
    }
}

#[task]
async fn ordered(order: &Order, n: i64) {
    order.0.lock().expect("not poisoned").push(n);
}

/// Has tasks wait from 1 on.
async fn wait_for_workers(pool: &PgPool, tasks: i64) {
    let insert = "insert into taskq.task (task_type, payload)
         select 'ordered', jsonb_build_object('n', n) from generate_series(1, $1) as n";
    let inserted = sqlx::query(insert).bind(tasks).execute(pool).await;
    inserted.expect("they wait");
}

/// Says that another worker is there, and that ranges were reserved up to a task.
async fn others_have_reserved(pool: &PgPool, up_to: i64) {
    execute(
        pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         values (gen_random_uuid(), '', 0, '{default}', '{ordered}', now() + interval '1 hour')",
    )
    .await;
    let reserve =
        "insert into taskq.frontier (queue, task_type, payload_version, priority, run_at, task_id)
         select queue, task_type, payload_version, priority, run_at, task_id
         from taskq.task where payload ->> 'n' = $1";
    let reserved = sqlx::query(reserve)
        .bind(up_to.to_string())
        .execute(pool)
        .await;
    reserved.expect("reserved");
}

/// Has tasks with these numbers come, which others reserve and leave.
async fn others_reserve_and_leave(pool: &PgPool, numbers: RangeInclusive<i64>) {
    let reserve = "with new as (
             insert into taskq.task (task_type, payload)
             select 'ordered', jsonb_build_object('n', n) from generate_series($1, $2) as n
             returning run_at, task_id
         )
         update taskq.frontier set (run_at, task_id) =
             (select run_at, task_id from new order by task_id desc limit 1)";
    let reserved = sqlx::query(reserve)
        .bind(numbers.start())
        .bind(numbers.end())
        .execute(pool)
        .await;
    reserved.expect("reserved");
}

fn crowded(pool: &PgPool, order: &Arc<Order>) -> taskq::WorkerBuilder {
    let worker = Worker::builder(pool.clone()).queue("default", 200);
    worker.only::<(Ordered,)>().state_arc(order.clone())
}

#[tokio::test]
async fn a_worker_that_starts_begins_behind_what_others_are_claiming_and_goes_back_for_what_they_leave()
 {
    let (_database, pool) = database().await;
    wait_for_workers(&pool, 3_000).await;
    others_have_reserved(&pool, 2_000).await;
    let order = Arc::new(Order::default());
    while_working(
        crowded(&pool, &order),
        until("all ran", async || order.ran().len() == 3_000),
    )
    .await;
    let ran = order.ran();
    let first: Vec<_> = ran.iter().take(500).filter(|n| **n <= 2_000).collect();
    assert_eq!(first, Vec::<&i64>::new(), "they were reserved just now");
}

#[tokio::test]
async fn what_is_left_before_a_frontier_that_goes_on_moving_is_run() {
    let (_database, pool) = database().await;
    wait_for_workers(&pool, 20_000).await;
    others_have_reserved(&pool, 100).await;
    let order = Arc::new(Order::default());
    while_working(
        crowded(&pool, &order),
        until("what was left has run", async || {
            others_reserve_and_leave(&pool, 20_001..=20_200).await;
            let left = "select count(*) from taskq.task where (payload ->> 'n')::bigint <= 20000";
            one::<i64>(&pool, left).await == 0
        }),
    )
    .await;
}

#[tokio::test]
async fn what_others_reserve_and_leave_behind_where_this_worker_has_come_to_is_run() {
    let (_database, pool) = database().await;
    wait_for_workers(&pool, 1_000).await;
    others_have_reserved(&pool, 1).await;
    let order = Arc::new(Order::default());
    while_working(crowded(&pool, &order), async {
        until("all ran", async || order.ran().len() == 1_000).await;
        others_reserve_and_leave(&pool, 1_001..=6_000).await;
        until("what was left has run", async || order.ran().len() == 6_000).await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_claims_nothing_before_others_can_know_of_it() {
    let (_database, pool) = database().await;
    wait_for_workers(&pool, 1).await;
    let mut held = pool.begin().await.expect("begun");
    sqlx::query("lock table taskq.worker in share mode")
        .execute(&mut *held)
        .await
        .expect("locked");
    let order = Arc::new(Order::default());
    while_working(crowded(&pool, &order), async {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(order.ran().len(), 0);
        held.rollback().await.expect("undone");
        until("it ran", async || order.ran().len() == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_cannot_say_that_it_is_there_claims_nevertheless() {
    let (_database, pool) = database().await;
    wait_for_workers(&pool, 1).await;
    execute(
        &pool,
        "alter table taskq.worker add constraint nobody check (false) not valid",
    )
    .await;
    let order = Arc::new(Order::default());
    while_working(
        crowded(&pool, &order),
        until("it ran", async || order.ran().len() == 1),
    )
    .await;
}

#[tokio::test]
async fn a_worker_that_finds_nothing_where_others_have_come_to_looks_before_it_at_once() {
    let (_database, pool) = database().await;
    wait_for_workers(&pool, 3).await;
    others_have_reserved(&pool, 3).await;
    // So many that its turn to look comes in half a minute at the earliest.
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         select gen_random_uuid(), host, process_id, queues, task_types, expires_at
         from taskq.worker cross join generate_series(1, 1000)",
    )
    .await;
    let order = Arc::new(Order::default());
    while_working(
        crowded(&pool, &order),
        until("all ran", async || order.ran().len() == 3),
    )
    .await;
    assert_eq!(order.ran(), [1, 2, 3]);
}
