//! The command line without a worker's binary, and within a program that has other commands.

use std::process::{Output, Stdio};

use taskq::testing::Database;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cli::target;
use crate::support::{LIMIT, database, execute, one};

fn mounted(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mounted"));
    command
        .args(arguments)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn alone(database: Option<&Database>, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = mounted(arguments);
    command.env("ALONE", "1");
    if let Some(database) = database {
        command.env("DATABASE_URL", database.url());
    }
    of(command).await
}

async fn of(mut command: Command) -> (String, String, Option<i32>) {
    let output = timeout(LIMIT, command.output()).await;
    let output: Output = output.expect("it ends in time").expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let code = output.status.code();
    (text(output.stdout), text(output.stderr), code)
}

#[tokio::test]
async fn alone_it_operates_what_it_has_no_types_of() {
    let (database, pool) = database().await;
    let run = async |arguments: &[&str]| {
        let (out, err, code) = alone(Some(&database), arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    };
    let enqueued = run(&["enqueue", "send_card", "{}", "--unchecked"]).await;
    assert_eq!(enqueued, "task 1 waits\n");
    assert!(run(&["list"]).await.contains("send_card"));
    run(&["pause", "queue", "mail"]).await;
    run(&["cancel", "1"]).await;
    let state: String = one(&pool, "select state from taskq.dead").await;
    assert_eq!(state, "cancelled");
    for absent in ["run", "check", "tasks"] {
        let (_, err, code) = alone(Some(&database), &[absent]).await;
        assert_eq!(code, Some(2), "{absent}");
        assert!(err.contains("unrecognized subcommand"), "{absent}: {err}");
    }
    let (_, err, code) = alone(Some(&database), &["enqueue", "send_card", "{}"]).await;
    assert_eq!(code, Some(1));
    assert!(
        err.contains("--unchecked takes the payload as it is"),
        "{err}"
    );
}

#[tokio::test]
async fn alone_it_is_told_the_database_and_the_schema() {
    let (database, pool) = database().await;
    let schema = taskq::Schema::named("other").expect("a name");
    schema.migrate(&pool).await.expect("migrated");
    execute(
        &pool,
        "insert into other.task (task_type) values ('elsewhere')",
    )
    .await;
    let url = database.url();
    for arguments in [
        &["--database-url", &url, "--schema", "other", "list"][..],
        &["list", "--schema", "other", "--database-url", &url],
    ] {
        let (out, err, code) = alone(None, arguments).await;
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("elsewhere"), "{out}");
    }
    for (arguments, says) in [
        (&["list"][..], "say which database: --database-url"),
        (
            &["list", "--database-url", "mysql://here"],
            "an address of a database is postgres://",
        ),
        (
            &["list", "--database-url", &url, "--schema", "Other"],
            "Other",
        ),
    ] {
        let (_, err, code) = alone(None, arguments).await;
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
    let (out, err, code) = alone(None, &["completions", "bash"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("skip-dead") && !out.contains("mounted__subcmd__run)"),
        "{out}"
    );
}

#[tokio::test]
async fn it_is_mounted_in_a_program_with_commands_of_its_own() {
    let (database, pool) = database().await;
    let shop = async |arguments: &[&str]| {
        let mut command = mounted(arguments);
        command.env("DATABASE_URL", database.url());
        of(command).await
    };
    let (out, err, code) = shop(&["tasks", "pause", "queue", "mail"]).await;
    assert_eq!((err, code), (target(&database).await, Some(0)), "{out}");
    let (_, err, code) = shop(&["tasks", "--read-only", "resume", "queue", "mail"]).await;
    assert_eq!(code, Some(2), "{err}");
    let paused: i64 = one(&pool, "select count(*) from taskq.pause").await;
    assert_eq!(paused, 1);
    let (_, err, code) = shop(&["tasks", "retry", "--all", "state:dead"]).await;
    assert_eq!(code, Some(2));
    let says = "mounted tasks retry --all state:dead --yes\n";
    assert!(err.ends_with(says), "{err}");
    assert_eq!(shop(&["serve"]).await.2, Some(0));
    let (out, _, _) = shop(&["tasks", "--help"]).await;
    assert!(out.contains("Usage: mounted tasks"), "{out}");
    // Those of the whole program are its own affair.
    assert!(!out.contains("completions"), "{out}");
}

#[tokio::test]
async fn shells_get_completions_that_they_understand() {
    for (shell, checks) in [
        ("bash", &["bash", "-n"][..]),
        ("zsh", &["zsh", "-n"]),
        ("fish", &["fish", "-n"]),
    ] {
        let (out, err, code) = alone(None, &["completions", shell]).await;
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("mounted") && out.contains("doctor"), "{out}");
        let path = std::env::temp_dir().join(format!("taskq-{}-{shell}", std::process::id()));
        std::fs::write(&path, out).expect("writable");
        let checked = std::process::Command::new(checks[0])
            .args(&checks[1..])
            .arg(&path)
            .output();
        std::fs::remove_file(&path).expect("removable");
        match checked {
            Ok(checked) => assert!(checked.status.success(), "{shell}: {checked:?}"),
            Err(error) => println!("skipped: there is no {shell} here: {error}"),
        }
    }
}
