//! What is kept of an attempt that failed: when it ran and in which worker, each level of its error, where it panicked.

use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use taskq::{Attempt, task};

use crate::process::Process;
use crate::support::{
    database, drain, execute, one, states, task as find, until, while_working, worker,
};

/// The errors of a task, as they are stored.
async fn errors(pool: &PgPool, task_id: i64) -> Vec<Value> {
    let row = find(pool, task_id).await.expect("kept");
    let errors = row.errors.expect("errors");
    errors.as_array().expect("an array").clone()
}

/// Works until all tasks have ended, however they fail.
async fn work_to_the_end(pool: &PgPool, worker: taskq::WorkerBuilder) {
    while_working(
        worker,
        until("ended", async || {
            execute(
                pool,
                "update taskq.task set run_at = now() where attempts > 0",
            )
            .await;
            let states = states(pool).await;
            !states.contains_key("waiting") && !states.contains_key("running")
        }),
    )
    .await;
}

#[task(max_attempts = 1)]
async fn fails() -> anyhow::Result<()> {
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    Err(anyhow::anyhow!("connection refused").context("cannot send"))
}

#[task(max_attempts = 1)]
async fn fails_in_tx(tx: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::query("select pg_sleep(0.05)").execute(tx).await?;
    Err(anyhow::anyhow!("connection refused").context("cannot send"))
}

#[tokio::test]
async fn a_failed_attempt_keeps_when_it_ran_in_which_worker_and_each_level_of_its_error() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let plain = Fails::enqueue(&mut db).await.expect("enqueued").task_id;
    let in_tx = FailsInTx::enqueue(&mut db).await.expect("enqueued").task_id;
    let before: String = one(&pool, "select now()::text").await;
    execute(&pool, "create table seen (worker_id uuid)").await;
    while_working(
        worker(&pool).only::<(Fails, FailsInTx)>(),
        until("ended", async || {
            execute(&pool, "insert into seen select worker_id from taskq.worker").await;
            states(&pool).await.get("discarded") == Some(&2)
        }),
    )
    .await;
    let worker_id: String = one(&pool, "select worker_id::text from seen limit 1").await;
    for task_id in [plain, in_tx] {
        let errors = errors(&pool, task_id).await;
        let error = &errors[0];
        assert_eq!(error["error"], "cannot send: connection refused");
        assert_eq!(
            error["chain"],
            serde_json::json!(["cannot send", "connection refused"])
        );
        assert_eq!(error["worker_id"], *worker_id);
        let is_between: bool = sqlx::query_scalar(
            "select $1::timestamptz - interval '1 second' < ($2 ->> 'started_at')::timestamptz
                and ($2 ->> 'ended_at')::timestamptz - ($2 ->> 'started_at')::timestamptz
                    between interval '50 ms' and interval '30 s'
                and ($2 ->> 'ended_at')::timestamptz <= ($2 ->> 'at')::timestamptz + interval '1 second'",
        )
        .bind(&before)
        .bind(error)
        .fetch_one(&pool)
        .await
        .expect("times");
        assert!(is_between, "{error}");
        assert!(error.get("panicked_at").is_none(), "{error}");
    }
    let shown = taskq::operate(&pool).show(plain).await.expect("answered");
    let shown = shown.expect("kept");
    assert_eq!(shown.errors[0].report.chain.len(), 2);
    assert_eq!(shown.errors[0].report.worker_id.as_ref(), Some(&worker_id));
}

#[task(max_attempts = 2)]
async fn looks_back(attempt: &Attempt) -> Result<(), String> {
    if let [earlier] = attempt.previous_errors() {
        let report = &earlier.report;
        let at = report.panicked_at.as_deref().expect("a place");
        assert!(
            at.starts_with(file!()) && at.split(':').count() == 3,
            "{at}"
        );
        let took = report.ended_at.expect("an end") - report.started_at.expect("a start");
        assert!(took.num_milliseconds() >= 0);
        assert!(report.thread.is_some() && report.worker_id.is_some() && report.chain.is_empty());
        return Ok(());
    }
    panic!("out of paper")
}

#[tokio::test]
async fn the_next_attempt_reads_where_the_last_one_panicked() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    LooksBack::enqueue(&mut db).await.expect("enqueued");
    work_to_the_end(&pool, worker(&pool).only::<(LooksBack,)>()).await;
    let dead: Option<String> = one(&pool, "select min(errors::text) from taskq.dead").await;
    assert_eq!(dead, None);
}

#[task(max_attempts = 60)]
async fn fails_for_long() -> anyhow::Result<()> {
    Err(anyhow::anyhow!("y".repeat(10_000)).context("x".repeat(10_000)))
}

#[tokio::test]
async fn what_is_long_stays_with_the_last_three_attempts_and_is_bounded() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = FailsForLong::enqueue(&mut db).await.expect("enqueued");
    work_to_the_end(&pool, worker(&pool).only::<(FailsForLong,)>()).await;
    let errors = errors(&pool, task.task_id).await;
    assert_eq!(errors.len(), 50);
    assert_eq!(errors[49]["attempt"], 60);
    let chains: Vec<usize> = (errors.iter())
        .map(|error| {
            error["chain"].as_array().map_or(0, |chain| {
                chain.iter().filter_map(Value::as_str).map(str::len).sum()
            })
        })
        .collect();
    assert_eq!(chains[..47], [0; 47]);
    assert_eq!(chains[47..], [4_000; 3]);
    assert!(errors.iter().all(|error| error["started_at"].is_string()));
    // Postgres has more to say of an error than its text: it is counted after a crash as it is before.
    execute(
        &pool,
        "create table told as select taskq.with_error(taskq.with_error(errors, 61, 'its worker vanished'), 62, 'again') as errors from taskq.dead",
    )
    .await;
    let with_chain =
        "select count(*) from told, jsonb_array_elements(errors) as error where error ? 'chain'";
    assert_eq!(one::<i64>(&pool, with_chain).await, 1);
}

#[task(max_attempts = 1)]
async fn succeeds(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select 1").execute(tx).await.map(drop)
}

#[tokio::test]
async fn the_cause_of_an_error_stays_the_same_whatever_else_is_known_of_it() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Fails::enqueue(&mut db).await.expect("enqueued");
    Succeeds::enqueue(&mut db).await.expect("enqueued");
    drain(worker(&pool).only::<(Fails, Succeeds)>(), &pool).await;
    let is_same: bool = one(
        &pool,
        "select cause = taskq.cause_of(
             task_type, state, jsonb_build_array(jsonb_build_object('error', errors -> -1 ->> 'error'))
         ) from taskq.dead",
    )
    .await;
    assert!(is_same);
}

#[tokio::test]
async fn a_database_that_cannot_hold_the_details_keeps_the_error_without_them() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Fails::enqueue(&mut db).await.expect("enqueued");
    execute(
        &pool,
        "alter table taskq.dead add constraint no_chains check (not coalesce(errors -> -1 ? 'chain', false))",
    )
    .await;
    drain(worker(&pool).only::<(Fails,)>(), &pool).await;
    let errors = errors(&pool, task.task_id).await;
    assert_eq!(errors[0]["error"], "cannot send: connection refused");
    assert!(errors[0].get("chain").is_none());
    assert_eq!(states(&pool).await["discarded"], 1);
}

#[tokio::test]
async fn the_frames_of_a_panic_and_of_an_error_are_kept_where_the_process_captures_them() {
    let (database, pool) = database().await;
    for how in ["panic", "fail"] {
        let payload = serde_json::json!({ "how": how });
        let insert =
            sqlx::query("insert into taskq.task (task_type, payload) values ('ends_badly', $1)");
        insert.bind(payload).execute(&pool).await.expect("enqueued");
    }
    // Finding the frames takes its processor long. Nobody is to take it for dead meanwhile.
    let variables = [("RUST_BACKTRACE", "1"), ("LEASE_MS", "30000")];
    let start = || Process::start_with(&database.url(), &variables);
    let _workers = [start(), start()];
    until("discarded", async || {
        execute(
            &pool,
            "update taskq.task set run_at = now() where attempts > 0",
        )
        .await;
        states(&pool).await.get("discarded") == Some(&2)
    })
    .await;
    for task_id in [1, 2] {
        let errors = errors(&pool, task_id).await;
        assert_eq!(errors.len(), 5, "{errors:#?}");
        for (place, error) in errors.iter().enumerate() {
            assert!(error["worker_id"].is_string(), "{error}");
            let frames = error["backtrace"].as_str();
            assert_eq!(frames.is_some(), place >= 2, "{place}: {error}");
            let Some(frames) = frames else { continue };
            assert!(frames.len() <= 8_000);
            assert!(
                frames.contains("ends_badly") || frames.contains("out_of_paper"),
                "{frames}"
            );
            assert!(!frames.contains("taskq::worker"), "{frames}");
            if task_id == 1 {
                let first = frames.lines().next().unwrap_or_default();
                assert!(first.contains("out_of_paper"), "{frames}");
            }
        }
    }
    let panicked: String = one(
        &pool,
        "select errors -> -1 ->> 'panicked_at' from taskq.dead where task_id = 1",
    )
    .await;
    assert!(
        panicked.starts_with("tests/src/bin/worker.rs:"),
        "{panicked}"
    );
}
