//! What a session is not told with each task: how to look leases up, and whether its transactions may write.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, PgPool, query_as, query_scalar};
use taskq::testing::Cluster;
use taskq::{Worker, WorkerBuilder, task};
use tokio::time::sleep;

use crate::support::{count_effects, database, drain, effects, execute, until, while_working};

/// How often what was prepared in a session has run since then, and its plan.
#[derive(Debug)]
struct Prepared {
    runs: i64,
    plan: String,
}

type Found = Mutex<Vec<Prepared>>;

/// So few that Postgres would rather read the table than look one up, if it were asked.
const FEW: i64 = 12;

/// More than a session completes by what it has prepared once.
const MANY: i64 = 2_300;

#[task]
async fn looks(tx: &mut PgConnection, found: &Found, n: i64) -> Result<(), sqlx::Error> {
    sqlx::query("insert into effect values ($1)")
        .bind(n)
        .execute(&mut *tx)
        .await?;
    if n % 50 != FEW - 1 {
        return Ok(());
    }
    // To look at a plan that is not made yet would make it.
    let prepared: Vec<(String, i64)> = query_as(
        "select name, generic_plans + custom_plans from pg_prepared_statements
        where name like 'taskq\\_own\\_%' and generic_plans > 0",
    )
    .fetch_all(&mut *tx)
    .await?;
    for (name, runs) in prepared {
        let explain = format!("explain execute {name} (gen_random_uuid())");
        let plan: Vec<String> = query_scalar(AssertSqlSafe(explain))
            .persistent(false)
            .fetch_all(&mut *tx)
            .await?;
        let plan = plan.join("\n");
        let prepared = Prepared { runs, plan };
        found.lock().expect("no panic").push(prepared);
    }
    Ok(())
}

/// Enqueues tasks, and returns a worker that runs one after the other.
async fn one_by_one(
    pool: &PgPool,
    tasks: RangeInclusive<i64>,
    found: &Arc<Found>,
) -> WorkerBuilder {
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = tasks.map(|n| Looks { n });
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    Worker::builder(pool.clone())
        .queue("default", 1)
        .state_arc(found.clone())
        .only::<(Looks,)>()
}

/// Runs tasks one after the other, and returns what they have found.
async fn run(pool: &PgPool, tasks: RangeInclusive<i64>) -> Vec<Prepared> {
    let found = Arc::new(Found::default());
    drain(one_by_one(pool, tasks, &found).await, pool).await;
    std::mem::take(&mut *found.lock().expect("no panic"))
}

#[tokio::test]
async fn a_completion_looks_its_lease_up_and_is_prepared_anew_now_and_then() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut found = Vec::new();
    // Not where the worker has given the session up meanwhile.
    until("planned among few", async || {
        // Postgres knows a small table to be small.
        execute(&pool, "vacuum analyze taskq.lease").await;
        found = run(&pool, 1..=FEW).await;
        !found.is_empty()
    })
    .await;
    found.extend(run(&pool, 1..=MANY).await);
    for it in found {
        assert!(it.plan.contains("lease_pkey"), "{it:?}");
        assert!(!it.plan.contains("Seq Scan"), "{it:?}");
        // Two thousand, and what was looked at meanwhile, which Postgres counts too.
        assert!(it.runs < 2_100, "{it:?}");
    }
    let (_, tasks) = count_effects(&pool).await;
    assert_eq!(tasks, MANY);
}

#[tokio::test]
async fn who_is_busy_soon_hears_that_nobody_is_to_write() {
    const TASKS: i64 = 1_500;

    let cluster = Cluster::private().await.expect("a server");
    let pool = cluster.pool("postgres", 20).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    effects(&pool).await;
    let worker = one_by_one(&pool, 1..=TASKS, &Arc::default()).await;
    while_working(worker, async {
        until("busy", async || count_effects(&pool).await.0 > 300).await;
        let forbid = "alter system set default_transaction_read_only = on";
        execute(&pool, forbid).await;
        execute(&pool, "select pg_reload_conf()").await;
        let mut before = 0;
        until("heard", async || {
            sleep(Duration::from_millis(300)).await;
            let (now, _) = count_effects(&pool).await;
            std::mem::replace(&mut before, now) == now
        })
        .await;
        assert!(before < TASKS, "some are left");
        let allow = "alter system reset default_transaction_read_only";
        execute(&pool, allow).await;
        execute(&pool, "select pg_reload_conf()").await;
        until("over", async || count_effects(&pool).await.0 == TASKS).await;
    })
    .await;
}
