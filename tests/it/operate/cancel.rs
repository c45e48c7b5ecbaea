//! Cancelling a task: the fence first, then its worker is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::PgPool;
use taskq::operate::{Operator, TaskState};
use taskq::{Attempt, Tx, task};
use tokio::time::{Instant, sleep};

use super::{audit, enqueue, refusal};
use crate::support::{
    Log, count_effects, database, drain, effects, execute, one, states, task, until, while_working,
    worker,
};

/// Runs for as long as its payload says.
#[task]
async fn take(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

/// Writes, and runs on.
#[task]
async fn write_long(tx: &mut Tx, n: i64) -> Result<(), sqlx::Error> {
    sqlx::query("insert into effect (n) values ($1)")
        .bind(n)
        .execute(&mut **tx)
        .await?;
    sqlx::query("select pg_sleep(3600)")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Comes to an end when it is asked to.
#[task]
async fn heed(pool: &PgPool, attempt: &Attempt) {
    attempt.cancelled().await;
    execute(pool, "insert into effect (n) values (1)").await;
}

fn operator(pool: &PgPool) -> Operator {
    taskq::operate(pool).as_user("ada")
}

async fn runs(pool: &PgPool, task_id: i64) {
    until("running", async || {
        task(pool, task_id)
            .await
            .is_some_and(|it| it.state == "running")
    })
    .await;
    // Claimed is not started yet.
    sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_waiting_task_is_set_aside_with_who_and_why() {
    let (_database, pool) = database().await;
    let id = enqueue(&pool, "take", r#"{"ms": 0}"#).await;
    let was = operator(&pool).cancel(id).because("wrong recipient").await;
    assert_eq!(was.expect("cancelled"), TaskState::Waiting);
    let row = task(&pool, id).await.expect("it is there");
    assert_eq!((row.state.as_str(), row.attempts), ("cancelled", 0));
    assert_eq!(row.error(), "cancelled by ada: wrong recipient");
    let again = operator(&pool).cancel(id).await;
    assert_eq!(again.expect("no error"), TaskState::Cancelled);
    let said = |verb: &str, why: &str| {
        (
            "ada".into(),
            verb.into(),
            "waiting".into(),
            Some(why.into()),
        )
    };
    assert_eq!(audit(&pool, id).await, [said("cancel", "wrong recipient")]);
}

#[tokio::test]
async fn what_is_over_cannot_be_cancelled() {
    let (_database, pool) = database().await;
    let unknown = refusal(operator(&pool).cancel(42).await);
    assert!(unknown.starts_with("there is no task 42: "), "{unknown}");
    let id = enqueue(&pool, "take", r#"{"ms": 0}"#).await;
    drain(worker(&pool).only::<(Take,)>().keep_completed(true), &pool).await;
    let completed = refusal(operator(&pool).cancel(id).await);
    assert_eq!(
        completed,
        format!("task {id} is completed, so there is nothing to cancel")
    );
    let long = "x".repeat(10_001);
    let long = refusal(operator(&pool).cancel(id).because(long).await);
    assert_eq!(long, "a reason has at most 10000 bytes");
}

#[tokio::test]
async fn a_running_handler_is_stopped_within_a_second_and_its_neighbours_go_on() {
    let (_database, pool) = database().await;
    let (id, other) = (
        enqueue(&pool, "take", r#"{"ms": 3600000}"#).await,
        enqueue(&pool, "take", r#"{"ms": 2000}"#).await,
    );
    let log = Log::capture();
    let worker = worker(&pool).only::<(Take,)>().keep_completed(true);
    while_working(worker, async {
        runs(&pool, id).await;
        let began = Instant::now();
        let was = operator(&pool).cancel(id).await;
        assert_eq!(was.expect("cancelled"), TaskState::Running);
        until("stopped", async || {
            log.text().contains("its handler was stopped")
        })
        .await;
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
        until("the other has completed", async || {
            task(&pool, other)
                .await
                .is_some_and(|it| it.state == "completed")
        })
        .await;
        until("no lease is left", async || {
            one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
        })
        .await;
    })
    .await;
    let row = task(&pool, id).await.expect("it is there");
    assert_eq!((row.state.as_str(), row.attempts), ("cancelled", 0));
    assert!(!log.text().contains("lease lost"), "{}", log.text());
}

#[tokio::test]
async fn what_a_cancelled_handler_wrote_is_rolled_back_and_its_connection_serves_on() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let id = enqueue(&pool, "write_long", r#"{"n": 1}"#).await;
    while_working(worker(&pool).only::<(WriteLong,)>(), async {
        until("in its query", async || sleeping(&pool).await == 1).await;
        operator(&pool).cancel(id).await.expect("cancelled");
        until("its query is over", async || sleeping(&pool).await == 0).await;
        let next = enqueue(&pool, "write_long", r#"{"n": 2}"#).await;
        until("the next is in its query", async || {
            sleeping(&pool).await == 1
        })
        .await;
        operator(&pool).cancel(next).await.expect("cancelled");
    })
    .await;
    assert_eq!(count_effects(&pool).await, (0, 0));
    assert_eq!(states(&pool).await, [("cancelled".into(), 2)].into());
}

async fn sleeping(pool: &PgPool) -> i64 {
    one(
        pool,
        "select count(*) from pg_stat_activity
         where datname = current_database() and state = 'active' and query = 'select pg_sleep(3600)'",
    )
    .await
}

#[tokio::test]
async fn a_worker_that_hears_nothing_notices_with_its_next_heartbeat() {
    let (_database, pool) = database().await;
    let (id, other) = (
        enqueue(&pool, "take", r#"{"ms": 3600000}"#).await,
        enqueue(&pool, "take", r#"{"ms": 3600000}"#).await,
    );
    let log = Log::capture();
    let worker = worker(&pool)
        .only::<(Take,)>()
        .listen(false)
        .lease(Duration::from_secs(6))
        .grace_period(Duration::ZERO);
    while_working(worker, async {
        runs(&pool, id).await;
        runs(&pool, other).await;
        operator(&pool).cancel(id).await.expect("cancelled");
        let began = Instant::now();
        until("stopped", async || {
            log.text().contains("its handler was stopped")
        })
        .await;
        // A heartbeat is a quarter of a lease, and the handler has half a second.
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(task(&pool, other).await.expect("there").state, "running");
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_heeds_ends_by_itself_and_its_outcome_does_not_count() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let id = enqueue(&pool, "heed", "{}").await;
    while_working(worker(&pool).only::<(Heed,)>().state(pool.clone()), async {
        runs(&pool, id).await;
        operator(&pool).cancel(id).await.expect("cancelled");
        until("it has seen it", async || count_effects(&pool).await.0 == 1).await;
    })
    .await;
    assert_eq!(states(&pool).await, [("cancelled".into(), 1)].into());
}

#[tokio::test]
async fn a_task_that_a_worker_has_claimed_ahead_never_starts() {
    #[task]
    async fn begin_and_take(ms: u64, began: &Mutex<Vec<u64>>) {
        began.lock().expect("no panic").push(ms);
        sleep(Duration::from_millis(ms)).await;
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) select 'begin_and_take', '{\"ms\": 0}' from generate_series(1, 200)",
    )
    .await;
    let began = Arc::new(Mutex::new(Vec::<u64>::new()));
    let worker = taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(BeginAndTake,)>()
        .state_arc(began.clone());
    while_working(worker, async {
        // So that the worker claims ahead.
        until("drained", async || {
            one::<i64>(&pool, "select count(*) from taskq.task").await == 0
        })
        .await;
        let slow = enqueue(&pool, "begin_and_take", r#"{"ms": 3600000}"#).await;
        runs(&pool, slow).await;
        let id = enqueue(&pool, "begin_and_take", r#"{"ms": 7200000}"#).await;
        until("claimed ahead", async || {
            task(&pool, id)
                .await
                .is_some_and(|it| it.state == "running")
        })
        .await;
        operator(&pool).cancel(id).await.expect("cancelled");
        operator(&pool).cancel(slow).await.expect("cancelled");
        until("all is over", async || {
            one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
        })
        .await;
        let began = began.lock().expect("no panic");
        assert!(!began.contains(&7_200_000), "{began:?}");
    })
    .await;
}

/// Between a completion and a cancel one wins, whichever comes first.
#[tokio::test]
async fn no_task_is_both_cancelled_and_completed() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) select 'take', '{\"ms\": 20}' from generate_series(1, 300)",
    )
    .await;
    let worker = worker(&pool).only::<(Take,)>().keep_completed(true);
    let mut cancelled = 0;
    while_working(worker, async {
        for id in 1..=300 {
            match operator(&pool).cancel(id).await {
                Ok(_) => cancelled += 1,
                Err(taskq::OperateError::Refused { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        until("all is over", async || {
            one::<i64>(
                &pool,
                "select count(*) from taskq.tasks where state in ('waiting', 'running')",
            )
            .await
                == 0
        })
        .await;
    })
    .await;
    let ended = states(&pool).await;
    let of = |state: &str| ended.get(state).copied().unwrap_or_default();
    assert_eq!(of("cancelled"), cancelled);
    assert_eq!(of("completed") + of("cancelled"), 300);
}
