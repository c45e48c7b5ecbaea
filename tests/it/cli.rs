//! The command line of a worker's binary.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use taskq::testing::Database;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{LIMIT, database, execute, leave_behind, one, terminate};

fn program(arguments: &[&str]) -> Command {
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

#[tokio::test]
async fn the_command_line_pauses_lists_and_resumes() {
    let (database, _pool) = database().await;
    let run = async |arguments: &[&str]| {
        let (out, err, code) = said(&database, arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    };
    assert_eq!(run(&["pauses"]).await, "nothing is paused\n");
    let mail = [
        "pause",
        "queue",
        "mail",
        "--because",
        "SMTP is down",
        "--as-user",
        "ada",
    ];
    let paused = "queue mail is paused: nothing more starts, and what runs goes on\n";
    assert_eq!(run(&mail).await, paused);
    let again = run(&[
        "pause",
        "queue",
        "mail",
        "--until",
        "2999-01-01T00:00:00+01:00",
    ])
    .await;
    assert!(
        again.contains("\nbefore: queue mail paused since "),
        "{again}"
    );
    run(&["pause", "type", "send_card"]).await;
    let list = run(&["pauses"]).await;
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains(" until 2998-12-31T23:00:00Z\n"), "{list}");
    let listed: Value = serde_json::from_str(&run(&["pauses", "--json"]).await).expect("JSON");
    assert_eq!(listed[1]["scope"], json!("task_type"));
    assert_eq!(listed[1]["name"], json!("send_card"));
    for field in ["since", "by", "reason", "until"] {
        assert!(listed[1].get(field).is_some(), "{field}: {listed}");
    }
    let resumed = run(&["resume", "queue", "mail"]).await;
    assert!(
        resumed.starts_with("queue mail is resumed\nbefore: "),
        "{resumed}"
    );
    assert_eq!(
        run(&["resume", "queue", "mail"]).await,
        "queue mail was not paused\n"
    );
    run(&["resume", "type", "send_card"]).await;
    assert_eq!(run(&["pauses", "--json"]).await, "[]\n");

    for (arguments, code, says) in [
        (&["pause", "queue", ""][..], 1, "has 1 to 200 bytes"),
        (
            &["pause", "queue", "mail", "--until", "2020-01-01T00:00:00Z"],
            1,
            "would be over already",
        ),
        (
            &["pause", "queue", "mail", "--until", "tomorrow"],
            2,
            "with its zone",
        ),
        (&["pause", "mail"], 2, "unrecognized subcommand"),
        (&["pause", "queue"], 2, "NAME"),
    ] {
        let (_, err, found) = said(&database, arguments).await;
        assert_eq!(found, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn a_pause_on_the_command_line_says_how_much_still_runs() {
    let (database, pool) = database().await;
    let enqueue = "insert into taskq.task (task_type, queue) select 'send_card', 'mail' from generate_series(1, 3)";
    execute(&pool, enqueue).await;
    leave_behind(&pool).await;
    execute(
        &pool,
        "update taskq.lease set queue = 'mail', done = task_ids[1:1]",
    )
    .await;
    for (scope, name, says) in [
        ("queue", "mail", "up to 2 of its tasks still run\n"),
        ("type", "send_card", "up to 2 of its tasks still run\n"),
        ("queue", "other", ""),
    ] {
        let (out, err, code) = said(&database, &["pause", scope, name]).await;
        assert_eq!(code, Some(0), "{err}");
        let (_, rest) = out.split_once('\n').expect("a line");
        assert_eq!(rest, says, "{scope} {name}: {out}");
    }
}

#[tokio::test]
async fn the_command_line_limits_lists_and_resets() {
    let (database, _pool) = database().await;
    let run = async |arguments: &[&str]| {
        let (out, err, code) = said(&database, arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    };
    assert_eq!(run(&["limits"]).await, "nothing is limited\n");
    let mail = ["limit", "queue", "mail", "--concurrency", "5"];
    let with = [
        "--rate",
        "100/min",
        "--burst",
        "20",
        "--because",
        "slow",
        "--as-user",
        "ada",
    ];
    let mail: Vec<&str> = mail.into_iter().chain(with).collect();
    assert_eq!(run(&mail).await, "limited; what runs goes on\n");
    let list = run(&["limits"]).await;
    assert!(
        list.starts_with("queue mail: 5 at once, by ada since "),
        "{list}"
    );
    assert!(
        list.contains("queue mail: 100 in 60s, 20 of them at once, by ada"),
        "{list}"
    );
    let listed: Value = serde_json::from_str(&run(&["limits", "--json"]).await).expect("JSON");
    assert_eq!(listed[0]["in_force"], json!({"concurrency": 5}));
    assert_eq!(listed[0]["overridden"]["reason"], json!("slow"));
    let again = run(&["limit", "queue", "mail", "--concurrency", "0"]).await;
    assert!(again.contains("\nbefore: queue mail: 5 at once"), "{again}");
    let reset = run(&["reset-limits", "queue", "mail"]).await;
    assert_eq!(reset.lines().count(), 2, "{reset}");
    assert_eq!(run(&["limits", "--json"]).await, "[]\n");
    let none = run(&["reset-limits", "type", "send_card"]).await;
    assert_eq!(
        none,
        "task type send_card: nobody has overridden its limits\n"
    );

    for (arguments, code, says) in [
        (&["limit", "queue", "mail"][..], 1, "say how"),
        (
            &["limit", "key", "send_card", "--concurrency", "1"],
            1,
            "declares no limit by key",
        ),
        (
            &["limit", "queue", "mail", "--rate", "fast"],
            2,
            "such as 100/min",
        ),
        (&["limit", "queue", "mail", "--burst", "5"], 2, "--rate"),
    ] {
        let (_, err, found) = said(&database, arguments).await;
        assert_eq!(found, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn the_command_line_cancels_retries_and_discards() {
    let (database, pool) = database().await;
    let tasks = "insert into taskq.task (task_type) select 'a' from generate_series(1, 3)";
    sqlx::query(tasks).execute(&pool).await.expect("enqueued");
    let run = async |arguments: &[&str]| said(&database, arguments).await;
    let why = ["--because", "wrong", "--as-user", "ada"];
    let (out, err, code) = run(&[&["cancel", "2", "1", "2"], &why[..]].concat()).await;
    assert_eq!(
        (out.as_str(), err.as_str(), code),
        (
            "task 1 is cancelled: it was waiting\ntask 2 is cancelled: it was waiting\n",
            "",
            Some(0)
        )
    );
    let (out, err, code) = run(&["retry", "1", "9", "--at", "2100-01-01T00:00:00Z"]).await;
    assert_eq!(out, "task 1 waits to run: it was cancelled\n");
    assert_eq!(
        err,
        "there is no task 9: it has completed and was not kept, or never was\nerror: 1 of 2 tasks are as they were\n"
    );
    assert_eq!(code, Some(1));
    let (out, _, _) = run(&["discard", "2"]).await;
    assert_eq!(out, "task 2 is deleted: it was cancelled\n");
    let said: String = one(
        &pool,
        "select string_agg(format('%s %s %s', by, verb, task_id), ', ' order by audit_id) from taskq.audit",
    )
    .await;
    assert_eq!(
        said,
        "ada cancel 1, ada cancel 2, postgres retry 1, postgres discard 2"
    );
}

#[tokio::test]
async fn the_command_line_lists_blocked_sequences_and_has_them_go_on() {
    let (database, pool) = database().await;
    let (out, err, code) = said(&database, &["blocked"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, "no sequence waits at a dead task\n");
    crate::support::execute(
        &pool,
        r#"insert into taskq.limit_rule (scope, name, kind, fields, declared_most, on_dead)
           values ('key', 'ship', 'sequence', '{order_id}', 1, 'block');
           insert into taskq.task (task_type, payload) select 'ship', '{"order_id": 7}' from generate_series(1, 3);
           with first as (delete from taskq.task where task_id = 1 returning *)
           insert into taskq.dead
               (task_id, task_type, payload_version, payload, queue, priority, created_at, attempts, crashes, errors, state)
           select task_id, task_type, payload_version, payload, queue, priority, created_at, 1, 0,
               '[{"attempt": 1, "at": "2026-01-01T00:00:00Z", "error": "no such address"}]', 'discarded'
           from first"#,
    )
    .await;
    let (out, _, _) = said(&database, &["blocked"]).await;
    let begins = r#"ship {"order_id": 7}: 2 wait behind task 1, discarded since "#;
    assert!(out.starts_with(begins), "{out}");
    assert!(out.ends_with(": no such address\n"), "{out}");
    let (out, _, _) = said(&database, &["blocked", "--json"]).await;
    let listed: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(listed[0]["waiting"], json!(2));
    for arguments in [&["skip-dead", "1"][..], &["skip-dead", "1", "--frees", "1"]] {
        let (_, err, code) = said(&database, arguments).await;
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(err.contains("say that it frees 2"), "{err}");
    }
    let (out, err, code) = said(&database, &["skip-dead", "1", "--frees", "2"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("goes on: ship "), "{out}");
    let left = "select count(*) from taskq.blocked";
    assert_eq!(one::<i64>(&pool, left).await, 0);
}
