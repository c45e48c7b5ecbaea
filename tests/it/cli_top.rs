//! `top` in a real terminal: a pseudo-terminal that Python makes, since it has one in its library.

use std::process::Stdio;

use sqlx::PgPool;
use taskq::testing::Database;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cli::said;
use crate::support::{LIMIT, database, execute, one};

/// Runs a program in a terminal, and presses keys once the screen shows a text.
const IN_A_TERMINAL: &str = include_str!("terminal.py");

/// Returns the last screen, once the program has ended well; `None` where there is no Python.
pub(crate) async fn in_a_terminal(
    database: &Database,
    arguments: &str,
    steps: &[&str],
) -> Option<String> {
    let output = Command::new("python3")
        .args([
            "-c",
            IN_A_TERMINAL,
            env!("CARGO_BIN_EXE_operated"),
            arguments,
        ])
        .args(steps)
        .env("DATABASE_URL", database.url())
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match timeout(LIMIT * 2, output).await.expect("it ends in time") {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: there is no python3 here: {error}");
            return None;
        }
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{err}\n{out}");
    assert!(
        out.contains("<restored>"),
        "the terminal is as before: {out}"
    );
    Some(out)
}

async fn some(pool: &PgPool) {
    execute(
        pool,
        "insert into taskq.task (task_type, queue)
         select 'send_card', 'mail' from generate_series(1, 3);
         insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state)
         select 1000 + n, 'send_card', '{}', 'mail', 0, now(), 3, 0,
             '[{\"attempt\": 3, \"at\": \"2026-01-01T00:00:00Z\", \"error\": \"timed out\"}]', 'discarded'
         from generate_series(1, 20) as n",
    )
    .await;
}

#[tokio::test]
async fn a_queue_is_paused_and_a_cause_retried_from_a_terminal() {
    let (database, pool) = database().await;
    some(&pool).await;
    let steps = [
        "send_card",
        "p",
        "Pause queue mail",
        "SMTP is down\\r",
        "queue mail is paused",
        "\\t\\t",
        "timed out",
        "r",
        "Retry 20 tasks?",
        "y",
        "20 done",
        "q",
    ];
    let Some(screen) = in_a_terminal(&database, "top --as-user ada", &steps).await else {
        return;
    };
    assert!(screen.contains("database taskq_test"), "{screen}");
    let paused: String = one(
        &pool,
        "select name || ' ' || by || ' ' || reason from taskq.pause",
    )
    .await;
    assert_eq!(paused, "mail ada SMTP is down");
    let waiting: i64 = one(&pool, "select count(*) from taskq.task").await;
    assert_eq!(waiting, 23);
}

#[tokio::test]
async fn what_the_doctor_says_is_done_from_a_terminal() {
    let (database, pool) = database().await;
    some(&pool).await;
    execute(
        &pool,
        "select taskq.limit_concurrency('queue', 'mail', 0, 'too many')",
    )
    .await;
    let steps = [
        "errors",
        "w/nothing\\r",
        "is limited to nothing",
        "m",
        "Reset the limit of queue mail?",
        "it was a mistake\\r",
        "is limited as programs declare",
        "q",
    ];
    if in_a_terminal(&database, "top", &steps).await.is_none() {
        return;
    }
    let limits: i64 = one(&pool, "select count(*) from taskq.limits where most = 0").await;
    assert_eq!(limits, 0);
    let why: String = one(
        &pool,
        "select reason from taskq.audit where verb = 'reset limits' and name = 'mail'",
    )
    .await;
    assert_eq!(why, "it was a mistake");
}

#[tokio::test]
async fn where_nothing_may_change_the_screen_changes_nothing() {
    let (database, pool) = database().await;
    some(&pool).await;
    let steps = ["send_card", "p", "nothing may change here", "q"];
    let Some(screen) = in_a_terminal(&database, "top --read-only", &steps).await else {
        return;
    };
    assert!(screen.contains("read-only"), "{screen}");
    let paused: i64 = one(&pool, "select count(*) from taskq.pause").await;
    assert_eq!(paused, 0);
}

#[tokio::test]
async fn without_a_terminal_it_says_what_else_there_is() {
    let (database, _pool) = database().await;
    let (out, err, code) = said(&database, &["top"]).await;
    assert_eq!((out.as_str(), code), ("", Some(2)));
    assert!(err.contains("scripts read `stats --json`"), "{err}");
}
