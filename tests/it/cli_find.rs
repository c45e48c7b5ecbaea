//! Finding tasks by the command line of a worker's binary, and treating all that match.

use serde_json::{Value, json};
use sqlx::PgPool;
use taskq::testing::Database;

use crate::cli::{said, target};
use crate::support::{database, execute, one, states};

/// Two that wait and three that are dead, at times that are known.
async fn some(pool: &PgPool) {
    execute(
        pool,
        r#"insert into taskq.task (task_type, queue, payload, created_at, run_at)
           values ('send_card', 'mail', '{"usr_id": 9007199254740993}', '2026-01-01 00:00+00', '2026-01-01 00:00+00'),
                  ('a_task_type_whose_name_is_longer_than_a_table_has_room_for', 'a_queue_with_a_long_name', '{}',
                   '2026-01-02 00:00+00', '2100-01-01 00:00+00');
           insert into taskq.dead
               (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state, finished_at)
           select 1000000 + n, 'send_card', '{}', 'mail', 0, '2026-01-01 00:00+00', 3, 0,
               jsonb_build_array(jsonb_build_object('attempt', 3, 'at', '2026-01-03T00:00:00Z', 'error',
                   E'\x1b[31mtimed out\n after ' || n || ' s: ' || repeat('x', 100))), 'discarded',
               '2026-01-03 00:00+00'
           from generate_series(1, 3) as n"#,
    )
    .await;
}

async fn run(database: &Database, arguments: &[&str]) -> String {
    let (out, err, code) = said(database, arguments).await;
    // Before a change it says in which database.
    let is_quiet = err.is_empty() || err == target(database).await;
    assert!(is_quiet && code == Some(0), "{arguments:?}: {err}");
    out
}

#[tokio::test]
async fn a_list_is_a_table_of_eighty_columns() {
    let (database, pool) = database().await;
    assert_eq!(run(&database, &["list"]).await, "no task matches\n");
    some(&pool).await;
    let list = run(&database, &["list", "--most", "3"]).await;
    let error = format!("   [31mtimed out  after 3 s: {}…\n", "x".repeat(50));
    let expected = [
        "     ID  STATE        SINCE                 TYPE                  QUEUE\n",
        "      2  waiting      2026-01-02T00:00:00Z  a_task_type_whose_n…  a_queue_with_…\n",
        "      1  waiting      2026-01-01T00:00:00Z  send_card             mail\n",
        "1000003  discarded    2026-01-03T00:00:00Z  send_card             mail\n",
        &error,
        "go on: --after dead.1000003.2026-01-03T00:00:00.000000Z\n",
    ];
    assert_eq!(list, expected.concat());
    assert!(
        list.lines().all(|line| line.chars().count() <= 80),
        "{list}"
    );
    let next = [
        "list",
        "--after",
        "dead.1000003.2026-01-03T00:00:00.000000Z",
    ];
    let next = run(&database, &next).await;
    assert!(
        next.contains("\n1000002  ") && next.contains("\n1000001  "),
        "{next}"
    );
    assert!(!next.contains("go on"), "{next}");
    let stopped = run(&database, &["list", "type:none", "--looks", "1"]).await;
    assert!(stopped.starts_with("stopped looking: none that matches so far, and there are more to look at\ngo on: --after waiting.2."), "{stopped}");
}

#[tokio::test]
async fn what_programs_read_has_its_form() {
    let (database, pool) = database().await;
    some(&pool).await;
    let read = async |arguments: &[&str]| -> Value {
        serde_json::from_str(&run(&database, arguments).await).expect("JSON")
    };
    let cause: String = one(&pool, "select cause from taskq.dead limit 1").await;
    let page = read(&["list", "state:dead", "id:1000001", "--json"]).await;
    let error = format!("\u{1b}[31mtimed out\n after 1 s: {}", "x".repeat(100));
    assert_eq!(
        page,
        json!({
            "tasks": [{
                "task_id": 1_000_001, "task_type": "send_card", "state": "discarded", "queue": "mail", "priority": 0,
                "at": "2026-01-03T00:00:00Z", "run_at": null, "attempts": 3, "max_attempts": null, "crashes": 0,
                "error": error, "cause": cause, "worker_id": null
            }],
            "next": null,
            "stopped": false,
            "looked": null
        })
    );
    let task = read(&["show", "1000001", "--json"]).await;
    assert_eq!(
        task,
        json!({
            "task_id": 1_000_001, "task_type": "send_card", "state": "discarded", "queue": "mail", "priority": 0,
            "payload_version": 0, "payload": {}, "metadata": {}, "progress": null, "log_lines": 0, "attempts": 3, "max_attempts": null, "crashes": 0,
            "created_at": "2026-01-01T00:00:00Z", "run_at": null, "claimed_at": null,
            "finished_at": "2026-01-03T00:00:00Z", "worker_id": null, "worker": null,
            "errors": [{"attempt": 3, "at": "2026-01-03T00:00:00Z", "error": error}],
            "cause": cause, "result": null, "refusal": null, "unique_keys": [], "limit_key": null, "audit": [],
            "why": [{
                "reason": "discarded", "said": "it is discarded: nothing runs it again by itself",
                "advice": "mend the cause, then retry it", "command": "retry 1000001",
                "statement": "select \"taskq\".retry(1000001)", "until": null
            }],
            "timeline": [
                {"at": "2026-01-01T00:00:00Z", "text": "enqueued"},
                {"at": "2026-01-03T00:00:00Z", "text": format!("attempt 3: {error}")},
                {"at": "2026-01-03T00:00:00Z", "text": "discarded"}
            ]
        })
    );
    let exact = run(&database, &["show", "1", "--json"]).await;
    assert!(exact.contains("9007199254740993"), "{exact}");
    let causes = read(&["causes", "--json"]).await;
    let last = format!("\u{1b}[31mtimed out\n after 3 s: {}", "x".repeat(100));
    assert_eq!(
        causes,
        json!({
            "causes": [{
                "cause": cause, "task_type": "send_card", "state": "discarded", "total": 3, "and_more": false,
                "first_at": "2026-01-03T00:00:00Z", "last_at": "2026-01-03T00:00:00Z", "last_task_id": 1_000_003,
                "error": last
            }],
            "stopped": false,
            "read": null
        })
    );
    let (out, _, code) = said(
        &database,
        &["discard", "--all", "state:dead", "--yes", "--json"],
    )
    .await;
    assert_eq!(code, Some(0));
    let mut ended: Value = serde_json::from_str(&out).expect("JSON");
    for time in ["frozen_at", "began_at", "ended_at"] {
        assert!(ended[time].take().is_string(), "{time}");
    }
    assert_eq!(
        ended,
        json!({
            "bulk_id": 1, "verb": "discard", "filter": "state:dead", "died_of": null, "states": ["dead"], "run_at": null, "reason": null,
            "by": "postgres", "frozen_at": null, "began_at": null, "stopped_at": null, "ended_at": null, "frozen": 3,
            "done": 3, "skipped": 0, "failed": 0
        })
    );
}

#[tokio::test]
async fn a_task_and_the_causes_are_shown_to_people() {
    let (database, pool) = database().await;
    some(&pool).await;
    let shown = run(&database, &["show", "1"]).await;
    let expected = "task 1 of type send_card is waiting\n\n\
                    queue      mail\npriority   0\nversion    0\nattempts   0\n\
                    payload    {\"usr_id\": 9007199254740993}\n\n\
                    its type is send_card, its queue mail, and no worker is alive\n\
                    -> start one, and see in its log why the last one ended\n\n\
                    2026-01-01T00:00:00Z  enqueued\n2026-01-01T00:00:00Z  due\n";
    assert_eq!(shown, expected);
    let causes = run(&database, &["causes", "type:send_*"]).await;
    let cause: String = one(&pool, "select cause from taskq.dead limit 1").await;
    let error = format!(
        "  discarded:  [31mtimed out  after 3 s: {}…\n",
        "x".repeat(39)
    );
    let expected = [
        "   TASKS  CAUSE             LAST                  TYPE\n".to_owned(),
        format!("       3  {cause}  2026-01-03T00:00:00Z  send_card\n"),
        error,
    ];
    assert_eq!(causes, expected.concat());
    assert!(
        causes.lines().all(|line| line.chars().count() <= 80),
        "{causes}"
    );
    assert_eq!(
        run(&database, &["causes", "type:none"]).await,
        "no dead task matches\n"
    );
    for (arguments, code, says) in [
        (&["show", "77"][..], 1, "there is no task 77"),
        (
            &["list", "stat:dead"],
            1,
            "error: `stat:dead` (character 1 of the filter): there is no term `stat`; did you mean `state`?",
        ),
        (
            &["list", "--after", "x"],
            1,
            "take what a page gives as `next`",
        ),
        (&["list", "--most", "0"], 2, "0"),
        (
            &["causes", "state:waiting"],
            1,
            "only dead tasks have causes",
        ),
        (&["retry"], 2, "--all"),
        (&["retry", "7", "--all", "id:7"], 2, "cannot be used with"),
        (&["retry", "7", "--yes"], 2, "cannot be used with"),
        (&["retry", "--all", "stat:dead"], 2, "did you mean `state`?"),
        (
            &["retry", "--all", "state:running", "--yes"],
            1,
            "there is nothing to retry where a task is running",
        ),
        (&["reschedule", "--all", "state:waiting"], 2, "--at"),
        (&["bulk", "resume", "7"], 1, "there is no operation 7"),
    ] {
        let (_, err, found) = said(&database, arguments).await;
        assert_eq!(found, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn without_a_terminal_and_without_yes_nothing_happens() {
    let (database, pool) = database().await;
    some(&pool).await;
    let all = [
        "retry",
        "--all",
        "type:send_* error:\"it's\"",
        "--because",
        "why",
    ];
    let (out, err, code) = said(&database, &all).await;
    assert_eq!((out.as_str(), code), ("", Some(2)));
    assert!(
        err.contains("error: this would retry 0 tasks, and there is nobody to ask; say so:\n"),
        "{err}"
    );
    let command = r#"retry --all 'type:send_* error:"it'\''s"' --because why --yes"#;
    assert!(err.trim_end().ends_with(command), "{err}");
    let (out, err, code) = said(&database, &["retry", "--all", "state:dead", "--dry-run"]).await;
    assert_eq!(
        (out.as_str(), code),
        ("retry would be done to 3 tasks\n", Some(0))
    );
    assert!(
        err.starts_with("database ") && err.ends_with(", schema taskq\n"),
        "{err}"
    );
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.bulk").await,
        0
    );
    assert_eq!(states(&pool).await["discarded"], 3);
}

#[tokio::test]
async fn all_that_match_are_treated_and_what_was_refused_is_told() {
    let (database, pool) = database().await;
    some(&pool).await;
    execute(
        &pool,
        "create function refuse() returns trigger language plpgsql as 'begin raise exception ''no room''; end';
         create trigger refuse before insert on taskq.task for each row when (new.task_id = 1000002) execute function refuse()",
    )
    .await;
    let retry = [
        "retry",
        "--all",
        "state:dead",
        "--yes",
        "--as-user",
        "ada",
        "--because",
        "mended",
    ];
    let (out, err, code) = said(&database, &retry).await;
    assert_eq!(
        (out.as_str(), code),
        ("retry 1: 2 done, 0 skipped, 1 failed of 3\n", Some(3)),
        "{err}"
    );
    assert!(
        err.contains("retry 3 tasks in state dead\n") && err.contains("task 1000002: no room\n"),
        "{err}"
    );
    let failures = run(&database, &["bulk", "failures", "1"]).await;
    assert_eq!(failures, "task 1000002: no room\n");
    let put_off = [
        "reschedule",
        "--all",
        "state:waiting",
        "--at",
        "2100-01-01T00:00:00Z",
        "--yes",
    ];
    let (out, _, code) = said(&database, &put_off).await;
    assert_eq!(
        (out.as_str(), code),
        ("reschedule 2: 4 done, 0 skipped, 0 failed of 4\n", Some(0))
    );
    let (out, _, code) = said(&database, &["cancel", "--all", "id:1,2", "--yes"]).await;
    assert_eq!(
        (out.as_str(), code),
        ("cancel 3: 2 done, 0 skipped, 0 failed of 2\n", Some(0))
    );
    let list = run(&database, &["bulk", "list"]).await;
    assert_eq!(list.lines().count(), 6, "{list}");
    assert!(
        list.ends_with("retry 1: 2 done, 0 skipped, 1 failed of 3\n  state:dead by ada\n"),
        "{list}"
    );
    let audit: String = one(
        &pool,
        "select string_agg(format('%s %s %s %s', by, verb, bulk_id, reason), ', ' order by audit_id) from taskq.audit",
    )
    .await;
    assert_eq!(
        audit,
        "ada retry 1 mended, postgres reschedule 2 , postgres cancel 3 "
    );
}

#[tokio::test]
async fn one_that_was_stopped_goes_on_by_the_command_line() {
    let (database, pool) = database().await;
    some(&pool).await;
    execute(
        &pool,
        r#"select taskq.freeze_bulk('discard', '{}', 'state:dead')"#,
    )
    .await;
    let (_, err, code) = said(&database, &["bulk", "resume", "1"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("operation 1 has not begun"), "{err}");
    execute(&pool, "select taskq.begin_bulk(1)").await;
    let stopped = run(&database, &["bulk", "stop", "1"]).await;
    assert_eq!(
        stopped,
        "discard 1: 0 done, 0 skipped, 0 failed of 3; stopped\n"
    );
    let (out, _, code) = said(&database, &["bulk", "resume", "1"]).await;
    assert_eq!(
        (out.as_str(), code),
        ("discard 1: 3 done, 0 skipped, 0 failed of 3\n", Some(0))
    );
}

#[tokio::test]
async fn a_dead_task_is_edited_and_one_is_enqueued_by_name() {
    let (database, pool) = database().await;
    some(&pool).await;
    let (out, err, code) = said(
        &database,
        &[
            "edit",
            "1000001",
            r#"{"usr_id": 9007199254740993}"#,
            "--because",
            "no usr",
            "--as-user",
            "ada",
        ],
    )
    .await;
    let says = "task 1000001 waits to run with its new payload: it was discarded\n";
    assert_eq!((out.as_str(), code), (says, Some(0)), "{err}");
    assert!(err.starts_with("database "), "{err}");
    let payload: String = one(
        &pool,
        "select payload::text || ' ' || payload_version || ' ' || attempts from taskq.task where task_id = 1000001",
    )
    .await;
    assert_eq!(payload, r#"{"usr_id": 9007199254740993} 1 0"#);
    let card = ["enqueue", "send_card", r#"{"usr_id": 7}"#];
    let (out, _, code) = said(
        &database,
        &[&card[..], &["--delay", "1h", "--priority", "-2"]].concat(),
    )
    .await;
    assert_eq!((out.as_str(), code), ("task 3 waits\n", Some(0)));
    let row: String = one(
        &pool,
        "select concat_ws(' ', payload, payload_version, queue, priority, run_at > now() + interval '59 minutes')
         from taskq.task where task_id = 3",
    )
    .await;
    assert_eq!(
        row, r#"{"usr_id": 7} 1 mail -2 t"#,
        "what its type declares, and what was said"
    );
    let (out, _, _) = said(
        &database,
        &["enqueue", "elsewhere", "[1]", "--unchecked", "--queue", "q"],
    )
    .await;
    assert_eq!(out, "task 4 waits\n");
    let audit: String = one(
        &pool,
        "select string_agg(concat_ws(' ', by, verb, task_id, queue, state, reason), ', ' order by audit_id) from taskq.audit",
    )
    .await;
    assert_eq!(
        audit,
        "ada edit 1000001 mail discarded no usr, ada retry 1000001 mail discarded no usr, \
         postgres enqueue 3 mail created, postgres enqueue 4 q created"
    );
    for (arguments, code, says) in [
        (
            &["edit", "1000002", r#"{"usr_id": "x"}"#][..],
            1,
            "of task type `send_card`: payload does not decode at `usr_id`",
        ),
        (&["edit", "1000002", "{"], 2, "EOF while parsing"),
        (
            &["edit", "1", r#"{"usr_id": 1}"#],
            1,
            "task 1 is waiting, so there is nothing to edit: only a dead task is edited",
        ),
        (&["edit", "77", "{}"], 1, "there is no task 77"),
        (
            &["enqueue", "send_cart", "{}"],
            1,
            "this program has no task type `send_cart`; did you mean `send_card`? (--unchecked",
        ),
        (
            &["enqueue", "send_card", "{}"],
            1,
            "of task type `send_card`: payload does not decode",
        ),
        (
            &["enqueue", "send_card", "{}", "--delay", "soon"],
            2,
            "as in 90s or 1h",
        ),
    ] {
        let (_, err, found) = said(&database, arguments).await;
        assert_eq!(found, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.dead").await,
        2
    );
}
