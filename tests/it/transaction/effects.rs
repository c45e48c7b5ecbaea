//! What a handler writes commits with its task, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool, query};
use taskq::task;
use tokio::sync::Notify;

use super::{Given, begin};
use crate::lease::fence::steal;
use crate::support::{
    Log, TaskRow, count_effects, database, drain, effects, execute, one, states, task as find,
    until, while_working, worker,
};
use crate::transaction::write;

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

#[tokio::test]
async fn a_handler_can_enqueue_in_its_transaction() {
    #[task]
    async fn second(tx: &mut Given) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        write(tx, 2).await
    }
    #[task]
    async fn first(tx: &mut Given) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
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
    async fn fails(tx: &mut Given) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
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
    async fn aborts(tx: &mut Given) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
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
    async fn swallows(tx: &mut Given) {
        let tx = begin(tx).await.expect("begun");
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
    async fn panics(tx: &mut Given) {
        let tx = begin(tx).await.expect("begun");
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
            .starts_with("panicked at tests/it/transaction/effects.rs:")
            && row.error().ends_with(": index out of bounds"),
        "{}",
        row.error()
    );
}

#[tokio::test]
async fn a_constraint_that_was_deferred_is_the_handlers_failure() {
    #[task]
    async fn violates(tx: &mut Given) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
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
async fn a_handler_that_ends_its_transaction_or_isolates_it_is_told_so() {
    #[task(max_attempts = 1)]
    async fn meddles(tx: &mut Given, how: String) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        sqlx::raw_sql(AssertSqlSafe(how)).execute(&mut *tx).await?;
        write(tx, 1).await
    }

    let ways = [
        ("rollback", "ended its task's transaction"),
        ("commit", "ended its task's transaction"),
        ("rollback; begin", "ended its task's transaction"),
        ("commit; begin", "ended its task's transaction"),
        ("commit and chain", "ended its task's transaction"),
        ("rollback and chain", "ended its task's transaction"),
        (
            "set transaction isolation level repeatable read",
            "isolation level",
        ),
        (
            "set transaction isolation level serializable",
            "isolation level",
        ),
    ];
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    for (how, _) in ways {
        Meddles::enqueue(&mut db, how.to_owned())
            .await
            .expect("enqueued");
    }
    drop(db);
    // One after the other, in the same session: none spoils it for the next.
    let alone = taskq::Worker::builder(pool.clone()).queue("default", 1);
    drain(alone.only::<(Meddles,)>(), &pool).await;
    let said: Vec<(String, String)> = sqlx::query_as(
        "select payload ->> 'how', errors -> -1 ->> 'error' from taskq.dead order by task_id",
    )
    .fetch_all(&pool)
    .await
    .expect("read");
    assert_eq!(said.len(), ways.len(), "{said:#?}");
    for ((how, error), (_, expected)) in said.iter().zip(ways) {
        // Postgres itself refuses another isolation, where the session has been looked at before.
        assert!(error.to_lowercase().contains(expected), "{how}: {error}");
    }
    // What is written outside of any transaction is there at once.
    let outside = ways.iter().filter(|(how, _)| !how.contains(' ')).count();
    let outside = i64::try_from(outside).expect("few");
    assert_eq!(count_effects(&pool).await.0, outside);
}

#[tokio::test]
async fn a_query_that_outlives_its_attempt_is_cancelled() {
    #[task(timeout = "200ms")]
    async fn hangs(tx: &mut Given) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
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
    async fn premature(tx: &mut Given) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
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
    async fn isolated(tx: &mut Given) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
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

#[tokio::test]
async fn the_effects_of_a_handler_whose_lease_was_lost_are_rolled_back() {
    #[task]
    async fn effective(tx: &mut Given, release: &Notify, runs: &AtomicUsize) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        let run = runs.fetch_add(1, Ordering::SeqCst);
        sqlx::query("insert into effect values ($1)")
            .bind(i64::try_from(run).unwrap_or_default())
            .execute(tx)
            .await?;
        release.notified().await;
        Ok(())
    }

    let log = Log::capture();
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    Effective::enqueue(&mut db).await.expect("enqueued");
    let (release, runs) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let worker = worker(&pool)
        .only::<(Effective,)>()
        .state_arc(release.clone())
        .state_arc(runs.clone());
    while_working(worker, async {
        until("started", async || runs.load(Ordering::SeqCst) == 1).await;
        steal(&pool).await;
        until("started again", async || runs.load(Ordering::SeqCst) == 2).await;
        // Both handlers are waiting now; both find that they have done their work.
        release.notify_one();
        release.notify_one();
        until("over", async || states(&pool).await.is_empty()).await;
    })
    .await;
    assert_eq!(count_effects(&pool).await, (1, 1));
    assert!(log.has("lease lost; this attempt does not count"));
    assert!(!log.has("attempt failed"), "{}", log.text());
}

#[tokio::test]
async fn a_stop_rolls_back_and_hands_the_task_back() {
    #[task]
    async fn endless(tx: &mut Given, started: &Notify) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        write(tx, 1).await?;
        started.notify_one();
        query("select pg_sleep(3600)").execute(tx).await.map(drop)
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Endless::enqueue(&mut db).await.expect("enqueued").task_id;
    let started = Arc::new(Notify::new());
    let worker = worker(&pool)
        .only::<(Endless,)>()
        .state_arc(started.clone())
        .grace_period(Duration::from_millis(100));
    while_working(worker, started.notified()).await;
    assert_eq!(count_effects(&pool).await, (0, 0));
    let row = find(&pool, task_id).await.expect("waiting");
    assert_eq!((row.state.as_str(), row.attempts), ("waiting", 0));
}

#[tokio::test]
async fn a_task_that_an_operator_cancels_is_rolled_back() {
    #[task]
    async fn endless(tx: &mut Given, started: &Notify) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        write(tx, 1).await?;
        started.notify_one();
        std::future::pending().await
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Endless::enqueue(&mut db).await.expect("enqueued").task_id;
    let started = Arc::new(Notify::new());
    let worker = worker(&pool)
        .only::<(Endless,)>()
        .state_arc(started.clone());
    while_working(worker, async {
        started.notified().await;
        let cancelled = taskq::operate(&pool).cancel(task_id).await;
        cancelled.expect("cancelled");
        let open = "select count(*) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'";
        until("rolled back", async || one::<i64>(&pool, open).await == 0).await;
    })
    .await;
    assert_eq!(count_effects(&pool).await, (0, 0));
    let row = find(&pool, task_id).await.expect("kept");
    assert_eq!((row.state.as_str(), row.attempts), ("cancelled", 0));
}
