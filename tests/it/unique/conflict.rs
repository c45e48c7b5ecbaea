//! What becomes of a second task of a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::Connection;
use taskq::unique::{OnConflict, Unique, Until};
use taskq::{EnqueueError, EnqueueOutcome};

use super::{Digest, Fails, Gate, Sum, by_user, enqueue, texts};
use crate::support::{database, execute, one, until, while_working, worker};

#[tokio::test]
async fn a_second_task_of_a_key_is_the_first() {
    use EnqueueOutcome::{Created, Existing};
    let (_database, pool) = database().await;
    let (first, outcome) = enqueue(&pool, by_user(), 1, "a").await;
    assert_eq!(outcome, Created);
    assert_eq!(enqueue(&pool, by_user(), 1, "b").await, (first, Existing));
    let (other, outcome) = enqueue(&pool, by_user(), 2, "a").await;
    assert_eq!((outcome, other > first), (Created, true));
    // By the whole payload it is another.
    assert_eq!(enqueue(&pool, Unique::new(), 1, "b").await.1, Created);
    assert_eq!(texts(&pool).await, ["a", "a", "b"]);

    let mut db = pool.acquire().await.expect("a connection");
    let mut by_key = async |key: &str, usr_id| {
        let enqueue = Digest::enqueue(&mut db, usr_id, String::new()).unique_key(key);
        enqueue.await.expect("enqueued").outcome
    };
    assert_eq!(by_key("k", 8).await, Created);
    assert_eq!(by_key("k", 9).await, Existing);
    // A key that was given is never one by a payload.
    assert_eq!(by_key(r#"{"usr_id": 1}"#, 1).await, Created);
    let long = "k".repeat(100_000);
    assert_eq!(by_key(&long, 1).await, Created);
    assert_eq!(by_key(&long, 1).await, Existing);
}

#[tokio::test]
async fn a_waiting_task_is_replaced_and_a_running_one_is_not() {
    use EnqueueOutcome::{Created, Existing, Replaced};
    let (_database, pool) = database().await;
    let gate = Gate::closed();
    let replace = by_user().on_conflict(OnConflict::Replace);
    let (first, outcome) = enqueue(&pool, replace, 1, "a").await;
    assert_eq!(outcome, Created);
    execute(
        &pool,
        "update taskq.task set attempts = 3, errors = '[{}]', priority = 7",
    )
    .await;
    assert_eq!(enqueue(&pool, replace, 1, "b").await, (first, Replaced));
    assert_eq!(texts(&pool).await, ["b"]);
    let fresh =
        "select count(*) from taskq.task where attempts = 0 and errors is null and priority = 0";
    assert_eq!(one::<i64>(&pool, fresh).await, 1);
    while_working(
        worker(&pool)
            .only::<(Digest, Fails)>()
            .state_arc(gate.clone()),
        async {
            gate.reached().await;
            assert_eq!(enqueue(&pool, replace, 1, "c").await, (first, Existing));
            gate.opens.add_permits(1);
        },
    )
    .await;
}

#[tokio::test]
async fn a_debounced_task_waits_for_quiet_but_not_for_ever() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let due_in = "select extract(epoch from run_at - now())::float8 from taskq.task";
    let second = Duration::from_secs(10);
    let mut debounced = async |n| {
        let enqueue = Sum::enqueue(&mut db, n).unique_key("one").debounce(second);
        enqueue.await.expect("enqueued").outcome
    };
    assert_eq!(debounced(1).await, EnqueueOutcome::Created);
    execute(&pool, "update taskq.task set run_at = run_at - interval '9 seconds', created_at = created_at - interval '9 seconds'").await;
    assert_eq!(debounced(2).await, EnqueueOutcome::Replaced);
    let due: f64 = one(&pool, due_in).await;
    assert!((9.0..=10.0).contains(&due), "put off once more: {due}");
    execute(
        &pool,
        "update taskq.task set created_at = created_at - interval '86 seconds'",
    )
    .await;
    assert_eq!(debounced(3).await, EnqueueOutcome::Replaced);
    let due: f64 = one(&pool, due_in).await;
    assert!(
        (3.0..=5.0).contains(&due),
        "ten times the delay at most: {due}"
    );
    assert_eq!(
        one::<String>(&pool, "select payload ->> 'n' from taskq.task").await,
        "3"
    );
}

#[tokio::test]
async fn an_enqueue_can_fail_because_of_another_task() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let error = Unique::new().on_conflict(OnConflict::Error);
    let first = Sum::enqueue(&mut db, 1)
        .unique(error)
        .await
        .expect("enqueued");
    let refused = Sum::enqueue(&mut db, 1)
        .unique(error)
        .await
        .expect_err("there");
    assert_eq!(
        refused.to_string(),
        format!(
            "task {} of the type `sum` has the key already",
            first.task_id
        )
    );
    let EnqueueError::Duplicate { task_id, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(task_id, first.task_id);
    let empty = Sum::enqueue(&mut db, 1)
        .unique_key("")
        .await
        .expect_err("empty");
    assert_eq!(empty.to_string(), "`unique_key` must not be empty");
}

#[tokio::test]
async fn a_waiting_task_that_is_kept_runs_after_the_commit() {
    let (_database, pool) = database().await;
    let total = Arc::new(AtomicI64::new(0));
    for until_what in [Until::Done, Until::Started] {
        total.store(0, Ordering::SeqCst);
        let unique = Unique::new().until(until_what);
        let mut db = pool.acquire().await.expect("a connection");
        let first = Sum::enqueue(&mut db, 1).unique(unique).await;
        let first = first.expect("enqueued").task_id;
        let mut tx = db.begin().await.expect("a transaction");
        let kept = Sum::enqueue(&mut tx, 1).unique(unique).await;
        let kept = kept.expect("enqueued");
        assert_eq!(
            (kept.task_id, kept.outcome),
            (first, EnqueueOutcome::Existing)
        );
        let other = Sum::enqueue(&mut pool.acquire().await.expect("a connection"), 2).await;
        other.expect("enqueued");
        let working = worker(&pool).only::<(Sum,)>().state_arc(total.clone());
        while_working(working, async {
            until("the other runs", async || total.load(Ordering::SeqCst) >= 2).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(total.load(Ordering::SeqCst), 2, "it ran before the commit");
            tx.commit().await.expect("committed");
            until("it runs", async || total.load(Ordering::SeqCst) == 3).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_task_that_is_replaced_to_run_now_wakes_a_worker() {
    let (_database, pool) = database().await;
    let total = Arc::new(AtomicI64::new(0));
    let working = worker(&pool)
        .only::<(Sum,)>()
        .state_arc(total.clone())
        .poll_interval(Duration::from_secs(600));
    while_working(working, async {
        let mut db = pool.acquire().await.expect("a connection");
        let later = Sum::enqueue(&mut db, 1).unique(Unique::new());
        let later = later.delay(Duration::from_secs(3600)).await;
        later.expect("enqueued");
        until("the worker sleeps", async || {
            one::<bool>(&pool, "select exists (select from taskq.sleeper)").await
        })
        .await;
        // It scans once more when it has gone to sleep.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let unique = Unique::new().on_conflict(OnConflict::Replace);
        let now = Sum::enqueue(&mut db, 1).unique(unique).await;
        assert_eq!(now.expect("enqueued").outcome, EnqueueOutcome::Replaced);
        until("it runs", async || total.load(Ordering::SeqCst) == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_task_that_a_trigger_drops_is_not_reported_as_enqueued() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create function drop_it() returns trigger language plpgsql as 'begin return null; end';
         create trigger drop_it before insert on taskq.task for each row execute function drop_it()",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let dropped = Sum::enqueue(&mut db, 1).unique(Unique::new()).await;
    dropped.expect_err("there is no task");
    let sql = "select task_id from taskq.enqueue('sum', '{}', '{\"unique\": true}')";
    let error = sqlx::query(sql).execute(&mut *db).await.expect_err("none");
    assert!(
        error.to_string().contains("a trigger has dropped it"),
        "{error}"
    );
    execute(&pool, "drop trigger drop_it on taskq.task").await;
    let there = Sum::enqueue(&mut db, 1).unique(Unique::new()).await;
    assert_eq!(there.expect("enqueued").outcome, EnqueueOutcome::Created);
}

#[tokio::test]
async fn what_an_enqueue_says_of_a_conflict_stands_beside_debounce() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let error = Unique::new().on_conflict(OnConflict::Error);
    let mut debounced = async || {
        let enqueue = Sum::enqueue(&mut db, 1).unique(error);
        enqueue.debounce(Duration::from_secs(5)).await
    };
    debounced().await.expect("the first");
    debounced().await.expect_err("the second");
    let no_fields = Sum::enqueue(&mut db, 1)
        .unique(Unique::new().fields(&[]))
        .await;
    let said = no_fields.expect_err("no key").to_string();
    assert_eq!(
        said,
        "`unique` must name a field, or be of the whole payload: leave `fields` out"
    );
}
