//! Two versions of a program, and none.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use taskq::handler::{BoxFuture, Declaration, IntoOutcome, Keep, KeepFor, Outcome, Parts, Task};
use taskq::testing::drain;
use taskq::{Payload, WorkerBuilder, task};

use super::{ended, left, of};
use crate::support::{database, execute, until, while_working, worker};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Serialize, Deserialize, Payload)]
struct X {}

macro_rules! versions {
    ($($task:ident: $keep:expr;)+) => {$(
        struct $task;

        impl Task for $task {
            type Payload = X;
            const DECLARATION: Declaration = Declaration::new().aliases(&["before_x"]).keep($keep);

            fn run<'a>(_: X, _: Parts<'a>) -> BoxFuture<'a, Outcome> {
                Box::pin(async { ().into_outcome() })
            }
        }
    )+};
}

versions! {
    Short: Keep::new()
        .discarded(KeepFor::Time(DAY))
        .completed(KeepFor::Time(DAY));
    Long: Keep::new()
        .discarded(KeepFor::Time(DAY.saturating_mul(30)))
        .completed(KeepFor::Time(DAY.saturating_mul(30)));
    Says: Keep::new();
}

/// Something that keeps completed tasks for a week.
#[task(result = "keep")]
async fn other() -> Result<(), String> {
    Ok(())
}

async fn prune(worker: WorkerBuilder) {
    drain(worker).await.expect("drained");
}

async fn stage(pool: &PgPool) {
    for outcome in ["completed", "discarded"] {
        ended(pool, "x", outcome, "40 days", 1).await;
        ended(pool, "x", outcome, "20 days", 1).await;
        ended(pool, "before_x", outcome, "20 days", 1).await;
    }
    ended(pool, "other", "completed", "20 days", 1).await;
}

#[tokio::test]
async fn the_longest_time_that_a_living_version_declares_holds() {
    let (_database, pool) = database().await;
    stage(&pool).await;
    let old = worker(&pool).only::<(Long,)>();
    while_working(old, async {
        until("it has pruned", async || {
            left(&pool).await.get(&("x".into(), "discarded".into())) == Some(&1)
        })
        .await;
        prune(worker(&pool).only::<(Short, Other)>()).await;
    })
    .await;
    let kept = of([
        ("x", "completed", 1),
        ("x", "discarded", 1),
        ("before_x", "completed", 1),
        ("before_x", "discarded", 1),
    ]);
    assert_eq!(left(&pool).await, kept);
    // For a day more the old version may come back.
    prune(worker(&pool).only::<(Short, Other)>()).await;
    assert_eq!(left(&pool).await, kept);
    execute(
        &pool,
        "update taskq.keep_definition set declared_until = now() where seconds = 30 * 86400",
    )
    .await;
    prune(worker(&pool).only::<(Short, Other)>()).await;
    assert_eq!(left(&pool).await, of([]));
}

#[tokio::test]
async fn what_nobody_declares_any_more_holds_until_another_version_lives() {
    let (_database, pool) = database().await;
    stage(&pool).await;
    prune(worker(&pool).only::<(Long,)>()).await;
    ended(&pool, "x", "discarded", "31 days", 1).await;
    let silent = "update taskq.keep_definition set declared_until = now() where task_type <> ''";
    execute(&pool, silent).await;
    // A worker of other types deletes what is kept no longer, and keeps the rest.
    prune(worker(&pool).only::<(Other,)>()).await;
    let kept = of([
        ("x", "completed", 1),
        ("x", "discarded", 1),
        ("before_x", "completed", 1),
        ("before_x", "discarded", 1),
    ]);
    assert_eq!(left(&pool).await, kept);
    // A version that says nothing: dead tasks are kept for ever, and completed ones a week.
    // It lives once it has said so, which may be after it has pruned for the first time.
    let dead = of([("x", "discarded", 1), ("before_x", "discarded", 1)]);
    until("pruned", async || {
        prune(worker(&pool).only::<(Says, Other)>()).await;
        left(&pool).await == dead
    })
    .await;
}

#[tokio::test]
async fn two_workers_with_different_retentions_keep_the_longer_one() {
    let (_database, pool) = database().await;
    prune(worker(&pool).only::<(Other,)>().history_retention(DAY * 30)).await;
    stage(&pool).await;
    prune(worker(&pool).only::<(Other,)>().history_retention(DAY * 2)).await;
    let kept = left(&pool).await;
    assert_eq!(kept.get(&("other".into(), "completed".into())), Some(&1));
    assert_eq!(kept.get(&("x".into(), "completed".into())), Some(&1));
}
