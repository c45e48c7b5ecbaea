//! An enqueue whose key another open transaction has.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgPool};
use taskq::unique::Unique;
use taskq::{EnqueueError, EnqueueOutcome};
use tokio::time::sleep;

use super::{Sum, WAITING};
use crate::support::{database, execute, one};

/// Longer than any holder here is open.
const PATIENT: Duration = Duration::from_secs(60);

/// How a transaction ends that has the key.
#[derive(Clone, Copy)]
enum Holder {
    Commits,
    RollsBack,
    /// Deletes the task and its key, and commits.
    Deletes,
}

async fn enqueue(pool: &PgPool, wait: Duration) -> Result<EnqueueOutcome, EnqueueError> {
    let mut db = pool.acquire().await.expect("a connection");
    let enqueue = Sum::enqueue(&mut db, 1).unique(Unique::new());
    enqueue.busy_after(wait).await.map(|task| task.outcome)
}

/// Enqueues beside a transaction that ends so after a moment, and returns the outcome.
async fn enqueue_beside(holder: Holder) -> EnqueueOutcome {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    let first = Sum::enqueue(&mut tx, 1).unique(Unique::new());
    first.await.expect("enqueued");
    if let Holder::Deletes = holder {
        tx.commit().await.expect("committed");
        tx = pool.begin().await.expect("a transaction");
        sqlx::raw_sql("delete from taskq.unique_key; delete from taskq.task")
            .execute(&mut *tx)
            .await
            .expect("deleted");
    }
    let end = async {
        sleep(Duration::from_millis(300)).await;
        match holder {
            Holder::RollsBack => tx.rollback().await.expect("rolled back"),
            Holder::Commits | Holder::Deletes => tx.commit().await.expect("committed"),
        }
    };
    let began = Instant::now();
    let (outcome, ()) = tokio::join!(enqueue(&pool, PATIENT), end);
    assert!(began.elapsed() >= Duration::from_millis(250), "it waits");
    assert_eq!(one::<i64>(&pool, WAITING).await, 1);
    outcome.expect("enqueued")
}

#[tokio::test]
async fn an_enqueue_waits_for_the_transaction_that_has_its_key() {
    use EnqueueOutcome::{Created, Existing};
    assert_eq!(enqueue_beside(Holder::Commits).await, Existing);
    assert_eq!(enqueue_beside(Holder::RollsBack).await, Created);
    assert_eq!(enqueue_beside(Holder::Deletes).await, Created);
}

#[tokio::test]
async fn an_enqueue_waits_no_longer_than_it_says_and_leaves_the_session_as_it_was() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    let first = Sum::enqueue(&mut tx, 1).unique(Unique::new());
    first.await.expect("enqueued");
    let waits = [0, 300].map(Duration::from_millis);
    for wait in waits {
        let began = Instant::now();
        let refused = enqueue(&pool, wait).await.expect_err("the key is taken");
        assert!(began.elapsed() >= wait, "{:?}", began.elapsed());
        assert!(
            matches!(refused, EnqueueError::Busy { task_type: "sum", waited } if waited == wait),
            "{refused:?}"
        );
        let text = refused.to_string();
        assert!(
            text.contains("is still open after") && text.ends_with("try again"),
            "{text}"
        );
    }
    let refused = sqlx::query(
        "select * from taskq.enqueue('sum', '{\"n\": 1}', '{\"unique\": true, \"busy_after\": \"100 ms\"}')",
    );
    let refused = refused.execute(&pool).await.expect_err("the key is taken");
    let code = refused.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("55P03"));

    // Within a transaction it bounds that call alone.
    let mut db = pool.acquire().await.expect("a connection");
    let mut other = db.begin().await.expect("a transaction");
    sqlx::raw_sql("set local lock_timeout = '7s'")
        .execute(&mut *other)
        .await
        .expect("set");
    let enqueue = Sum::enqueue(&mut other, 2).unique(Unique::new());
    enqueue.busy_after(PATIENT).await.expect("enqueued");
    let timeout: String = sqlx::query_scalar("show lock_timeout")
        .fetch_one(&mut *other)
        .await
        .expect("shown");
    assert_eq!(timeout, "7s");
}

#[tokio::test]
async fn a_waiting_task_that_another_transaction_has_makes_an_enqueue_busy_too() {
    let (_database, pool) = database().await;
    enqueue(&pool, PATIENT).await.expect("enqueued");
    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::raw_sql("select from taskq.task for update")
        .execute(&mut *tx)
        .await
        .expect("locked");
    let refused = enqueue(&pool, Duration::from_millis(50)).await;
    assert!(
        matches!(refused, Err(EnqueueError::Busy { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_transaction_that_cannot_see_who_has_the_key_is_told_to_begin_again() {
    let (_database, pool) = database().await;
    for level in ["repeatable read", "serializable"] {
        execute(
            &pool,
            "delete from taskq.task; delete from taskq.unique_key",
        )
        .await;
        let mut tx = pool.begin().await.expect("a transaction");
        let set = match level {
            "serializable" => "set transaction isolation level serializable; select 1",
            _ => "set transaction isolation level repeatable read; select 1",
        };
        sqlx::raw_sql(set)
            .execute(&mut *tx)
            .await
            .expect("its snapshot");
        enqueue(&pool, PATIENT).await.expect("enqueued");
        let refused = Sum::enqueue(&mut tx, 1).unique(Unique::new()).await;
        assert!(
            matches!(refused, Err(EnqueueError::Conflict { task_type: "sum" })),
            "{level}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_wait_is_for_a_key() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let refused = Sum::enqueue(&mut db, 1).busy_after(PATIENT).await;
    let refused = refused.expect_err("it has no key").to_string();
    assert!(
        refused.starts_with("`busy_after` is for a task with a key"),
        "{refused}"
    );
    let refused =
        sqlx::query("select * from taskq.enqueue('sum', '{\"n\": 1}', '{\"busy_after\": 1}')")
            .execute(&pool)
            .await
            .expect_err("it has no key")
            .to_string();
    assert!(
        refused.contains("the option \"busy_after\" is for a task with a key"),
        "{refused}"
    );
}
