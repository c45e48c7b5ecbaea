//! The command line of a worker's binary.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use taskq::testing::Database;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{LIMIT, database, one, terminate};

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_operated"));
    command
        .args(arguments)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

pub(crate) async fn output(arguments: &[&str]) -> Output {
    let output = program(arguments).output();
    let output = timeout(LIMIT, output).await.expect("it ends in time");
    output.expect("it runs")
}

/// A file of its own, removed afterwards.
struct File(PathBuf);

impl File {
    fn named(name: &str) -> Self {
        let name = format!("taskq-{}-{name}.json", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    fn read(&self) -> Value {
        let text = std::fs::read_to_string(&self.0).expect("readable");
        serde_json::from_str(&text).expect("JSON")
    }

    fn write(&self, value: &Value) {
        std::fs::write(&self.0, value.to_string()).expect("writable");
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // A test that failed before it was written has its own message.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn tasks_are_listed_without_a_database() {
    let output = output(&["tasks"]).await;
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    for line in [
        "queue: mail, priority: 0",
        "aliases: post_card",
        "attempts: 25, timeout: 30s, at least once",
        "attempts: 25, timeout: 3600s, transactional",
        "version: 2, reads from 1",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(text.contains(r#""usr_id""#), "{text}");
}

#[tokio::test]
async fn a_change_that_strands_rows_is_refused_with_the_rule_and_the_way_out() {
    let file = File::named("refused");
    assert!(
        output(&["tasks", "--lock", file.path()])
            .await
            .status
            .success()
    );
    let lock = file.read();
    let card = |change: fn(&mut Value)| {
        let mut lock = lock.clone();
        change(&mut lock["tasks"]["send_card"]);
        lock
    };
    // Each is what the program before might have had.
    for (before, rule, way_out) in [
        (
            {
                let mut lock = lock.clone();
                lock["tasks"]["send_sms"] = lock["tasks"]["send_card"].clone();
                lock
            },
            "`send_sms`: task type gone",
            "alias = \"send_sms\"",
        ),
        (
            card(|it| it["aliases"] = json!(["post_card", "greet"])),
            "`send_card`: alias `greet` gone",
            "Keep the alias",
        ),
        (
            card(|it| it["payload"]["properties"]["to"] = json!({"type": "string"})),
            "`send_card`: field removed: `to`",
            "#[serde(alias = \"to\")]",
        ),
        (
            card(|it| it["payload"]["required"] = json!([])),
            "`send_card`: field required: `usr_id`",
            "#[serde(default)]",
        ),
        (
            card(|it| it["payload"]["properties"]["usr_id"] = json!({"type": "string"})),
            "`send_card`: type changed: `usr_id` was string and is integer (int64)",
            "raise `version`",
        ),
        (
            card(|it| it["version"] = json!(2)),
            "`send_card`: version lowered from 2 to 1",
            "Raise `version` to 3",
        ),
        (
            {
                let mut lock = lock.clone();
                lock["tasks"]["purge"]["version"] = json!(1);
                lock["tasks"]["purge"]["payload"] = json!({"type": "string"});
                lock
            },
            "`purge`: older version changed: `.` is string in rows of version 1",
            "Give the field its old type there",
        ),
        (
            {
                let mut lock = lock.clone();
                lock["tasks"]["purge"]["oldest_version"] = json!(0);
                lock
            },
            "`purge`: version 0 not read any more",
            "`upgrade`",
        ),
    ] {
        file.write(&before);
        let output = output(&["tasks", "--check", file.path()]).await;
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{rule}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains(rule) && text.contains(way_out),
            "{rule} in {text}"
        );
    }
}

#[tokio::test]
async fn schedules_that_change_or_are_gone_are_named_and_refuse_nothing() {
    let file = File::named("schedules");
    let lock = output(&["tasks", "--lock", file.path()]).await;
    assert!(lock.status.success(), "{lock:?}");
    let mut before = file.read();
    let schedules = &mut before["tasks"]["nightly"]["schedules"];
    assert!(schedules["nightly"].is_string(), "{schedules}");
    *schedules = json!({"nightly": "0 1 * * * UTC", "yearly": "0 0 1 1 * UTC"});
    file.write(&before);
    let check = output(&["tasks", "--check", file.path()]).await;
    assert!(check.status.success(), "{check:?}");
    let text = String::from_utf8(check.stdout).expect("text");
    for said in [
        "schedule `nightly` changes: it was `0 1 * * * UTC` and is `0 2 * * * ",
        "schedule `yearly` is gone: it was `0 0 1 1 * UTC`.",
    ] {
        assert!(text.contains(said), "{text}");
    }
}

#[tokio::test]
async fn harmless_changes_pass() {
    let file = File::named("passes");
    assert!(
        output(&["tasks", "--lock", file.path()])
            .await
            .status
            .success()
    );
    let said = async || {
        let output = output(&["tasks", "--check", file.path()]).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(said().await.starts_with("nothing has changed"));

    let lock = file.read();
    for (what, change) in [
        (
            "a further task type",
            (|it| _ = it.as_object_mut().expect("tasks").remove("purge")) as fn(&mut Value),
        ),
        ("another queue", |it| {
            it["send_card"]["queue"] = json!("cards")
        }),
        ("a field renamed, with an alias", |it| {
            let properties = &mut it["send_card"]["payload"]["properties"];
            properties["lang"] = properties["locale"].take();
            properties.as_object_mut().expect("fields").remove("locale");
        }),
        ("a field that is not required", |it| {
            let properties = &mut it["send_card"]["payload"]["properties"];
            properties.as_object_mut().expect("fields").remove("locale");
        }),
        ("a version with its upgrade", |it| {
            it["purge"]["version"] = json!(1);
            it["purge"]["payload"] = it["purge"]["older"]["1"].take();
            it["purge"].as_object_mut().expect("a task").remove("older");
        }),
    ] {
        let mut before = lock.clone();
        change(&mut before["tasks"]);
        file.write(&before);
        let said = said().await;
        assert!(said.starts_with("no change since"), "{what}: {said}");
    }
}

#[tokio::test]
async fn a_missing_lock_says_how_to_write_the_first() {
    let file = File::named("missing");
    let output = output(&["tasks", "--check", file.path()]).await;
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("`tasks --lock"), "{text}");
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_refused() {
    assert_eq!(output(&["dance"]).await.status.code(), Some(2));
    assert_eq!(output(&[]).await.status.code(), Some(2));
    assert_eq!(output(&["--help"]).await.status.code(), Some(0));
}

#[tokio::test]
async fn migrate_makes_the_tables_and_run_works() {
    let (database, pool) = database().await;
    crate::support::execute(&pool, "drop schema taskq cascade").await;
    let url = database.url();
    let migrated = program(&["migrate"])
        .env("DATABASE_URL", &url)
        .output()
        .await;
    assert!(migrated.expect("it runs").status.success());
    crate::support::execute(
        &pool,
        r#"insert into taskq.task (task_type, queue, payload)
           values ('send_card', 'mail', '{"usr_id": 7, "lang": "de"}')"#,
    )
    .await;
    let mut running = program(&["run"])
        .env("DATABASE_URL", &url)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(running.stdout.take().expect("its output")).lines();
    let line = timeout(LIMIT, lines.next_line()).await.expect("in time");
    assert_eq!(
        line.expect("readable").as_deref(),
        Some(r#"card to 7 in Some("de")"#)
    );
    terminate(&running);
    let ended = timeout(LIMIT, running.wait()).await.expect("in time");
    assert!(ended.expect("it ended").success());
    let left: i64 = one(&pool, "select count(*) from taskq.tasks").await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn run_ends_though_a_handler_blocks_a_thread_that_nobody_can_stop() {
    let (database, pool) = database().await;
    crate::support::execute(
        &pool,
        r#"insert into taskq.task (task_type, queue, payload)
           values ('send_card', 'mail', '{"usr_id": 7, "lang": "slow"}')"#,
    )
    .await;
    let mut running = program(&["run"])
        .env("DATABASE_URL", database.url())
        .env("NO_GRACE", "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(running.stdout.take().expect("its output")).lines();
    let line = timeout(LIMIT, lines.next_line()).await.expect("in time");
    assert!(line.expect("readable").is_some());
    terminate(&running);
    let ended = timeout(LIMIT, running.wait()).await.expect("in time");
    assert!(ended.expect("it ended").success());
    let left: String = one(&pool, "select state || ' ' || attempts from taskq.tasks").await;
    assert_eq!(left, "waiting 0");
}

#[tokio::test]
async fn run_says_what_is_wrong() {
    let (database, pool) = database().await;
    crate::support::execute(&pool, "drop schema taskq cascade").await;
    let output = program(&["run"])
        .env("DATABASE_URL", database.url())
        .output()
        .await
        .expect("it runs");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("run `taskq::migrate(&pool)` first"), "{text}");
}

/// Returns what the program writes, to standard output and to standard error, and its exit code.
pub(crate) async fn said(database: &Database, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = program(arguments);
    let output = command.env("DATABASE_URL", database.url()).output();
    let output = timeout(LIMIT, output).await.expect("it ends in time");
    let output = output.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

/// Returns what a command says before it changes something.
pub(crate) async fn target(database: &Database) -> String {
    let pool = database.pool();
    let options = pool.connect_options();
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let (user, name) = (options.get_username(), options.get_database());
    let name = name.unwrap_or(user);
    format!("database {name} on {place} as {user}, schema taskq\n")
}
