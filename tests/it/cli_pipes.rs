//! The command line where nobody reads what it prints, and where it cannot be written.

use std::fs::OpenOptions;
use std::io::pipe;
use std::process::Stdio;

use sqlx::query_scalar;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cli::program;
use crate::support::{LIMIT, database, execute, one};

/// Commands of each kind, and with which code they end.
const COMMANDS: [(&[&str], i32); 31] = [
    (&["list"], 0),
    (&["list", "--json"], 0),
    (&["list", "state:nowhere"], 1),
    (&["causes"], 0),
    (&["causes", "--json"], 0),
    (&["show", "1"], 0),
    (&["show", "1", "--json"], 0),
    (&["show", "12345"], 1),
    (&["stats"], 0),
    (&["minutes"], 0),
    (&["load", "default"], 0),
    (&["workers"], 0),
    (&["audit"], 0),
    (&["pauses"], 0),
    (&["limits"], 0),
    (&["weights"], 0),
    (&["keeps"], 0),
    (&["blocked"], 0),
    (&["groups"], 0),
    (&["schedules"], 0),
    (&["cron", "next", "* * * * *", "-n", "50"], 0),
    (&["tasks"], 0),
    (&["check"], 1),
    (&["doctor"], 1),
    (&["migrate", "list"], 0),
    (&["migrate", "print", "--from", "1"], 0),
    (&["completions", "bash"], 0),
    (&["--help"], 0),
    (&["nonsense"], 2),
    (&["pause", "queue", "mail"], 0),
    (&["bulk", "list"], 0),
];

#[tokio::test]
async fn a_command_of_which_nobody_reads_the_rest_ends_as_if_somebody_did() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'unknown' from generate_series(1, 300)",
    )
    .await;
    for (arguments, expected) in COMMANDS {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let ended = program(arguments)
            .env("DATABASE_URL", database.url())
            .stdout(writer.try_clone().expect("a pipe"))
            .stderr(writer)
            .status();
        let ended = timeout(LIMIT, ended).await.expect("it ends in time");
        let code = ended.expect("it runs").code();
        assert_eq!(code, Some(expected), "{arguments:?}");
    }
    // What was to be changed is changed to the end.
    let ids: Vec<String> =
        query_scalar("select task_id::text from taskq.task order by task_id limit 40")
            .fetch_all(&pool)
            .await
            .expect("readable");
    let mut arguments = vec!["cancel"];
    arguments.extend(ids.iter().map(String::as_str));
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let ended = program(&arguments)
        .env("DATABASE_URL", database.url())
        .stdout(writer)
        .stderr(Stdio::null())
        .status();
    assert!(ended.await.expect("it runs").success());
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.dead").await,
        40
    );
}

#[tokio::test]
async fn a_list_is_read_by_head() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) select 'unknown', to_jsonb(repeat('x', 1000)) from generate_series(1, 1000)",
    )
    .await;
    let shell =
        r#"set -o pipefail; "$TASKQ" list --most 1000 --json | head -n 1; echo "${PIPESTATUS[*]}""#;
    let output = Command::new("bash")
        .args(["-c", shell])
        .env("TASKQ", env!("CARGO_BIN_EXE_operated"))
        .env("DATABASE_URL", database.url())
        .output();
    let output = output.await.expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "{\n0 0\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test]
async fn what_cannot_be_written_is_said() {
    let (database, _pool) = database().await;
    let full = OpenOptions::new().write(true).open("/dev/full");
    let output = program(&["stats"])
        .env("DATABASE_URL", database.url())
        .stdout(full.expect("a full disk"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs")
        .wait_with_output();
    let output = output.await.expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        err.contains("error: cannot write to standard output: No space left"),
        "{err}"
    );
    assert_eq!(output.status.code(), Some(1));
}
