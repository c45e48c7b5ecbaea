//! What operators say by the command line of a worker's binary: pauses, limits, single tasks, blocked sequences.

use serde_json::{Value, json};

use crate::cli::{said, target};
use crate::support::{database, execute, leave_behind, one};

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
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(list.starts_with("WHAT   NAME       SINCE "), "{list}");
    assert!(list.contains("\nqueue  mail       20"), "{list}");
    assert!(list.contains("  2998-12-31T23:00:00Z  "), "{list}");
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
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[0], "OF     NAME  KIND         HOLDS", "{list}");
    assert_eq!(lines[1], "queue  mail  concurrency  5 at once", "{list}");
    assert!(lines[2].starts_with("  by ada since 20"), "{list}");
    assert_eq!(lines[3], "  slow", "{list}");
    let rate = "queue  mail  rate         100 in 60s, 20 of them at once";
    assert_eq!(lines[4], rate, "{list}");
    let listed: Value = serde_json::from_str(&run(&["limits", "--json"]).await).expect("JSON");
    assert_eq!(listed[0]["in_force"], json!({"concurrency": 5}));
    assert_eq!(listed[0]["overridden"]["reason"], json!("slow"));
    let again = run(&["limit", "queue", "mail", "--concurrency", "0"]).await;
    assert!(again.contains("\nbefore: queue mail: 5 at once"), "{again}");
    let reset = run(&["reset-limits", "queue", "mail"]).await;
    let lines: Vec<&str> = reset.lines().collect();
    assert_eq!(lines.len(), 3, "{reset}");
    assert_eq!(lines[0], "queue mail is limited as programs declare");
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
        (out.as_str(), code),
        (
            "task 1 is cancelled: it was waiting\ntask 2 is cancelled: it was waiting\n",
            Some(0)
        )
    );
    assert_eq!(err, target(&database).await);
    let (out, err, code) = run(&["retry", "1", "9", "--at", "2100-01-01T00:00:00Z"]).await;
    assert_eq!(out, "task 1 waits to run: it was cancelled\n");
    let refused = "there is no task 9: it has completed and was not kept, or never was\nerror: 1 of 2 tasks are as they were\n";
    assert_eq!(err, target(&database).await + refused);
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
    execute(
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
    let begins = "TASK  STATE      SINCE                 BEHIND  TYPE  KEY\n   1  discarded  20";
    assert!(out.starts_with(begins), "{out}");
    let ends = "       2  ship  {\"order_id\": 7}\n  no such address\n";
    assert!(out.ends_with(ends), "{out}");
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

#[tokio::test]
async fn the_command_line_says_weights_and_lists_them() {
    let (database, pool) = database().await;
    // Its program says so.
    execute(
        &pool,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most)
         values ('key', 'send_card', 'fair', '{usr_id}', 1)",
    )
    .await;
    let run = async |arguments: &[&str]| {
        let (out, err, code) = said(&database, arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    };
    assert_eq!(run(&["weights"]).await, "no key has a weight but 1\n");
    let seven = ["weight", "send_card", r#"{"usr_id": 7}"#];
    let three = [
        &seven[..],
        &["--set", "3", "--because", "large", "--as-user", "ada"],
    ]
    .concat();
    assert_eq!(run(&three).await, "said; the next claims keep to it\n");
    let list = run(&["weights"]).await;
    let weight = "WEIGHT  SINCE                 BY   TYPE       KEY\n     3  20";
    assert!(list.starts_with(weight), "{list}");
    let ends = "  ada  send_card  {\"usr_id\":7}\n  large\n";
    assert!(list.ends_with(ends), "{list}");
    let listed: Value = serde_json::from_str(&run(&["weights", "--json"]).await).expect("JSON");
    assert_eq!(listed[0]["key"], json!({"usr_id": 7}));
    let reset = run(&[&seven[..], &["--reset"]].concat()).await;
    assert!(reset.contains("\nbefore: send_card"), "{reset}");
    for (arguments, code, says) in [
        (
            &["weight", "send_card", "7", "--set", "3"][..],
            2,
            "as JSON, such as",
        ),
        (&["weight", "send_card", "{}"], 2, "--set"),
        (&["weight", "send_card", "{}", "--set", "0"], 1, "1 to 1000"),
        (
            &["weight", "purge", "{}", "--set", "2"],
            1,
            "has no fair turns",
        ),
    ] {
        let (_, err, found) = said(&database, arguments).await;
        assert_eq!(found, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn the_command_line_takes_refused_tasks_back_and_says_what_is_still_in_the_way() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.refused (task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts, crashes)
         select n, 'a', 1, jsonb_build_object('n', n), 'default', 0, now(), now(), 0, 0 from generate_series(1, 3) as n;
         alter table taskq.task add constraint mine check (payload <> '{\"n\": 2}')",
    )
    .await;
    let (_, err, code) = said(&database, &["take-back", "--all"]).await;
    assert_eq!(code, Some(1), "{err}");
    let still = "2 tasks wait again, 1 does not: Postgres still refuses task 2: new row for relation \"task\" violates";
    assert!(err.contains(still), "{err}");
    execute(&pool, "alter table taskq.task drop constraint mine").await;
    let (out, err, code) = said(&database, &["take-back", "2", "3"]).await;
    assert_eq!((out.as_str(), code), ("task 2 waits again\n", Some(1)));
    assert!(err.contains("task 3 is not refused"), "{err}");
    let waiting: i64 = one(&pool, "select count(*) from taskq.task").await;
    assert_eq!(waiting, 3);
}

#[tokio::test]
async fn the_command_line_retries_one_of_those_that_match_and_says_what_has_become_of_it() {
    let (database, pool) = database().await;
    let dead = "insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state, finished_at)
        select n, 'a', '{}', 'default', 0, now(), 1, 0, 'discarded', now() + n * interval '1 second' from generate_series(1, 3) as n";
    sqlx::query(dead).execute(&pool).await.expect("dead");
    let run = async |arguments: &[&str]| said(&database, arguments).await;
    let (out, err, code) = run(&["retry", "--one", "type:a", "--as-user", "ada"]).await;
    assert_eq!(
        (out.as_str(), code),
        ("task 3 waits to run: it was discarded\n", Some(0)),
        "{err}"
    );
    let left: i64 = one(&pool, "select count(*) from taskq.dead").await;
    assert_eq!(left, 2);
    let (_, err, code) = run(&["retry", "--one", "type:b"]).await;
    assert!(code == Some(1) && err.contains("no task matches"), "{err}");
    let (_, err, code) = run(&["retry", "--one", "type:a", "--all", "type:a"]).await;
    assert_eq!(code, Some(2), "{err}");
    sqlx::query("delete from taskq.task")
        .execute(&pool)
        .await
        .expect("completed");
    let (_, err, code) = run(&["show", "3"]).await;
    assert!(
        code == Some(1)
            && err.contains("task 3 is no longer there: it has completed since ada had it run"),
        "{err}"
    );
}

#[tokio::test]
async fn the_command_line_lists_groups_and_seals_one_that_nobody_seals() {
    let (database, pool) = database().await;
    let (out, err, code) = said(&database, &["groups"]).await;
    assert_eq!(
        (out.as_str(), code),
        ("there are no groups\n", Some(0)),
        "{err}"
    );
    execute(
        &pool,
        "select taskq.begin_group('finish');
         select taskq.enqueue('send_card', '{}', '{\"group\": 1}') from generate_series(1, 3);
         select taskq.cancel(2)",
    )
    .await;
    let (out, _, _) = said(&database, &["groups"]).await;
    let begins =
        "GROUP  STATE   BEGUN                 MEMBERS  LEFT  ENDED        TYPE\n    1  adding  20";
    assert!(out.starts_with(begins), "{out}");
    assert!(
        out.ends_with("        3     2  1 cancelled  finish\n"),
        "{out}"
    );
    let (out, _, _) = said(&database, &["list", "group:1 state:waiting", "--json"]).await;
    assert_eq!(out.matches("\"task_id\"").count(), 2, "{out}");
    let (out, _, _) = said(&database, &["show", "2"]).await;
    assert!(out.contains("\ngroup      1\n"), "{out}");
    let arguments = [
        "seal-group",
        "1",
        "--because",
        "the import died",
        "--as-user",
        "ada",
    ];
    let (out, err, code) = said(&database, &arguments).await;
    assert_eq!(
        (out.as_str(), code),
        ("sealed: group 1\n", Some(0)),
        "{err}"
    );
    let (out, err, code) = said(
        &database,
        &["cancel", "--all", "group:1 state:waiting", "--yes"],
    )
    .await;
    assert_eq!(code, Some(0), "{out}{err}");
    let (out, _, _) = said(&database, &["groups", "--json"]).await;
    let listed: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&listed[0]["cancelled"], &listed[0]["remaining"]),
        (&json!(3), &json!(0))
    );
    let finish = "select count(*) from taskq.task where task_type = 'finish'";
    assert_eq!(one::<i64>(&pool, finish).await, 1);
    let (_, err, code) = said(&database, &["seal-group", "99"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("there is no group 99"), "{err}");
}
