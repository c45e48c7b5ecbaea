//! Members whose ids come again, as after a restore: they get others, and their groups go on.

use sqlx::{AssertSqlSafe, PgPool, raw_sql};
use taskq::operate::migrations;
use taskq::testing::Database;

use super::{group_of, run_due, told, told_database};
use crate::support::{execute, one};

/// Has Postgres refuse the row of the task that is next, which has the id of a newer one now. That one is of nobody.
async fn come_again(pool: &PgPool, task_type: &'static str) -> i64 {
    let set_aside = "with gone as (
             delete from taskq.task
             where task_id = (select min(task_id) from taskq.task where task_type = $1)
             returning *
         ),
         refused as (
             insert into taskq.refused (task_id, task_type, payload_version, payload, queue, priority, run_at, created_at,
                 attempts, crashes, metadata)
             select task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts, crashes, metadata
             from gone
         )
         select task_id from gone";
    let task_id: i64 = sqlx::query_scalar(set_aside)
        .bind(task_type)
        .fetch_one(pool)
        .await
        .expect("it waits");
    let other = "insert into taskq.task (task_id, task_type, run_at) overriding system value
                 values ($1, 'stranger', now() + interval '1 day')";
    let other = sqlx::query(other).bind(task_id).execute(pool).await;
    other.expect("the id comes again");
    task_id
}

/// Takes a task back, and returns the id that it has from then on. The one that has its id goes.
async fn take_back(pool: &PgPool, task_id: i64) -> i64 {
    let back = sqlx::query_scalar("select taskq.take_back($1)").bind(task_id);
    let back: i64 = back.fetch_one(pool).await.expect("taken back");
    assert_ne!(back, task_id);
    execute(pool, "delete from taskq.task where task_type = 'stranger'").await;
    back
}

/// Looks after groups, and returns how many members were found to be gone.
async fn gone(pool: &PgPool) -> i64 {
    one(pool, "select gone from taskq.tend_groups(20, 100)").await
}

/// Has all that waits end when it is due, now.
async fn end_all(pool: &PgPool) {
    execute(
        pool,
        "update taskq.task set payload = payload || '{\"how\": \"\"}' where task_type = 'member';
         update taskq.task set run_at = now()",
    )
    .await;
    run_due(pool).await;
}

#[tokio::test]
async fn a_member_that_comes_back_under_another_id_stays_one() {
    let (_database, pool) = told_database().await;
    group_of(&pool, "moved", &["snooze"]).await;
    let first = come_again(&pool, "member").await;
    assert_eq!(gone(&pool).await, 0, "it is refused");
    let listed = "select array_agg(format('%s %s', task_type, state))
                  from taskq.list('{\"group\": [1]}') where task_id is not null";
    let of_group: Vec<String> = one(&pool, listed).await;
    assert_eq!(of_group, ["member refused"], "the other is none");
    let second = take_back(&pool, first).await;
    assert_eq!(gone(&pool).await, 0, "it waits as {second}");
    let of_group: Vec<String> = one(&pool, listed).await;
    assert_eq!(of_group, ["member waiting"]);
    assert_eq!(come_again(&pool, "member").await, second);
    let third = take_back(&pool, second).await;
    assert_eq!(gone(&pool).await, 0, "it waits as {third}");
    end_all(&pool).await;
    assert_eq!(told(&pool).await, ["moved: 1 = 1 0 0 0 0 0 0"]);
    let member: i64 = one(&pool, "select task_id from taskq.group_member").await;
    assert_eq!(member, third, "its result is found by it");
}

#[tokio::test]
async fn the_task_of_a_group_that_comes_back_under_another_id_keeps_the_group() {
    let (_database, pool) = told_database().await;
    group_of(&pool, "kept", &[]).await;
    let first = come_again(&pool, "finish").await;
    let second = take_back(&pool, first).await;
    execute(
        &pool,
        "update taskq.task_group set ended_at = now() - interval '8 days'",
    )
    .await;
    let prune = "select taskq.prune_groups(604800, 100)";
    assert_eq!(one::<i64>(&pool, prune).await, 0, "it waits as {second}");
    end_all(&pool).await;
    assert_eq!(told(&pool).await, ["kept: 0 = 0 0 0 0 0 0 0"]);
    assert_eq!(one::<i64>(&pool, prune).await, 1);
}

/// Groups knew their tasks by their first ids, before.
#[tokio::test]
async fn what_came_back_before_the_tables_changed_is_found_too() {
    let database = Database::empty().await.expect("a database");
    let pool = database.pool_of(20);
    let (before, after) = migrations().split_at(39);
    for migration in before {
        let made = raw_sql(AssertSqlSafe(migration.sql)).execute(&pool).await;
        made.expect("migrated");
    }
    execute(
        &pool,
        "create table told (what text not null, group_id bigint not null);
         select taskq.begin_group('finish', '{\"name\": \"open\"}');
         select taskq.begin_group('finish', '{\"name\": \"ended\"}');
         select taskq.enqueue('member', '{\"how\": \"snooze\"}', '{\"group\": 1}');
         select taskq.seal_group(1), taskq.seal_group(2)",
    )
    .await;
    for task_type in ["member", "finish"] {
        let first = come_again(&pool, task_type).await;
        take_back(&pool, first).await;
    }
    for migration in after {
        let made = raw_sql(AssertSqlSafe(migration.sql)).execute(&pool).await;
        made.expect("migrated");
    }
    assert_eq!(gone(&pool).await, 0);
    execute(
        &pool,
        "update taskq.task_group set ended_at = now() - interval '8 days' where group_id = 2",
    )
    .await;
    let prune = "select taskq.prune_groups(604800, 100)";
    assert_eq!(one::<i64>(&pool, prune).await, 0);
    end_all(&pool).await;
    let told = told(&pool).await;
    assert_eq!(
        told,
        ["ended: 0 = 0 0 0 0 0 0 0", "open: 1 = 1 0 0 0 0 0 0"]
    );
}
