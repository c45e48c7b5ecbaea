//! Handlers in a transaction: one commit for their effects and their task, or none.
//!
//! What holds for both kinds of transaction, the one that has begun and the one that the handler begins, is tested with
//! both: `charge.rs`, `effects.rs` and `session.rs` are compiled twice.

mod begun;
mod deferred;
mod lazily;
mod lazy;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{PgConnection, Postgres, Transaction, query};
use taskq::{Worker, task};
use tokio::time::sleep;

use crate::support::{
    Log, count_effects, database, drain, effects, states, until, while_working, worker,
};

async fn write(db: &mut PgConnection, n: i64) -> sqlx::Result<()> {
    query("insert into effect values ($1)")
        .bind(n)
        .execute(db)
        .await
        .map(drop)
}

/// Runs forty tasks with `&mut tx` in a queue that their type does not declare, on a pool of so many
/// connections, and returns how many ran at once and whether a warning was logged.
async fn run_strays(connections: u32) -> (usize, bool) {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    #[task(queue = "books")]
    async fn strays(_tx: &mut PgConnection) {
        let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(running, Ordering::SeqCst);
        sleep(Duration::from_millis(5)).await;
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }

    let (database, pool) = database().await;
    MOST.store(0, Ordering::SeqCst);
    let mut tx = pool.begin().await.expect("begun");
    for _ in 0..40 {
        taskq::enqueue(&mut tx, Strays {})
            .queue("calls")
            .await
            .expect("enqueued");
    }
    tx.commit().await.expect("committed");
    let log = Log::capture();
    let worker = Worker::builder(database.pool_of(connections))
        .queue("books", 2)
        .queue("calls", 20)
        .only::<(Strays,)>();
    drain(worker, &pool).await;
    (
        MOST.load(Ordering::SeqCst),
        log.has("now wait for each other"),
    )
}

#[tokio::test]
async fn transactional_tasks_in_another_queue_share_the_connections_that_are_left() {
    // Six are the worker's own, and two are for the queue that they declare.
    assert_eq!(run_strays(9).await, (1, true));
    assert_eq!(run_strays(11).await, (3, true));
    let (most, warned) = run_strays(28).await;
    assert!(most > 3 && !warned, "{most} at once, warned: {warned}");
}

#[tokio::test]
async fn a_stop_hands_back_a_transactional_task_that_waits_for_a_connection() {
    #[task(queue = "books")]
    async fn endless(_tx: &mut PgConnection) {
        std::future::pending::<()>().await;
    }

    let (database, pool) = database().await;
    let mut tx = pool.begin().await.expect("begun");
    for _ in 0..3 {
        taskq::enqueue(&mut tx, Endless {})
            .queue("calls")
            .await
            .expect("enqueued");
    }
    tx.commit().await.expect("committed");
    let log = Log::capture();
    let worker = Worker::builder(database.pool_of(9))
        .queue("books", 2)
        .queue("calls", 20)
        .grace_period(Duration::ZERO)
        .only::<(Endless,)>();
    while_working(
        worker,
        until("one waits", async || log.has("now wait for each other")),
    )
    .await;
    let rows: Vec<(String, i32)> =
        sqlx::query_as("select state, attempts from taskq.tasks order by task_id")
            .fetch_all(&pool)
            .await
            .expect("the view is readable");
    assert_eq!(rows, vec![("waiting".to_owned(), 0); 3]);
}

#[tokio::test]
async fn the_effects_of_a_handler_and_its_completion_commit_together() {
    #[task]
    async fn writes(tx: &mut PgConnection, n: i64) -> sqlx::Result<()> {
        write(tx, n).await?;
        let mut nested = sqlx::Connection::begin(&mut *tx).await?;
        write(&mut nested, n + 1_000).await?;
        nested.commit().await
    }
    #[task]
    async fn writes_by_tx(tx: &mut taskq::Tx, n: i64) -> sqlx::Result<()> {
        write(tx, n).await
    }
    #[task]
    async fn writes_by_transaction(tx: &mut Transaction<'_, Postgres>, n: i64) -> sqlx::Result<()> {
        write(tx, n).await
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    Writes::enqueue(&mut db, 1).await.expect("enqueued");
    WritesByTx::enqueue(&mut db, 2).await.expect("enqueued");
    WritesByTransaction::enqueue(&mut db, 3)
        .await
        .expect("enqueued");
    let worker = worker(&pool).only::<(Writes, WritesByTx, WritesByTransaction)>();
    drain(worker.keep_completed(true), &pool).await;
    assert_eq!(count_effects(&pool).await, (4, 4));
    assert_eq!(states(&pool).await["completed"], 3);
}
