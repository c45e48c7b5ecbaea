//! Pause and resume: nothing of what is paused starts, whatever happens meanwhile, and afterwards it starts soon.

mod heard;
mod hold;
mod said;

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use taskq::operate::{Operator, Scope};
use taskq::testing::Database;
use taskq::{Worker, WorkerBuilder, task};
use tokio::time::sleep;

use crate::support::{LIMIT, database, execute, one, until};

/// Leaves a row with the time of its start.
#[task(queue = "mail")]
async fn send(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    let insert = "insert into start (task_type, at) values ('send', clock_timestamp())";
    sqlx::query(insert).execute(tx).await?;
    Ok(())
}

#[task(queue = "mail")]
async fn print(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    let insert = "insert into start (task_type, at) values ('print', clock_timestamp())";
    sqlx::query(insert).execute(tx).await?;
    Ok(())
}

/// Records its start on a connection of its own, and takes a while.
#[task(queue = "mail")]
async fn deliver(pool: &PgPool, milliseconds: u64) -> Result<(), sqlx::Error> {
    let insert = "insert into start (task_type, at) values ('deliver', clock_timestamp())";
    sqlx::query(insert).execute(pool).await?;
    sleep(Duration::from_millis(milliseconds)).await;
    Ok(())
}

async fn stage() -> (Database, PgPool) {
    let (database, pool) = database().await;
    execute(
        &pool,
        "create table start (task_type text not null, at timestamptz not null)",
    )
    .await;
    (database, pool)
}

/// A worker whose polling cannot be what notices a resume in time.
fn mailer(pool: &PgPool) -> WorkerBuilder {
    mailer_of(pool, 4)
}

fn mailer_of(pool: &PgPool, concurrency: usize) -> WorkerBuilder {
    Worker::builder(pool.clone())
        .only::<(Send, Print, Deliver)>()
        .state(pool.clone())
        .queue("mail", concurrency)
        .queue("other", 4)
        .poll_interval(LIMIT)
}

fn operator(pool: &PgPool) -> Operator {
    taskq::operate(pool).as_user("ada")
}

async fn pause(pool: &PgPool, scope: impl Into<Scope>) {
    let former = operator(pool).pause(scope).because("SMTP is down").await;
    assert_eq!(former.expect("paused"), None);
}

async fn resume(pool: &PgPool, scope: impl Into<Scope>) {
    let former = operator(pool).resume(scope).await.expect("resumed");
    assert!(former.is_some());
}

async fn started(pool: &PgPool) -> i64 {
    one(pool, "select count(*) from start").await
}

async fn enqueue_by_sql(pool: &PgPool, task_type: &str, queue: &str, count: i32) {
    sqlx::query(
        "insert into taskq.task (task_type, queue, payload)
         select $1, $2, '{\"milliseconds\": 20}' from generate_series(1, $3)",
    )
    .bind(task_type)
    .bind(queue)
    .bind(count)
    .execute(pool)
    .await
    .expect("enqueued");
}

async fn idle_in(pool: &PgPool) {
    until("listening", async || {
        one::<i64>(pool, "select count(*) from mail_tasks.sleeper").await > 0
    })
    .await;
    sleep(Duration::from_secs(4)).await;
}
