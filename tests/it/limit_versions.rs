//! What limits a type whose programs of several versions run side by side.

use std::time::Duration;

use sqlx::PgPool;
use taskq::operate::Bound;
use taskq::{WorkerBuilder, task};
use tokio::time::sleep;

use crate::support::{database, execute, until, while_working, worker};

#[task(name = "moves", concurrency = 5)]
async fn five() {}

#[task(name = "moves", concurrency = 10)]
async fn ten() {}

/// From before there was a limit.
#[task(name = "moves")]
async fn unlimited() {}

async fn start(worker: WorkerBuilder) {
    worker.build().await.expect("it starts");
}

async fn most(pool: &PgPool) -> Option<u32> {
    let limits = taskq::operate(pool).as_user("ada").limits().await;
    match limits.expect("limits").first()?.in_force {
        Some(Bound::Concurrency(most)) => Some(most),
        _ => None,
    }
}

/// Has what a version declares be as old as if none of its workers lived any more.
async fn stop(pool: &PgPool, most: i32, age: &str) {
    let sql = format!(
        "update taskq.limit_definition set declared_until = now() - interval '{age}'
         where limits -> 0 -> 'most' = '{most}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(pool)
        .await
        .expect("stopped");
}

#[tokio::test]
async fn the_later_version_decides_whichever_starts_last() {
    let (_database, pool) = database().await;
    let five = || worker(&pool).only::<(Five,)>();
    let ten = || worker(&pool).only::<(Ten,)>();
    let none = || worker(&pool).only::<(Unlimited,)>();
    start(none()).await;
    assert_eq!(most(&pool).await, None);
    start(five()).await;
    start(none()).await;
    assert_eq!(
        most(&pool).await,
        Some(5),
        "a program without limits ends none"
    );
    start(ten()).await;
    start(five()).await;
    start(none()).await;
    assert_eq!(
        most(&pool).await,
        Some(10),
        "an older program has started again"
    );
    // A rollback: no worker of the later version lives.
    stop(&pool, 10, "1 second").await;
    start(five()).await;
    assert_eq!(most(&pool).await, Some(5));
    start(ten()).await;
    assert_eq!(most(&pool).await, Some(10));
}

#[tokio::test]
async fn a_limit_holds_until_no_worker_has_declared_it_for_long() {
    let (_database, pool) = database().await;
    start(worker(&pool).only::<(Five,)>()).await;
    stop(&pool, 5, "14 minutes").await;
    execute(&pool, "select taskq.end_undeclared_limits(900)").await;
    assert_eq!(most(&pool).await, Some(5));
    stop(&pool, 5, "16 minutes").await;
    // Somebody has just come back.
    while_working(worker(&pool).only::<(Unlimited,)>(), async {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(most(&pool).await, Some(5), "others may come back too");
        execute(&pool, "select taskq.end_undeclared_limits(900)").await;
        until("it has ended", async || most(&pool).await.is_none()).await;
    })
    .await;
}
