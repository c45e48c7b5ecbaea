//! How far attempts say that they are: written beside the handler, seldom, and gone with what it is about.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, PgPool};
use taskq::operate::Progress;
use taskq::{Attempt, Handle, task};
use tokio::time::sleep;

use crate::secrets::assert_clean;
use crate::support::{database, drain, execute, one, states, until, while_working, worker};

/// Waits until somebody has made a table `go`.
async fn told_to_go(pool: &PgPool) -> sqlx::Result<()> {
    while !sqlx::query_scalar("select to_regclass('go') is not null")
        .fetch_one(pool)
        .await?
    {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[task]
async fn resize(pool: &PgPool, attempt: &Attempt, image: i64) -> sqlx::Result<()> {
    attempt.progress(0.4, format!("image {image}"));
    told_to_go(pool).await
}

/// What everybody can read of a task.
async fn read(pool: &PgPool, task_id: i64) -> Option<Progress> {
    let handle = Handle::<Resize>::of(task_id);
    handle.progress(pool).await.expect("readable")
}

#[tokio::test]
async fn what_an_attempt_says_is_read_while_it_runs_and_goes_with_its_task() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Resize::enqueue(&mut db, 17).await.expect("enqueued");
    assert_eq!(read(&pool, task.task_id).await, None);
    let worker = worker(&pool).state(pool.clone()).only::<(Resize,)>();
    while_working(worker, async {
        until("said", async || read(&pool, task.task_id).await.is_some()).await;
        let said = read(&pool, task.task_id).await.expect("said");
        assert_eq!((said.attempt, said.fraction), (1, Some(0.4)));
        assert_eq!(said.said, "image 17");
        assert_eq!(said.to_string(), "40 %, image 17");
        let shown = taskq::operate(&pool).show(task.task_id).await;
        let shown = shown.expect("answered").expect("it runs");
        assert_eq!(shown.progress, Some(said));
        execute(&pool, "create table go ()").await;
        until("gone", async || read(&pool, task.task_id).await.is_none()).await;
    })
    .await;
    assert!(states(&pool).await.is_empty());
}

#[task(max_attempts = 2)]
async fn says_and_fails(
    tx: &mut PgConnection,
    attempt: &Attempt,
    seen_in: String,
) -> anyhow::Result<()> {
    sqlx::query("create table undone ()")
        .execute(&mut *tx)
        .await?;
    attempt.progress(0.5, format!("half of {}", attempt.number()));
    if seen_in == "transaction" {
        // Another session has written it, and this one sees it before it commits.
        let seen = "select exists (select from taskq.progress where said = 'half of 1')";
        while !sqlx::query_scalar(seen).fetch_one(&mut *tx).await? {
            sleep(Duration::from_millis(10)).await;
        }
    }
    anyhow::bail!("no luck")
}

#[tokio::test]
async fn what_an_attempt_says_is_written_before_its_transaction_ends_and_survives_its_rollback() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = SaysAndFails::enqueue(&mut db, "transaction".into())
        .max_attempts(1)
        .await
        .expect("enqueued");
    drain(worker(&pool).only::<(SaysAndFails,)>(), &pool).await;
    assert_eq!(states(&pool).await["discarded"], 1);
    assert!(one::<bool>(&pool, "select to_regclass('undone') is null").await);
    let said = read(&pool, task.task_id).await.expect("it stays");
    assert_eq!(said.to_string(), "50 %, half of 1");
    // Its attempts begin anew.
    execute(
        &pool,
        "update taskq.progress set attempt = 7, said = 'of before'; select taskq.retry(task_id) from taskq.dead",
    )
    .await;
    drain(worker(&pool).only::<(SaysAndFails,)>(), &pool).await;
    let said = read(&pool, task.task_id).await.expect("it stays");
    assert_eq!((said.attempt, said.said.as_str()), (1, "half of 1"));
}

#[task(max_attempts = 1)]
async fn says_much(attempt: &Attempt, lasts_ms: u64) -> Result<(), String> {
    let began = Instant::now();
    let mut said = 0;
    while began.elapsed() < Duration::from_millis(lasts_ms) {
        for _ in 0..1_000 {
            said += 1;
            attempt.progress(f64::NAN, format!("{said}"));
        }
        tokio::task::yield_now().await;
    }
    assert!(said > 10_000);
    attempt.progress(f64::INFINITY, "x".repeat(1_000));
    Err("no luck".into())
}

#[tokio::test]
async fn however_often_attempts_say_something_one_statement_a_second_writes_it() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create table written (at timestamptz default clock_timestamp());
         create function written() returns trigger language plpgsql as
             $$ begin insert into written default values; return null; end $$;
         create trigger written after insert or update on taskq.progress
             for each statement execute function written()",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..5 {
        SaysMuch::enqueue(&mut db, 2_500).await.expect("enqueued");
    }
    drain(worker(&pool).only::<(SaysMuch,)>(), &pool).await;
    // Each statement sets off the triggers of both its ways.
    let written: i64 = one(&pool, "select count(*) / 2 from written").await;
    assert!((2..=6).contains(&written), "{written} writes");
    let longest: (i64, i64, f64) = sqlx::query_as(
        "select count(*), max(octet_length(said))::bigint, min(fraction) from taskq.progress",
    )
    .fetch_one(&pool)
    .await
    .expect("what was said last");
    assert_eq!(longest, (5, 400, 1.0));
}

#[task(max_attempts = 1)]
async fn tells(attempt: &Attempt, #[secret] token: String) -> Result<(), String> {
    attempt.progress(0.1, format!("with {token}"));
    Err("no luck".into())
}

#[tokio::test]
async fn what_an_attempt_says_of_a_secret_is_not_written() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Tells::enqueue(&mut db, crate::secrets::CANARY.into()).await;
    drain(worker(&pool).only::<(Tells,)>(), &pool).await;
    let said: String = one(&pool, "select said from taskq.progress").await;
    assert_eq!(said, "with ***");
    let shown = taskq::operate(&pool)
        .show(task.expect("enqueued").task_id)
        .await;
    assert_clean("show", &format!("{shown:?}"));
}

#[tokio::test]
async fn two_workers_write_each_of_their_own_tasks() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for image in 1..=60 {
        Resize::enqueue(&mut db, image).await.expect("enqueued");
    }
    let one_worker = || worker(&pool).state(pool.clone()).only::<(Resize,)>();
    while_working(one_worker(), async {
        while_working(one_worker(), async {
            let both = "select count(distinct worker_id) = 2 from taskq.progress";
            until("said by both", async || one(&pool, both).await).await;
            let others = "select count(*) from taskq.progress
                          join taskq.tasks using (task_id)
                          where said <> 'image ' || task_id or tasks.worker_id <> progress.worker_id";
            assert_eq!(one::<i64>(&pool, others).await, 0);
            execute(&pool, "create table go ()").await;
            until("done", async || states(&pool).await.is_empty()).await;
        })
        .await;
    })
    .await;
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.progress").await,
        0
    );
}

#[tokio::test]
async fn progress_of_tasks_that_are_nowhere_is_deleted_and_no_other() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'a' from generate_series(1, 3);
         insert into taskq.progress
         select n, 1, gen_random_uuid(), null, 'n', now() - make_interval(mins => 2 * (n < 9)::int)
         from generate_series(1, 10) as n;
         update taskq.task set run_at = now() + interval '1 day';
         with gone as (delete from taskq.task where task_id = 2 returning *)
         insert into taskq.dead (task_id, task_type, payload_version, payload, queue, priority, created_at, max_attempts, attempts, crashes, state)
         select task_id, task_type, payload_version, payload, queue, priority, created_at, max_attempts, attempts, crashes, 'discarded' from gone;
         with gone as (delete from taskq.task where task_id = 3 returning *)
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors, metadatas)
         select gen_random_uuid(), gen_random_uuid(), 'default', now() + interval '1 minute', array_agg(task_id), array_agg(task_type), array_agg(payload_version), array_agg(payload), array_agg(priority), array_agg(run_at), array_agg(created_at), array_agg(max_attempts), array_agg(attempts), array_agg(crashes), array_agg(errors), array_agg(metadata) from gone",
    )
    .await;
    let step = "select taskq.prune_progress(5, 3)";
    assert_eq!(one::<Option<i64>>(&pool, step).await, Some(8));
    let left = "select array_agg(task_id order by task_id) from taskq.progress";
    assert_eq!(one::<Vec<i64>>(&pool, left).await, [1, 2, 3, 4, 5, 9, 10]);
    assert_eq!(
        one::<Option<i64>>(&pool, "select taskq.prune_progress(0, 100)").await,
        Some(10)
    );
    // What is young may be about a task that somebody moves just now.
    assert_eq!(one::<Vec<i64>>(&pool, left).await, [1, 2, 3, 9, 10]);
    let end = "select taskq.prune_progress(10, 100)";
    assert_eq!(one::<Option<i64>>(&pool, end).await, None);
}
