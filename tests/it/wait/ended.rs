//! What a caller gets, for each way in which a task may end.

use sqlx::PgPool;
use taskq::{EnqueueOutcome, Enqueued, Handle, Schema, WaitError, task};

use super::{LONG, Resize, Size, size};
use crate::support::{database, drain, execute, states, until, while_working, worker};

async fn enqueue(pool: &PgPool, width: u32, end: &str) -> Enqueued<Resize> {
    let mut db = pool.acquire().await.expect("a connection");
    let payload = Resize {
        width,
        end: end.into(),
    };
    let enqueue = taskq::enqueue(&mut db, payload).max_attempts(1).awaited();
    enqueue.await.expect("enqueued")
}

async fn wait(pool: &PgPool, task: &Enqueued<Resize>) -> Result<Size, WaitError> {
    task.wait(pool, LONG).await
}

#[tokio::test]
async fn a_caller_gets_what_the_handler_returned() {
    let (_database, pool) = database().await;
    let task = enqueue(&pool, 7, "").await;
    let work = while_working(worker(&pool).only::<(Resize,)>(), wait(&pool, &task));
    assert_eq!(work.await.expect("it succeeds"), size(7));
    // After the end, and by the id alone.
    assert_eq!(wait(&pool, &task).await.expect("it is kept"), size(7));
    let again = Handle::<Resize>::of(task.task_id);
    assert_eq!(again.wait(&pool, LONG).await.expect("it is kept"), size(7));
    let mut db = pool.acquire().await.expect("a connection");
    let read = again.result(&mut db).await.expect("readable");
    assert_eq!(read.kept(), Some(size(7)));
}

#[tokio::test]
async fn nothing_is_a_result_too() {
    #[task(result = "keep")]
    async fn touch() -> Result<(), String> {
        Ok(())
    }
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Touch::enqueue(&mut db).await.expect("enqueued");
    drain(worker(&pool).only::<(Touch,)>(), &pool).await;
    task.wait(&pool, LONG).await.expect("it has succeeded");
    #[task(result = "keep")]
    async fn look() -> Result<Option<u8>, String> {
        Ok(None)
    }
    let task = Look::enqueue(&mut db).await.expect("enqueued");
    drain(worker(&pool).only::<(Look,)>(), &pool).await;
    let looked = task.wait(&pool, LONG).await;
    assert_eq!(looked.expect("it has succeeded"), None);
}

#[tokio::test]
async fn a_failure_has_its_type() {
    let (_database, pool) = database().await;
    let dead = enqueue(&pool, 1, "fail").await;
    let cancelled = enqueue(&pool, 2, "cancel").await;
    let working = while_working(worker(&pool).only::<(Resize,)>(), async {
        (wait(&pool, &dead).await, wait(&pool, &cancelled).await)
    });
    let (died, was_cancelled) = working.await;
    let died = died.expect_err("it fails");
    assert_eq!(died.to_string(), "the task is discarded: no such image");
    assert!(
        matches!(&died, WaitError::Dead { state, error: Some(error) } if state == "discarded" && error == "no such image")
    );
    let was_cancelled = was_cancelled.expect_err("it is cancelled");
    assert!(
        matches!(&was_cancelled, WaitError::Cancelled { error: Some(error) } if error.contains("nobody looks")),
        "{was_cancelled:?}"
    );

    // By somebody else, while it waits.
    let task = enqueue(&pool, 3, "").await;
    let cancel = async {
        taskq::operate(&pool)
            .as_user("ada")
            .cancel(task.task_id)
            .await
            .expect("cancelled");
    };
    let (waited, ()) = tokio::join!(wait(&pool, &task), cancel);
    assert!(matches!(waited, Err(WaitError::Cancelled { .. })));

    let expired = enqueue(&pool, 4, "").await;
    execute(
        &pool,
        r#"update taskq.task set metadata = metadata || '{"task.expires": 1}', run_at = now() - interval '1 hour',
             created_at = now() - interval '1 hour'"#,
    )
    .await;
    let invalid = enqueue(&pool, 5, "").await;
    execute(
        &pool,
        "update taskq.task set payload = '{}' where not metadata ? 'task.expires'",
    )
    .await;
    let working = while_working(worker(&pool).only::<(Resize,)>(), async {
        (wait(&pool, &expired).await, wait(&pool, &invalid).await)
    });
    let (expired, invalid) = working.await;
    assert!(matches!(expired, Err(WaitError::Expired)), "{expired:?}");
    assert!(matches!(invalid, Err(WaitError::Dead { state, .. }) if state == "invalid"));
}

#[tokio::test]
async fn a_task_that_is_nowhere_is_gone_at_once() {
    let (_database, pool) = database().await;
    let never = Handle::<Resize>::of(7_000).wait(&pool, LONG).await;
    assert!(matches!(never, Err(WaitError::Gone)));

    // Not committed yet, and then rolled back, or not.
    let mut tx = pool.begin().await.expect("a transaction");
    let task = Resize::enqueue(&mut tx, 1, "".into())
        .await
        .expect("enqueued");
    assert!(matches!(wait(&pool, &task).await, Err(WaitError::Gone)));
    tx.commit().await.expect("committed");
    let deleted = async {
        let soon = task.wait(&pool, std::time::Duration::from_millis(200));
        assert!(matches!(soon.await, Err(WaitError::TimedOut)));
        execute(&pool, "delete from taskq.task").await;
    };
    let (waited, ()) = tokio::join!(wait(&pool, &task), deleted);
    assert!(matches!(waited, Err(WaitError::Gone)));

    // What was kept is pruned.
    let kept = enqueue(&pool, 2, "").await;
    drain(worker(&pool).only::<(Resize,)>(), &pool).await;
    wait(&pool, &kept).await.expect("it is there");
    execute(
        &pool,
        "update taskq.history set finished_at = finished_at - interval '9 days'",
    )
    .await;
    execute(&pool, "select taskq.prune_history('7 days')").await;
    assert!(matches!(wait(&pool, &kept).await, Err(WaitError::Gone)));
}

#[tokio::test]
async fn a_result_that_does_not_fit_comes_as_it_is_kept() {
    let (_database, pool) = database().await;
    let task = enqueue(&pool, 7, "").await;
    drain(worker(&pool).only::<(Resize,)>(), &pool).await;
    // As a handler of an earlier release has returned it.
    execute(
        &pool,
        r#"update taskq.history set result = '{"width": "7 px"}'"#,
    )
    .await;
    let error = wait(&pool, &task).await.expect_err("it does not fit");
    assert_eq!(
        error.to_string(),
        "the result of `resize` does not decode at `width`"
    );
    match error {
        WaitError::Decode { raw, path, .. } => {
            assert_eq!(
                (raw.get(), path.as_str()),
                (r#"{"width": "7 px"}"#, "width")
            );
        }
        other => panic!("{other:?}"),
    }
    execute(&pool, "update taskq.history set result = null").await;
    let lost = wait(&pool, &task).await;
    assert!(matches!(lost, Err(WaitError::NotKept { reason: None })));
}

#[tokio::test]
async fn a_wait_is_over_when_its_time_is_and_the_task_goes_on() {
    let (_database, pool) = database().await;
    let task = enqueue(&pool, 7, "").await;
    let short = std::time::Duration::from_millis(300);
    let began = tokio::time::Instant::now();
    let waited = task.wait(&pool, short).await;
    assert!(matches!(waited, Err(WaitError::TimedOut)), "{waited:?}");
    assert!(began.elapsed() >= short);
    let patient = tokio::spawn({
        let (pool, handle) = (pool.clone(), task.handle());
        async move { handle.wait(&pool, LONG).await }
    });
    let impatient = tokio::spawn({
        let (pool, handle) = (pool.clone(), task.handle());
        async move { handle.wait(&pool, LONG).await }
    });
    tokio::time::sleep(short).await;
    impatient.abort();
    drain(worker(&pool).only::<(Resize,)>(), &pool).await;
    let waited = patient.await.expect("not aborted");
    assert_eq!(waited.expect("it succeeds"), size(7));
    assert_eq!(states(&pool).await.get("completed"), Some(&1));
}

/// A retry has not ended, and neither has what was snoozed.
#[tokio::test]
async fn a_caller_waits_through_retries_and_until_a_dead_task_is_dead_for_it() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let fails = Resize::enqueue(&mut db, 1, "fail".into()).awaited().await;
    let fails = fails.expect("enqueued");
    let snoozed = enqueue(&pool, 2, "snooze").await;
    let mut waiting =
        std::pin::pin!(async { tokio::join!(wait(&pool, &fails), wait(&pool, &snoozed)) });
    while_working(worker(&pool).only::<(Resize,)>(), async {
        let both_ran = until("both ran", async || {
            let waiting = "select count(*) from taskq.task where run_at > now()";
            crate::support::one::<i64>(&pool, waiting).await == 2
        });
        tokio::select! {
            _ = waiting.as_mut() => panic!("neither has ended"),
            () = both_ran => {}
        }
    })
    .await;
    // It died, and somebody has it run again: only who waits then learns what comes of it.
    execute(
        &pool,
        "update taskq.task set run_at = now(), max_attempts = 2",
    )
    .await;
    let died = while_working(worker(&pool).only::<(Resize,)>(), wait(&pool, &fails)).await;
    assert!(matches!(died, Err(WaitError::Dead { .. })));
    taskq::operate(&pool)
        .as_user("ada")
        .retry(fails.task_id)
        .await
        .expect("retried");
    execute(
        &pool,
        r#"update taskq.task set payload = '{"width": 9, "end": ""}'"#,
    )
    .await;
    let revived = while_working(worker(&pool).only::<(Resize,)>(), wait(&pool, &fails)).await;
    assert_eq!(revived.expect("it succeeds"), size(9));
}

#[tokio::test]
async fn who_finds_a_task_that_is_there_waits_for_it_too() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let first = Resize::enqueue(&mut db, 7, "".into())
        .await
        .expect("enqueued");
    let second = Resize::enqueue(&mut db, 7, "".into()).awaited().await;
    let second = second.expect("there is one");
    assert_eq!(second.outcome, EnqueueOutcome::Existing);
    assert_eq!(second.task_id, first.task_id);
    let both = async { tokio::join!(wait(&pool, &first), wait(&pool, &second)) };
    let (one, other) = while_working(worker(&pool).only::<(Resize,)>(), both).await;
    assert_eq!(one.expect("it succeeds"), size(7));
    assert_eq!(other.expect("it succeeds"), size(7));
}

#[tokio::test]
async fn each_schema_has_its_own_tasks() {
    let (_database, pool) = database().await;
    let other = Schema::named("other_tasks").expect("a name");
    other.migrate(&pool).await.expect("migrated");
    let mut db = pool.acquire().await.expect("a connection");
    let enqueue = Resize::enqueue(&mut db, 7, "".into())
        .schema(other)
        .awaited();
    let task = enqueue.await.expect("enqueued");
    let by_id = Handle::<Resize>::of(task.task_id);
    let both = async {
        tokio::join!(
            wait(&pool, &task),
            by_id.wait(&pool, LONG),
            by_id.schema(other).wait(&pool, LONG)
        )
    };
    let worker = worker(&pool).schema(other).only::<(Resize,)>();
    let (own, elsewhere, told) = while_working(worker, both).await;
    assert_eq!(own.expect("it succeeds"), size(7));
    assert!(matches!(elsewhere, Err(WaitError::Gone)));
    assert_eq!(told.expect("it succeeds"), size(7));
}
