//! Handlers that block their threads, and those that run for long in a transaction: what is told of them.

use std::process::{Command, Stdio};
use std::time::Duration;

use taskq::{Attempt, LazyTx, task};
use tokio::time::sleep;

use crate::process::Process;
use crate::secrets::Lines;
use crate::support::{database, execute, one, states, until, while_working, worker};

/// Blocks its thread, not in a way that the runtime knows.
#[task]
async fn blocks(attempt: &Attempt, ms: u64) {
    attempt.progress(0.25, "counting sheep");
    // So that it is written; and not when a heartbeat is due, which would wait on the thread that is blocked.
    sleep(Duration::from_millis(1_850)).await;
    std::thread::sleep(Duration::from_millis(ms));
    sleep(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_handler_that_blocks_its_thread_is_told_within_a_minute_and_no_more_when_it_goes_on() {
    let (_database, pool) = database().await;
    let (lines, _guard) = Lines::capture();
    let mut db = pool.acquire().await.expect("a connection");
    let task = Blocks::enqueue(&mut db, 16_000).await.expect("enqueued");
    // Heartbeats every one and a half seconds.
    let worker = worker(&pool).lease(Duration::from_secs(6));
    while_working(worker.only::<(Blocks,)>(), async {
        let operator = taskq::operate(&pool);
        until("told", async || {
            !operator.stuck().await.expect("answered").is_empty()
        })
        .await;
        let stuck = operator.stuck().await.expect("answered").remove(0);
        assert_eq!(stuck.task_id, task.task_id);
        assert_eq!(
            (stuck.task_type.as_str(), stuck.usual_seconds),
            ("blocks", None)
        );
        let thread = stuck.thread.expect("a thread");
        let doing = stuck.doing.expect("what it does");
        assert!(
            doing.starts_with(&format!("it has blocked the thread {thread} for 1"))
                && doing.ends_with(" ago: 25 %, counting sheep"),
            "{doing}"
        );
        let why = operator
            .why(task.task_id)
            .await
            .expect("answered")
            .remove(0);
        assert_eq!(why.reason, "perhaps stuck");
        assert!(why.said.contains(&doing[..40]), "{why:?}");
        let ailments = operator.doctor().await.expect("answered");
        let stuck = ailments
            .iter()
            .find(|it| it.problem == "perhaps stuck")
            .expect("told");
        assert!(stuck.said.contains(&thread), "{stuck:?}");
        assert!(stuck.advice.contains("spawn_blocking"), "{stuck:?}");
        assert_eq!(stuck.command, None);
        let text = lines.text();
        let line = text
            .lines()
            .find(|line| line.contains("blocks its thread, and"));
        let line = line.expect("in the log");
        assert!(
            line.contains("task_type=\"blocks\"")
                && line.contains(&thread)
                && line.contains("counting sheep"),
            "{line}"
        );
        until("over", async || {
            states(&pool).await.is_empty()
                && one::<bool>(&pool, "select not exists (select from taskq.watched)").await
        })
        .await;
    })
    .await;
    assert!(lines.text().contains("blocks its thread no more"));
}

#[task]
async fn waits_lazily(tx: &mut LazyTx) -> anyhow::Result<()> {
    sleep(Duration::from_millis(1_500)).await;
    let tx = tx.begin().await?;
    sqlx::query("select pg_sleep(100), 'begun late'")
        .execute(tx)
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_query_of_an_attempt_is_that_of_the_session_which_its_worker_names() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    WaitsLazily::enqueue(&mut db).await.expect("enqueued");
    // So that it is known how long its type takes.
    execute(
        &pool,
        "insert into taskq.minute values (date_trunc('minute', now()), 'default', 'waits_lazily', 20, 0, 0, '{20}', '{20}')",
    )
    .await;
    let doing = async || {
        execute(
            &pool,
            "update taskq.lease set claimed_at = claimed_at - interval '1 hour' where claimed_at > now() - interval '1 hour'",
        )
        .await;
        let stuck = taskq::operate(&pool).stuck().await.expect("answered");
        stuck.into_iter().find_map(|it| it.doing)
    };
    let working = worker(&pool).lease(Duration::from_secs(6));
    while_working(working.only::<(WaitsLazily,)>(), async {
        let begun = "select exists (select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep')";
        until("begun", async || one(&pool, begun).await).await;
        assert_eq!(
            doing().await,
            None,
            "its transaction did not begin with the attempt"
        );
        // Once it has run for twenty seconds.
        until("named", async || doing().await.is_some()).await;
        let doing = doing().await.expect("what it does");
        assert!(
            doing.contains("whose transaction it has") && doing.contains("begun late"),
            "{doing}"
        );
        execute(&pool, "select pg_cancel_backend(backend) from taskq.watched").await;
    })
    .await;
}

#[tokio::test]
async fn where_all_threads_are_blocked_the_log_says_so_meanwhile_and_another_worker_goes_on() {
    let (database, pool) = database().await;
    // One thread for all: the runtime of `operated` would have several.
    let child = Command::new(env!("CARGO_BIN_EXE_worker"))
        .env("DATABASE_URL", database.url())
        .env("GRACE_MS", "0")
        .env("TOKIO_WORKER_THREADS", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let blocked = Process::of(child);
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) values ('stands_still', '{\"ms\": 60000}')",
    )
    .await;
    let (_blocked, line) = blocked.line_of_stderr("blocks its thread, and").await;
    assert!(line.contains("stands_still"), "{line}");
    assert!(line.contains("its leases will run out"), "{line}");
    // Its lease of two seconds has ended.
    let other = Process::start(&database.url(), Duration::ZERO);
    until("rescued", async || {
        one::<bool>(
            &pool,
            "select exists (select from taskq.tasks where task_type = 'stands_still' and crashes = 1)",
        )
        .await
    })
    .await;
    drop(other);
}
