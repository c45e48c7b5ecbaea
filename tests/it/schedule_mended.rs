//! What becomes of ticks that were missed because no worker could read what somebody had said of a schedule.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use sqlx::{PgPool, query, query_scalar};
use taskq::operate::{Removed, Upserted};

use crate::schedules::{Report, status, ticking, until_taken, waiting};
use crate::support::{database, one, until, while_working};

/// A program declares a schedule that ticked three minutes ago, and each hour. Returns when that was.
async fn declared(pool: &PgPool, name: &str, catch_up: &str) -> DateTime<Utc> {
    let now: DateTime<Utc> = one(pool, "select now()").await;
    let tick = now
        - TimeDelta::minutes(3)
        - TimeDelta::seconds(i64::from(now.second()))
        - TimeDelta::nanoseconds(i64::from(now.nanosecond()));
    let declare = "select taskq.declare_schedules(
        array[$1], array[jsonb_build_object(
            'expression', $2::text, 'timezone', 'UTC', 'task_type', 'report', 'payload', '{\"customer\": 1}'::jsonb,
            'options', '{}'::jsonb, 'catch_up', $3::text, 'overlap', 'allow', 'jitter', 0
        )], 3600)";
    query(declare)
        .bind(name)
        .bind(format!("{} * * * *", tick.minute()))
        .bind(catch_up)
        .execute(pool)
        .await
        .expect("declared");
    tick
}

/// Somebody has said something else of it, in another zone, ten minutes ago.
async fn changed(pool: &PgPool, name: &str, timezone: &str) {
    let change = "select taskq.upsert_schedule(name, expression, 'report', '{\"customer\": 1}', $2, by => 'ada')
         from taskq.schedule_definition where name = $1";
    query(change)
        .bind(name)
        .bind(timezone)
        .execute(pool)
        .await
        .expect("said");
    query("update taskq.schedule set owed_after = now() - interval '10 minutes' where name = $1")
        .bind(name)
        .execute(pool)
        .await
        .expect("moved");
}

/// As [`changed`], so that no worker can read it. A worker has found that out.
async fn spoilt(pool: &PgPool, name: &str) {
    changed(pool, name, "Europe/Zurick").await;
    while_working(ticking(pool), async {
        until("a worker has said so", async || {
            status(pool, name).await.error.is_some()
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_was_missed_while_no_worker_could_read_a_change_is_made_up_once_it_is_undone() {
    let (_database, pool) = database().await;
    let tick = declared(&pool, "once", "once").await;
    declared(&pool, "none", "none").await;
    for name in ["once", "none"] {
        spoilt(&pool, name).await;
    }
    let ailment = taskq::operate(&pool).doctor().await.expect("found");
    let ailment = ailment.into_iter().find(|it| it.subject == "once");
    let ailment = ailment.expect("it is told");
    assert!(
        ailment
            .said
            .contains("no worker has been able to read it: this program knows no time zone")
            && ailment.advice.contains("what was missed is made up"),
        "{ailment:?}"
    );
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let removed = schedules.remove("once").await.expect("undone");
    assert_eq!(removed, Removed::Mended);
    let removed = schedules.remove("none").await.expect("undone");
    assert_eq!(removed, Removed::Reset);
    while_working(ticking(&pool), async {
        until_taken(&pool, "once").await;
        until_taken(&pool, "none").await;
    })
    .await;
    assert_eq!(waiting(&pool, "once").await, [tick]);
    assert!(waiting(&pool, "none").await.is_empty());
    assert_eq!(status(&pool, "none").await.skipped_missed, 1);
}

#[tokio::test]
async fn what_was_missed_while_no_worker_could_read_it_is_made_up_once_it_is_corrected() {
    let (_database, pool) = database().await;
    let tick = declared(&pool, "x", "once").await;
    spoilt(&pool, "x").await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let expression = format!("{} * * * *", tick.minute());
    let corrected = schedules.upsert("x", &expression, "Europe/Zurich", Report { customer: 1 });
    assert_eq!(corrected.await.expect("corrected"), Upserted::Mended);
    while_working(ticking(&pool), until_taken(&pool, "x")).await;
    assert_eq!(waiting(&pool, "x").await, [tick]);
}

#[tokio::test]
async fn a_change_that_workers_could_read_leaves_nothing_to_make_up_when_it_is_undone() {
    let (_database, pool) = database().await;
    declared(&pool, "x", "once").await;
    // Half an hour beside: none of its ticks was missed.
    changed(&pool, "x", "Asia/Kathmandu").await;
    query("update taskq.schedule set next_tick = now() + interval '10 minutes'")
        .execute(&pool)
        .await
        .expect("found out");
    let mut db = pool.acquire().await.expect("a connection");
    let removed = taskq::schedules(&mut db).remove("x").await.expect("undone");
    assert_eq!(removed, Removed::Reset);
    while_working(ticking(&pool), until_taken(&pool, "x")).await;
    assert!(waiting(&pool, "x").await.is_empty());
    assert_eq!(status(&pool, "x").await.skipped_missed, 0);
}

#[tokio::test]
async fn a_schedule_tells_when_it_was_last_run_by_hand() {
    let (_database, pool) = database().await;
    declared(&pool, "x", "once").await;
    assert_eq!(status(&pool, "x").await.ran_at, None);
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = taskq::schedules(&mut db).run_now("x").await.expect("run");
    let after = status(&pool, "x").await;
    assert_eq!((after.ticks, after.last_tick), (0, None));
    assert_eq!(after.ran_task_id, Some(task_id));
    let lately = "select now() - ran_at < interval '1 minute' from taskq.schedule";
    let is_lately: bool = query_scalar(lately).fetch_one(&pool).await.expect("a time");
    assert!(is_lately);
    assert!(
        after.to_string().contains("; last run by hand 2"),
        "{after}"
    );
}
