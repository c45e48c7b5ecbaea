//! Having a task run again, and deciding that one never does.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::types::chrono::{DateTime, Utc};
use taskq::operate::{Operator, TaskState};
use taskq::task;
use tokio::time::{Instant, sleep};

use super::{audit, enqueue, refusal};
use crate::support::{database, drain, one, states, task, until, while_working, worker};

#[task(max_attempts = 1)]
async fn fail(pool: &PgPool) -> Result<(), String> {
    let mended: bool = one(pool, "select to_regclass('mended') is not null").await;
    if mended {
        Ok(())
    } else {
        Err("not mended".into())
    }
}

#[task]
async fn linger() {
    sleep(Duration::from_secs(2)).await;
}

fn operator(pool: &PgPool) -> Operator {
    taskq::operate(pool).as_user("ada")
}

fn failing(pool: &PgPool) -> taskq::WorkerBuilder {
    worker(pool)
        .only::<(Fail,)>()
        .state(pool.clone())
        .keep_completed(true)
}

#[tokio::test]
async fn a_dead_task_runs_again_with_all_its_attempts() {
    let (_database, pool) = database().await;
    let id = enqueue(&pool, "fail", "{}").await;
    drain(failing(&pool), &pool).await;
    assert_eq!(states(&pool).await, [("discarded".into(), 1)].into());
    sqlx::query("create table mended ()")
        .execute(&pool)
        .await
        .expect("mended");
    let was = operator(&pool).retry(id).because("mended").await;
    assert_eq!(was.expect("retried"), TaskState::Discarded);
    let row = task(&pool, id).await.expect("it waits");
    assert_eq!(
        (row.state.as_str(), row.attempts, row.error()),
        ("waiting", 0, "not mended")
    );
    drain(failing(&pool), &pool).await;
    assert_eq!(states(&pool).await, [("completed".into(), 1)].into());
    let said = [(
        "ada".into(),
        "retry".into(),
        "discarded".into(),
        Some("mended".into()),
    )];
    assert_eq!(audit(&pool, id).await, said);
}

#[tokio::test]
async fn an_expired_task_is_retried_without_its_expiry() {
    let (_database, pool) = database().await;
    sqlx::query("select * from taskq.enqueue('fail', '{}', '{\"expires\": 0.01}')")
        .execute(&pool)
        .await
        .expect("enqueued");
    sleep(Duration::from_millis(50)).await;
    drain(failing(&pool), &pool).await;
    assert_eq!(states(&pool).await, [("expired".into(), 1)].into());
    let id: i64 = one(&pool, "select task_id from taskq.tasks").await;
    operator(&pool).retry(id).await.expect("retried");
    drain(failing(&pool), &pool).await;
    assert_eq!(states(&pool).await, [("discarded".into(), 1)].into());
}

#[tokio::test]
async fn a_waiting_task_starts_at_once_though_its_worker_polls_seldom() {
    let (_database, pool) = database().await;
    let worker = failing(&pool).poll_interval(Duration::from_secs(60));
    while_working(worker, async {
        let id = enqueue(&pool, "fail", "{}").await;
        let later: DateTime<Utc> = one(&pool, "select now() + interval '1 hour'").await;
        until("discarded", async || {
            task(&pool, id)
                .await
                .is_some_and(|it| it.state == "discarded")
        })
        .await;
        let was = operator(&pool).retry_at(id, later).await;
        assert_eq!(was.expect("put off"), TaskState::Discarded);
        sleep(Duration::from_millis(300)).await;
        let row = task(&pool, id).await.expect("it waits");
        assert_eq!(row.state, "waiting");
        assert!(row.due_in.is_some_and(|due_in| due_in > 3_500.0), "{row:?}");
        let began = Instant::now();
        let was = operator(&pool).retry(id).await;
        assert_eq!(was.expect("due now"), TaskState::Waiting);
        until("it ran", async || {
            task(&pool, id)
                .await
                .is_some_and(|it| it.state == "discarded")
        })
        .await;
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
    })
    .await;
}

#[tokio::test]
async fn what_runs_or_has_completed_is_not_retried_and_only_the_dead_are_discarded() {
    let (_database, pool) = database().await;
    let id = enqueue(&pool, "linger", "{}").await;
    let worker = worker(&pool).only::<(Linger,)>().keep_completed(true);
    while_working(worker, async {
        let waiting = refusal(operator(&pool).discard(99).await);
        assert!(waiting.starts_with("there is no task 99: "), "{waiting}");
        until("running", async || {
            task(&pool, id)
                .await
                .is_some_and(|it| it.state == "running")
        })
        .await;
        let running = refusal(operator(&pool).retry(id).await);
        assert_eq!(
            running,
            format!("task {id} is running, so there is nothing to retry")
        );
        let running = refusal(operator(&pool).discard(id).await);
        assert_eq!(
            running,
            format!("task {id} is running, so there is nothing to discard: cancel it first")
        );
        until("completed", async || {
            task(&pool, id)
                .await
                .is_some_and(|it| it.state == "completed")
        })
        .await;
        let completed = refusal(operator(&pool).retry(id).await);
        assert_eq!(
            completed,
            format!("task {id} is completed, so there is nothing to retry")
        );
    })
    .await;
    let dead = enqueue(&pool, "linger", "{}").await;
    operator(&pool).cancel(dead).await.expect("cancelled");
    let was = operator(&pool).discard(dead).because("paid by hand").await;
    assert_eq!(was.expect("discarded"), TaskState::Cancelled);
    assert!(task(&pool, dead).await.is_none());
    let verbs: Vec<_> = audit(&pool, dead)
        .await
        .into_iter()
        .map(|it| it.1)
        .collect();
    assert_eq!(verbs, ["cancel", "discard"]);
}
