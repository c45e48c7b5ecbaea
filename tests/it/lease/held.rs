//! What a lease holds of its tasks, and what their handlers are told: what their rows said, whatever a claim leaves out.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use taskq::{Attempt, task};
use tokio::sync::Mutex;

use crate::support::{database, execute, one, until, while_working, worker};

/// What handlers were told of each attempt.
type Told = Mutex<Vec<Value>>;

#[task]
async fn shares(told: &Told, attempt: &Attempt, n: i64) {
    tell(told, attempt, n).await;
    std::future::pending().await
}

#[task]
async fn shares_too(told: &Told, attempt: &Attempt, n: i64) {
    tell(told, attempt, n).await;
    std::future::pending().await
}

#[task]
async fn has_its_own(tx: &mut PgConnection, told: &Told, attempt: &Attempt, n: i64) {
    let _ = tx;
    tell(told, attempt, n).await;
    std::future::pending().await
}

async fn tell(told: &Told, attempt: &Attempt, n: i64) {
    told.lock().await.push(json!({
        "task_id": attempt.task_id(),
        "n": n,
        "type": attempt.task_type(),
        "attempts": attempt.number() - 1,
        "max_attempts": attempt.max_attempts(),
        "errors": attempt.previous_errors().len(),
        "metadata": attempt.metadata("request_id"),
    }));
}

/// Enqueues four tasks of a type by hand. If they are `plain`, none says anything that its row need not say.
async fn enqueue(pool: &PgPool, task_type: &str, is_plain: bool) {
    sqlx::query(
        "insert into taskq.task (task_type, payload_version, payload, priority, max_attempts, attempts, errors, metadata)
        select $1, 1, jsonb_build_object('n', n), 0,
            case when n % 2 = 0 and not $2 then 40 + n end,
            case when n % 3 = 0 and not $2 then 7 else 0 end,
            case when n = 3 and not $2 then '[{\"attempt\": 7, \"at\": \"2026-01-01T00:00:00Z\", \"error\": \"no\"}]'::jsonb end,
            case when n = 1 and not $2 then '{\"request_id\": \"r\"}'::jsonb end
        from generate_series(0, 3) as n",
    )
    .bind(task_type)
    .bind(is_plain)
    .execute(pool)
    .await
    .expect("enqueued");
}

/// Runs what waits, and compares what the leases hold and what handlers were told with what the rows said. There are
/// `leases` at least, and one has `together` tasks at least.
async fn compare(pool: &PgPool, tasks: usize, leases: i64, together: i32) {
    const TOLD: &str = "select coalesce(jsonb_agg(jsonb_build_object(
            'task_id', task_id, 'n', payload -> 'n', 'type', task_type, 'attempts', attempts,
            'max_attempts', coalesce(max_attempts, 25), 'errors', coalesce(jsonb_array_length(errors), 0),
            'metadata', metadata -> 'request_id'
        ) order by task_id), '[]') from taskq.task";
    const ROWS: &str = "select jsonb_agg(jsonb_build_array(task_id, task_type, payload_version, payload, priority, run_at,
            created_at, max_attempts, attempts, crashes, errors, metadata) order by task_id) from taskq.task";
    const HELD: &str = "select jsonb_agg(jsonb_build_array(held.task_id, held.task_type, held.payload_version, held.payload,
            held.priority, held.run_at, held.created_at, held.max_attempts, held.attempts, held.crashes, held.errors,
            held.metadata) order by held.task_id)
        from taskq.lease cross join lateral taskq.left_in(lease) as held";
    let (expected, rows): (Value, Value) = (one(pool, TOLD).await, one(pool, ROWS).await);
    let told = Arc::new(Told::default());
    let worker = worker(pool).grace_period(Duration::ZERO);
    let worker = worker
        .state_arc(told.clone())
        .only::<(Shares, SharesToo, HasItsOwn)>();
    while_working(worker, async {
        until("all run", async || told.lock().await.len() == tasks).await;
        assert_eq!(one::<Value>(pool, HELD).await, rows);
        let count = "select count(*) from taskq.lease";
        assert!(one::<i64>(pool, count).await >= leases);
        let most = "select max(cardinality(task_ids)) from taskq.lease";
        assert!(one::<i32>(pool, most).await >= together);
        let mut told = told.lock().await.clone();
        told.sort_by_key(|it| it["task_id"].as_i64());
        assert_eq!(Value::from(told), expected);
    })
    .await;
}

#[tokio::test]
async fn a_lease_of_one_lane_holds_what_the_rows_said() {
    for is_plain in [true, false] {
        let (_database, pool) = database().await;
        enqueue(&pool, "shares", is_plain).await;
        compare(&pool, 4, 1, 4).await;
    }
}

#[tokio::test]
async fn a_lease_of_several_lanes_holds_what_the_rows_said() {
    for is_plain in [true, false] {
        let (_database, pool) = database().await;
        enqueue(&pool, "shares", is_plain).await;
        enqueue(&pool, "shares_too", is_plain).await;
        let others = "update taskq.task set payload_version = 0, priority = 5
            where task_type = 'shares_too' and payload ->> 'n' = '2'";
        execute(&pool, others).await;
        compare(&pool, 8, 1, 5).await;
    }
}

#[tokio::test]
async fn leases_of_one_task_each_hold_what_the_rows_said() {
    for is_plain in [true, false] {
        let (_database, pool) = database().await;
        enqueue(&pool, "has_its_own", is_plain).await;
        compare(&pool, 4, 4, 1).await;
    }
}

#[tokio::test]
async fn leases_of_one_task_each_of_several_lanes_hold_what_the_rows_said() {
    for is_plain in [true, false] {
        let (_database, pool) = database().await;
        enqueue(&pool, "has_its_own", is_plain).await;
        let others = "update taskq.task set payload_version = 0, priority = n, crashes = n
            from generate_series(0, 1) as n where payload -> 'n' = to_jsonb(n + 1)";
        execute(&pool, others).await;
        compare(&pool, 4, 4, 1).await;
    }
}

#[tokio::test]
async fn leases_of_both_kinds_hold_what_the_rows_said() {
    for is_plain in [true, false] {
        let (_database, pool) = database().await;
        enqueue(&pool, "has_its_own", is_plain).await;
        enqueue(&pool, "shares", is_plain).await;
        compare(&pool, 8, 5, 4).await;
    }
}
