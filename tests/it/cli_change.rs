//! What a command line says before it changes something, and how it is kept from that.

use serde_json::{Value, json};
use taskq::operate::VERBS;

use crate::cli::{program, said, target};
use crate::support::{database, execute, one};

/// Arguments that each command needs.
fn with_arguments(command: &str) -> Vec<&str> {
    let mut words: Vec<&str> = command.split(' ').collect();
    let more: &[&str] = match command {
        "cancel" | "retry" | "discard" => &["1"],
        "edit" => &["1", "{}", "--unchecked"],
        "enqueue" => &["send_card", "{}", "--unchecked"],
        "cancel --all" | "retry --all" | "discard --all" => &["id:1", "--yes"],
        "reschedule --all" => &["id:1", "--at", "2100-01-01T00:00:00Z", "--yes"],
        "bulk resume" | "bulk stop" | "skip-dead" | "seal-group" => &["1"],
        "pause" | "resume" | "reset-limits" => &["queue", "mail"],
        "schedules pause" | "schedules resume" | "schedules run" | "schedules remove" => {
            &["nightly"]
        }
        "schedules backfill" => &["nightly", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
        "limit" => &["queue", "mail", "--concurrency", "1"],
        "keep" => &["send_card", "discarded", "30d"],
        "reset-keep" => &["send_card", "discarded"],
        "weight" => &["send_card", "{}", "--set", "2"],
        "take-back" | "end-session" => &["1"],
        "stop-worker" | "forget-worker" => &["00000000-0000-0000-0000-000000000001"],
        "acknowledge" | "unacknowledge" => &["setting", "fsync"],
        "schedules upsert" => &["nightly", "0 6 * * *", "report", "{}", "--unchecked"],
        "prune" => &["--dead", "1d", "--yes"],
        "prune --history" | "prune --dead" => &["1d", "--yes"],
        other => panic!("say with what arguments `{other}` is to be tried"),
    };
    words.extend(more);
    words
}

async fn rows(pool: &sqlx::PgPool) -> String {
    one(
        pool,
        "select concat(
             (select string_agg(task::text, chr(10)) from taskq.task),
             (select string_agg(pause::text, chr(10)) from taskq.pause),
             (select string_agg(audit::text, chr(10)) from taskq.audit),
             (select string_agg(bulk::text, chr(10)) from taskq.bulk),
             (select string_agg(acknowledged::text, chr(10)) from taskq.acknowledged),
             (select string_agg(limit_rule::text, chr(10)) from taskq.limit_rule),
             (select string_agg(schedule::text, chr(10)) from taskq.schedule)
         )",
    )
    .await
}

#[tokio::test]
async fn each_command_that_changes_is_refused_where_nothing_may_change() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, queue) values ('send_card', 'mail')",
    )
    .await;
    let before = rows(&pool).await;
    let changing = VERBS.iter().filter(|verb| verb.changes);
    let commands = changing.flat_map(|verb| verb.commands);
    let mut tried = 0;
    for command in commands.copied().chain(["run", "migrate", "rekey"]) {
        let arguments = match command {
            "run" | "migrate" | "rekey" => vec![command],
            command => with_arguments(command),
        };
        let arguments = [&arguments[..], &["--read-only"]].concat();
        let (out, err, code) = said(&database, &arguments).await;
        assert_eq!((out.as_str(), code), ("", Some(2)), "{command}: {err}");
        assert!(
            err.contains("changes something, and nothing may change here"),
            "{command}: {err}"
        );
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
    assert_eq!(rows(&pool).await, before);
}

#[tokio::test]
async fn what_reads_does_so_where_nothing_may_change() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, queue) values ('send_card', 'mail')",
    )
    .await;
    for arguments in [
        &["list"][..],
        &["show", "1"],
        &["causes"],
        &["doctor", "--json"],
        &["pauses"],
        &["limits"],
        &["blocked"],
        &["groups"],
        &["weights"],
        &["keeps"],
        &["schedules"],
        &["bulk", "list"],
        &["check"],
        &["cancel", "--all", "id:1", "--dry-run"],
    ] {
        let (out, err, code) = said(&database, &[&["--read-only"], arguments].concat()).await;
        assert!(matches!(code, Some(0 | 1)), "{arguments:?}: {err}");
        assert!(!out.is_empty(), "{arguments:?}: {err}");
        assert!(!err.contains("error"), "{arguments:?}: {err}");
    }
    // The environment says it as the flag does, and may say the opposite.
    for (value, code) in [("1", Some(2)), ("0", Some(0)), ("", Some(0))] {
        let output = program(&["pause", "queue", "mail"])
            .env("DATABASE_URL", database.url())
            .env("TASKQ_READ_ONLY", value)
            .output();
        let output = output.await.expect("it runs");
        assert_eq!(output.status.code(), code, "{value}: {output:?}");
    }
}

#[tokio::test]
async fn each_change_says_before_in_which_database() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, queue) values ('send_card', 'mail')",
    )
    .await;
    let target = target(&database).await;
    for arguments in [
        &["pause", "queue", "mail"][..],
        &["resume", "queue", "mail"],
        &["limit", "queue", "mail", "--concurrency", "3"],
        &["reset-limits", "queue", "mail"],
        &["cancel", "1"],
        &["migrate"],
    ] {
        let (_, err, code) = said(&database, arguments).await;
        assert_eq!((err, code), (target.clone(), Some(0)), "{arguments:?}");
    }
    let (_, err, _) = said(&database, &["pauses"]).await;
    assert_eq!(err, "");
}

#[tokio::test]
async fn an_operation_that_goes_on_tells_as_json_how_it_ended() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, queue) values ('send_card', 'mail');
         select taskq.freeze_bulk('cancel', '{}');
         select taskq.begin_bulk(1);
         select taskq.stop_bulk(1)",
    )
    .await;
    let (out, err, code) = said(&database, &["bulk", "resume", "1", "--json"]).await;
    assert_eq!(code, Some(0), "{err}");
    let ended: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&ended["verb"], &ended["done"]),
        (&json!("cancel"), &json!(1))
    );
    assert!(ended["ended_at"].is_string(), "{ended}");
}
