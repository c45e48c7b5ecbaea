//! Schedules on the command line of a worker's binary.

use serde_json::{Value, json};

use crate::cli::{output, said};
use crate::schedules::{ticking, waiting};
use crate::support::{database, execute, until, while_working};

#[tokio::test]
async fn the_command_line_lists_pauses_runs_backfills_and_removes_schedules() {
    let (database, pool) = database().await;
    let run = async |arguments: &[&str]| {
        let (out, err, code) = said(&database, arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    };
    assert_eq!(run(&["schedules"]).await, "there is no schedule\n");
    assert_eq!(run(&["schedules", "--json"]).await, "[]\n");
    execute(
        &pool,
        "select taskq.upsert_schedule('weekly', '0 6 * * MON', 'report', timezone => 'Europe/Zurich', by => 'ada')",
    )
    .await;
    while_working(ticking(&pool), async {
        until("told", async || {
            run(&["schedules"]).await.contains("\nweekly  2")
        })
        .await;
    })
    .await;
    let paused = run(&["schedules", "pause", "weekly"]).await;
    assert!(
        paused.starts_with("schedule weekly is paused: it ticks no more"),
        "{paused}"
    );
    let list = run(&["schedules"]).await;
    for part in [
        "NAME    NEXT                  WHEN\n",
        "\nweekly  paused                0 6 * * MON Europe/Zurich\n",
        "\n  enqueues report; said by ada\n  schedule weekly paused since 2",
    ] {
        assert!(list.contains(part), "{list}");
    }
    let pauses = run(&["pauses"]).await;
    assert!(pauses.contains("\nschedule  weekly  20"), "{pauses}");
    let listed: Value = serde_json::from_str(&run(&["schedules", "--json"]).await).expect("JSON");
    assert_eq!(listed[0]["catch_up"], json!("once"));
    assert_eq!(listed[0]["pause"]["scope"], json!("schedule"));
    assert!(
        run(&["schedules", "run", "weekly"])
            .await
            .starts_with("task 1 is enqueued")
    );
    let backfill = [
        "schedules",
        "backfill",
        "weekly",
        "2026-03-01T00:00:00Z",
        "2026-03-15T00:00:00Z",
    ];
    assert_eq!(run(&backfill).await, "2 tasks are enqueued, 2 to 3\n");
    assert_eq!(waiting(&pool, "weekly").await.len(), 3);
    let resumed = run(&["schedules", "resume", "weekly"]).await;
    assert!(
        resumed.starts_with("schedule weekly is resumed\nbefore: "),
        "{resumed}"
    );
    assert_eq!(
        run(&["schedules", "resume", "weekly"]).await,
        "schedule weekly was not paused\n"
    );
    assert_eq!(
        run(&["schedules", "pause", "weekyl"]).await,
        "there is no schedule weekyl: if one of that name comes, it is paused from its beginning; \
         did you mean `weekly`? Then say `schedules resume weekyl` too\n"
    );
    assert_eq!(
        run(&["pause", "schedule", "backup"]).await,
        "there is no schedule backup: if one of that name comes, it is paused from its beginning\n"
    );
    for name in ["weekyl", "backup"] {
        let resumed = run(&["schedules", "resume", name]).await;
        assert!(
            resumed.starts_with(&format!("schedule {name} is resumed")),
            "{resumed}"
        );
    }
    run(&["pause", "schedule", "weekly", "--because", "a freeze"]).await;
    run(&["resume", "schedule", "weekly"]).await;
    assert_eq!(
        run(&["schedules", "remove", "weekly"]).await,
        "schedule weekly is removed\n"
    );
    assert_eq!(
        run(&["schedules", "remove", "weekly"]).await,
        "there is no schedule weekly\n"
    );

    let future = [
        "schedules",
        "backfill",
        "x",
        "2026-03-01T00:00:00Z",
        "tomorrow",
    ];
    for (arguments, code, says) in [
        (&["schedules", "run", "x"][..], 1, "there is no schedule x"),
        (&["schedules", "run"], 2, "NAME"),
        (&["schedules", "dance"], 2, "dance"),
        (&future, 2, "with its zone"),
    ] {
        let (_, err, found) = said(&database, arguments).await;
        assert_eq!(found, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn the_command_line_tells_when_an_expression_ticks_next() {
    let (database, _pool) = database().await;
    let (out, err, code) = said(&database, &["cron", "next", "* * * * *", "-n", "3"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out.lines().count(), 3, "{out}");
    // A time that is given needs no database.
    let from = [
        "--from",
        "2026-03-28T12:00:00Z",
        "--timezone",
        "Europe/Zurich",
    ];
    let next = output(&[&["cron", "next", "30 2 * * *", "-n", "2"][..], &from].concat()).await;
    assert_eq!(
        String::from_utf8_lossy(&next.stdout),
        "Sun 2026-03-29T03:00:00+02:00 2026-03-29T01:00:00Z\nMon 2026-03-30T02:30:00+02:00 2026-03-30T00:30:00Z\n"
    );
    for (expression, zone, says) in [
        ("0 25 * * *", "UTC", "the hour `25` is not allowed"),
        ("* * * * *", "Mars/Base", "no time zone `Mars/Base`"),
    ] {
        let arguments = [
            "cron",
            "next",
            expression,
            "--timezone",
            zone,
            "--from",
            "2026-01-01T00:00:00Z",
        ];
        let wrong = output(&arguments).await;
        let err = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(!wrong.status.success() && err.contains(says), "{err}");
    }
}

#[tokio::test]
async fn a_check_names_the_schedules_whose_tasks_the_program_would_not_run() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "select taskq.upsert_schedule('fine', '@daily', 'send_card', '{\"usr_id\": 1}');
         select taskq.upsert_schedule('old', '@daily', 'send_card', '{\"user\": 1}');
         select taskq.upsert_schedule('gone', '@daily', 'send_letter');
         select taskq.upsert_schedule('rubbish', 'whenever', 'nightly')",
    )
    .await;
    let (out, err, code) = said(&database, &["check"]).await;
    assert_eq!(code, Some(1), "{err}");
    for line in [
        "schedule gone, of send_letter: no handler of this program has this name",
        "schedule old, of send_card: payload does not decode at `.`: missing field `usr_id`",
        "schedule rubbish, of nightly: cannot read the cron expression: `whenever` has 1 field",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(!out.contains("schedule fine"), "{out}");
}

#[tokio::test]
async fn tasks_are_listed_with_their_schedules() {
    let listed = output(&["tasks"]).await;
    let text = String::from_utf8_lossy(&listed.stdout);
    let line = "schedule: 0 2 * * * Europe/Zurich, catch_up: all within 43200s, overlap: skip, jitter: 30s\n";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn a_schedule_is_made_and_changed_by_the_command_line_with_who_and_why() {
    let (database, pool) = database().await;
    let upsert = async |expression: &str, more: &[&str]| {
        let head = ["schedules", "upsert", "weekly", expression, "send_card"];
        let arguments = [&head[..], &["{}"], more].concat();
        said(&database, &arguments).await
    };
    let (_, err, code) = upsert("0 6 * * MON", &[]).await;
    assert_eq!(code, Some(1), "its payload lacks a field");
    assert!(err.contains("of task type `send_card`"), "{err}");
    let signed = [
        "--unchecked",
        "--because",
        "the bank asks",
        "--as-user",
        "ada",
    ];
    let (out, _, _) = upsert("0 6 * * MON", &signed).await;
    assert_eq!(out, "schedule weekly is made\n");
    let (out, _, _) = upsert("0 6 * * MON", &signed).await;
    assert_eq!(out, "schedule weekly was so already\n");
    let zone = [
        &signed[..],
        &["--timezone", "Europe/Zurich", "--overlap", "skip"],
        &["--catch-up", "all", "--catch-up-within", "2h"],
        &["--jitter", "90s", "--priority", "-3"],
    ]
    .concat();
    let (out, _, _) = upsert("0 7 * * MON", &zone).await;
    assert_eq!(
        out,
        "schedule weekly is changed: unless its times are as before, no tick before now is made up; run it now if one is still wanted\n"
    );
    let held: String = sqlx::query_scalar(
        "select concat_ws(' ', timezone, catch_up, catch_up_within, overlap, jitter, options ->> 'priority')
         from taskq.schedule_definition",
    )
    .fetch_one(&pool)
    .await
    .expect("it holds");
    assert_eq!(held, "Europe/Zurich all 7200 skip 90 -3");
    let (_, err, code) = upsert("whenever", &signed).await;
    assert_eq!(code, Some(1), "{err}");
    let (list, _, _) = said(&database, &["schedules"]).await;
    assert!(list.contains("said by ada (the bank asks)"), "{list}");
    let recorded: Vec<(String, Option<String>)> =
        sqlx::query_as("select by, reason from taskq.audit where name = 'weekly'")
            .fetch_all(&pool)
            .await
            .expect("readable");
    let entry = ("ada".to_owned(), Some("the bank asks".to_owned()));
    assert_eq!(recorded, [entry.clone(), entry]);
}
