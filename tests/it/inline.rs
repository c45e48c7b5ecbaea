//! Running what is due in a transaction of the test, which is then rolled back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, query, query_scalar};
use taskq::testing::{AttemptOutcome, DrainError, advance_in, drain, run_one, tx};
use taskq::{Schema, Tx, WorkerBuilder, WorkerError, assert_enqueued, task};

use crate::support::{count_effects, database, effects, execute, one, worker};

#[task]
async fn leave(tx: &mut PgConnection, n: i64) -> sqlx::Result<()> {
    let insert = query("insert into effect values ($1)").bind(n);
    insert.execute(tx).await.map(|_| ())
}

/// Takes the type of transaction that has the fewest rights.
#[task(max_attempts = 2)]
async fn leave_and_fail(tx: &mut Tx, n: i64) -> Result<(), String> {
    let insert = query("insert into effect values ($1)").bind(n);
    insert
        .execute(&mut **tx)
        .await
        .map_err(|error| error.to_string())?;
    Err(format!("{n} is not wanted"))
}

#[task]
async fn end_it(tx: &mut PgConnection, how: String) -> sqlx::Result<()> {
    let statement = match how.as_str() {
        "commit" => "commit",
        "commit and go on" => "commit; begin",
        _ => "rollback",
    };
    sqlx::raw_sql(statement).execute(tx).await.map(|_| ())
}

#[task]
async fn add(total: &AtomicI64, n: i64) {
    total.fetch_add(n, Ordering::Relaxed);
}

/// Cancels its own task, which then has left its lease.
#[task]
async fn cancel_itself(tx: &mut PgConnection, attempt: &taskq::Attempt) -> sqlx::Result<()> {
    let cancel = query("select taskq.cancel($1)").bind(attempt.task_id());
    cancel.execute(tx).await.map(|_| ())
}

fn all(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(Leave, LeaveAndFail, EndIt, CancelItself)>()
}

async fn count(tx: &mut PgConnection) -> i64 {
    let count = query_scalar("select count(*) from effect");
    count.fetch_one(tx).await.expect("the table of effects")
}

#[tokio::test]
async fn what_was_enqueued_in_the_transaction_runs_in_it_and_nothing_stays() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tx = tx(&pool).await.expect("a transaction");
    for n in 1..=3 {
        Leave::enqueue(&mut tx, n).await.expect("enqueued");
    }
    let counts = drain(all(&pool)).in_tx(&mut tx).await.expect("it drains");
    assert_eq!((counts.completed, counts.total()), (3, 3));
    assert_eq!(count(&mut tx).await, 3);
    taskq::refute_enqueued!(&mut tx, Leave { .. });
    assert_eq!(count_effects(&pool).await.0, 0, "others see nothing of it");
    drop(tx);
    assert_eq!(count_effects(&pool).await.0, 0);
    let left: i64 = one(&pool, "select count(*) from taskq.tasks").await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_failure_undoes_what_its_handler_did_and_no_more_and_time_moves_on_in_the_transaction() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tx = tx(&pool).await.expect("a transaction");
    Leave::enqueue(&mut tx, 1).await.expect("enqueued");
    LeaveAndFail::enqueue(&mut tx, 2).await.expect("enqueued");

    let error = drain(all(&pool))
        .in_tx(&mut tx)
        .await
        .expect_err("one fails");
    let text = error.to_string();
    assert!(
        text.starts_with("1 of 2 attempts failed\n  task 2, `leave_and_fail` {\"n\": 2}, attempt 1 of 2, to be retried: 2 is not wanted\n"),
        "{text}"
    );
    assert_eq!(count(&mut tx).await, 1);
    let nothing = run_one(all(&pool)).in_tx(&mut tx).await;
    assert_eq!(nothing.expect("it looks"), None, "the retry is not due");

    advance_in(&mut tx, Duration::from_secs(3600))
        .await
        .expect("time moves");
    let attempt = run_one(all(&pool)).in_tx(&mut tx).await.expect("it runs");
    let attempt = attempt.expect("it is due");
    assert_eq!(attempt.number, 2);
    assert_eq!(
        attempt.outcome,
        AttemptOutcome::Discarded {
            error: "2 is not wanted".into()
        }
    );
    assert_eq!(count(&mut tx).await, 1);
}

#[tokio::test]
async fn one_task_runs_and_the_others_still_wait() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tx = tx(&pool).await.expect("a transaction");
    for (n, priority) in [(1, 5), (2, 0), (3, 5)] {
        let task = Leave::enqueue(&mut tx, n).priority(priority);
        task.await.expect("enqueued");
    }
    let attempt = run_one(all(&pool)).in_tx(&mut tx).await.expect("it runs");
    let attempt = attempt.expect("it is due");
    assert_eq!(
        (attempt.task_id, attempt.outcome),
        (2, AttemptOutcome::Completed)
    );
    assert_enqueued!(&mut tx, Leave { n: 1 });
    assert_enqueued!(&mut tx, Leave { n: 3 });
}

#[tokio::test]
async fn a_handler_that_ends_the_transaction_is_named() {
    for how in ["commit", "rollback", "commit and go on"] {
        let (_database, pool) = database().await;
        effects(&pool).await;
        let mut tx = tx(&pool).await.expect("a transaction");
        EndIt::enqueue(&mut tx, how.into()).await.expect("enqueued");
        let ended = drain(all(&pool)).in_tx(&mut tx).await;
        let error = ended.expect_err("it is not its to end");
        let DrainError::TransactionEnded { task_type } = &error else {
            panic!("{how}: {error:?}");
        };
        assert_eq!(task_type, "end_it");
        assert!(error.to_string().contains("`end_it`"), "{error}");
    }
}

#[tokio::test]
async fn a_task_that_is_cancelled_in_its_own_transaction_is_cancelled() {
    let (_database, pool) = database().await;
    let mut tx = tx(&pool).await.expect("a transaction");
    CancelItself::enqueue(&mut tx).await.expect("enqueued");
    drain(all(&pool)).in_tx(&mut tx).await.expect("it drains");
    let states: Vec<String> = query_scalar("select state from taskq.tasks")
        .fetch_all(&mut *tx)
        .await
        .expect("the view is readable");
    assert_eq!(states, ["cancelled"]);
}

#[tokio::test]
async fn handlers_have_their_state_and_other_schemas_their_tasks() {
    let (_database, pool) = database().await;
    let other = Schema::named("other_tasks").expect("a name");
    other.migrate(&pool).await.expect("migrated");
    let total = Arc::new(AtomicI64::new(0));
    let adders = || worker(&pool).only::<(Add,)>().state_arc(total.clone());
    let mut tx = tx(&pool).await.expect("a transaction");
    Add::enqueue(&mut tx, 1).await.expect("enqueued");
    Add::enqueue(&mut tx, 10)
        .schema(other)
        .await
        .expect("enqueued");
    let there = drain(adders().schema(other)).in_tx(&mut tx).await;
    assert_eq!(there.expect("it drains").completed, 1);
    assert_eq!(total.load(Ordering::Relaxed), 10);
    drain(adders()).in_tx(&mut tx).await.expect("it drains");
    assert_eq!(total.load(Ordering::Relaxed), 11);
}

#[tokio::test]
async fn what_cannot_work_is_refused_and_the_transaction_goes_on() {
    let (_database, pool) = database().await;
    let mut tx = tx(&pool).await.expect("a transaction");
    let error = drain(worker(&pool).only::<(Add,)>()).in_tx(&mut tx).await;
    let DrainError::Worker(WorkerError::MissingState { .. }) = error.expect_err("no state") else {
        panic!("it has no state");
    };
    let nowhere = Schema::named("nowhere").expect("a name");
    let error = drain(all(&pool).schema(nowhere)).in_tx(&mut tx).await;
    let DrainError::Worker(WorkerError::NoSchema { .. }) = error.expect_err("no tables") else {
        panic!("it has no tables");
    };
    Leave::enqueue(&mut tx, 1)
        .await
        .expect("the transaction goes on");
}

#[tokio::test]
async fn a_claim_that_postgres_refuses_is_an_error_and_the_transaction_goes_on() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'not today'; end $$;
         create trigger refuse before insert on taskq.lease for each row execute function refuse()",
    )
    .await;
    let mut tx = tx(&pool).await.expect("a transaction");
    Leave::enqueue(&mut tx, 1).await.expect("enqueued");
    let refused = drain(all(&pool)).in_tx(&mut tx).await;
    let error = refused.expect_err("it is refused");
    assert!(matches!(error, DrainError::Database(_)), "{error:?}");
    assert!(format!("{error:?}").contains("not today"), "{error:?}");
    assert_enqueued!(&mut tx, Leave { n: 1 });
}

/// As a suite does that has one database and a transaction for each test.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_tests_share_a_database_each_in_its_transaction() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tests = tokio::task::JoinSet::new();
    for test in 0..16 {
        let pool = pool.clone();
        tests.spawn(async move {
            let mut tx = tx(&pool).await.expect("a transaction");
            for n in 0..10 {
                Leave::enqueue(&mut tx, test * 100 + n)
                    .await
                    .expect("enqueued");
            }
            let counts = drain(all(&pool)).in_tx(&mut tx).await.expect("it drains");
            assert_eq!((counts.completed, counts.total()), (10, 10));
            let sql = "select count(*) from effect where n / 100 = $1";
            let own: i64 = query_scalar(sql)
                .bind(test)
                .fetch_one(&mut *tx)
                .await
                .expect("count");
            assert_eq!((own, count(&mut tx).await), (10, 10));
        });
    }
    while let Some(test) = tests.join_next().await {
        test.expect("it passes");
    }
    assert_eq!(count_effects(&pool).await.0, 0);
}

#[tokio::test]
async fn a_search_path_that_leads_elsewhere_changes_nothing() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "create schema trap;
         create table trap.effect (n bigint);
         create table trap.task (like taskq.task);
         create table trap.lease (like taskq.lease)",
    )
    .await;
    let options = database.connect_options();
    let options = options.options([("search_path", "trap")]);
    let trapped = PgPoolOptions::new()
        .max_connections(30)
        .connect_lazy_with(options);
    let mut tx = tx(&trapped).await.expect("a transaction");
    Leave::enqueue(&mut tx, 1).await.expect("enqueued");
    assert_enqueued!(&mut tx, Leave { n: 1 });
    let counts = drain(all(&trapped)).in_tx(&mut tx).await;
    assert_eq!(counts.expect("it drains").completed, 1);
    drop(tx);
    let mut db = trapped.acquire().await.expect("a connection");
    Leave::enqueue(&mut db, 2).await.expect("enqueued");
    let counts = drain(all(&trapped)).await.expect("it drains");
    assert_eq!(counts.completed, 1);
    let left: Vec<i64> = one(&pool, "select array_agg(n) from trap.effect").await;
    assert_eq!(left, [2]);
}
