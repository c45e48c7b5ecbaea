//! Handlers with `&mut tx`: one commit for their effects and their task, or none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{PgConnection, PgPool, Postgres, Transaction, query};
use taskq::{Worker, task};
use tokio::time::sleep;

use crate::support::{
    Log, TaskRow, count_effects, database, drain, effects, execute, one, states, task as find,
    until, while_working, worker,
};

async fn write(db: &mut PgConnection, n: i64) -> sqlx::Result<()> {
    query("insert into effect values ($1)")
        .bind(n)
        .execute(db)
        .await
        .map(drop)
}

/// Runs one attempt of the only task, which fails, and returns the task as it then stands.
async fn after_failure(worker: taskq::WorkerBuilder, pool: &PgPool, task_id: i64) -> TaskRow {
    while_working(
        worker,
        until("failed", async || {
            find(pool, task_id).await.is_some_and(|it| it.attempts == 1)
        }),
    )
    .await;
    assert_eq!(
        count_effects(pool).await,
        (0, 0),
        "nothing is left of a failed attempt"
    );
    assert_eq!(
        one::<i64>(pool, "select count(*) from taskq.lease").await,
        0
    );
    find(pool, task_id).await.expect("kept")
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

#[tokio::test]
async fn a_handler_can_enqueue_in_its_transaction() {
    #[task]
    async fn second(tx: &mut PgConnection) -> sqlx::Result<()> {
        write(tx, 2).await
    }
    #[task]
    async fn first(tx: &mut PgConnection) -> anyhow::Result<()> {
        write(tx, 1).await?;
        Second::enqueue(tx).await?;
        Ok(())
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    First::enqueue(&mut db).await.expect("enqueued");
    drain(worker(&pool).only::<(First, Second)>(), &pool).await;
    assert_eq!(count_effects(&pool).await, (2, 2));
}

#[tokio::test]
async fn a_handler_that_writes_and_fails_leaves_its_failure_and_no_write() {
    #[task]
    async fn fails(tx: &mut PgConnection) -> anyhow::Result<()> {
        write(tx, 1).await?;
        anyhow::bail!("the card was declined")
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Fails::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_failure(worker(&pool).only::<(Fails,)>(), &pool, task_id).await;
    assert_eq!(row.error(), "the card was declined");
}

#[tokio::test]
async fn a_statement_that_fails_does_not_take_the_record_of_the_failure_with_it() {
    #[task]
    async fn aborts(tx: &mut PgConnection) -> sqlx::Result<()> {
        write(tx, 1).await?;
        query("select 1 / 0").execute(tx).await.map(drop)
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Aborts::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_failure(worker(&pool).only::<(Aborts,)>(), &pool, task_id).await;
    assert!(row.error().contains("division by zero"), "{}", row.error());
}

#[tokio::test]
async fn an_error_that_the_handler_swallowed_is_a_failure_all_the_same() {
    #[task]
    async fn swallows(tx: &mut PgConnection) {
        write(tx, 1).await.expect("written");
        query("select 1 / 0")
            .execute(tx)
            .await
            .expect_err("it fails");
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Swallows::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_failure(worker(&pool).only::<(Swallows,)>(), &pool, task_id).await;
    assert!(
        row.error().contains("did not return its error"),
        "{}",
        row.error()
    );
}

#[tokio::test]
async fn a_panic_rolls_back_and_is_recorded() {
    #[task]
    async fn panics(tx: &mut PgConnection) {
        write(tx, 1).await.expect("written");
        panic!("index out of bounds");
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Panics::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_failure(worker(&pool).only::<(Panics,)>(), &pool, task_id).await;
    assert!(
        row.error()
            .starts_with("panicked at tests/it/transaction.rs:")
            && row.error().ends_with(": index out of bounds"),
        "{}",
        row.error()
    );
}

#[tokio::test]
async fn a_constraint_that_was_deferred_is_the_handlers_failure() {
    #[task]
    async fn violates(tx: &mut PgConnection) -> sqlx::Result<()> {
        write(tx, 1).await?;
        query("insert into later values (1), (1)")
            .execute(tx)
            .await
            .map(drop)
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    execute(
        &pool,
        "create table later (n int unique deferrable initially deferred)",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Violates::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_failure(worker(&pool).only::<(Violates,)>(), &pool, task_id).await;
    assert!(row.error().contains("later_n_key"), "{}", row.error());
}

#[tokio::test]
async fn a_handler_that_ends_the_transaction_itself_is_told_so() {
    #[task]
    async fn commits(tx: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::raw_sql("rollback").execute(tx).await.map(drop)
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Commits::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_failure(worker(&pool).only::<(Commits,)>(), &pool, task_id).await;
    assert!(
        row.error().contains("ended its task's transaction"),
        "{}",
        row.error()
    );
}

#[tokio::test]
async fn a_query_that_outlives_its_attempt_is_cancelled() {
    #[task(timeout = "200ms")]
    async fn hangs(tx: &mut PgConnection) -> sqlx::Result<()> {
        write(tx, 1).await?;
        query("select pg_sleep(3600)").execute(tx).await.map(drop)
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Hangs::enqueue(&mut db).await.expect("enqueued").task_id;
    let row = after_failure(worker(&pool).only::<(Hangs,)>(), &pool, task_id).await;
    assert_eq!(row.error(), "timed out after 200ms");
    let sleeping: i64 = one(
        &pool,
        "select count(*) from pg_stat_activity where datname = current_database() and query like '%pg_sleep(3600)%' and state = 'active' and pid <> pg_backend_pid()",
    )
    .await;
    assert_eq!(sleeping, 0);
}

#[tokio::test]
async fn a_snooze_rolls_back_and_uses_no_attempt() {
    #[task]
    async fn premature(tx: &mut PgConnection) -> anyhow::Result<()> {
        write(tx, 1).await?;
        Err(taskq::outcome::snooze(Duration::from_secs(3600)))?
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Premature::enqueue(&mut db).await.expect("enqueued").task_id;
    while_working(
        worker(&pool).only::<(Premature,)>(),
        until("snoozed", async || {
            find(&pool, task_id)
                .await
                .is_some_and(|it| it.due_in.is_some_and(|due_in| due_in > 60.0))
        }),
    )
    .await;
    assert_eq!(count_effects(&pool).await, (0, 0));
    assert_eq!(find(&pool, task_id).await.expect("waiting").attempts, 0);
}

#[tokio::test]
async fn handlers_work_at_read_committed_whatever_the_database_defaults_to() {
    #[task]
    async fn isolated(tx: &mut PgConnection) -> anyhow::Result<()> {
        let level: String = sqlx::query_scalar("show transaction_isolation")
            .fetch_one(tx)
            .await?;
        anyhow::ensure!(level == "read committed", "{level}");
        Ok(())
    }

    let (_database, pool) = database().await;
    execute(&pool, "do $$ begin execute format('alter database %I set default_transaction_isolation = serializable', current_database()); end $$").await;
    let pool = _database.pool_of(40);
    let mut db = pool.acquire().await.expect("a connection");
    Isolated::enqueue(&mut db).await.expect("enqueued");
    drain(worker(&pool).only::<(Isolated,)>(), &pool).await;
    assert!(states(&pool).await.is_empty());
}
