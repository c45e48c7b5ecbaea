//! What goes on, by the command line: how much there is, what was done, which workers there are; and pruning.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::cli::{said, target};
use crate::support::{database, execute, one};

async fn some(pool: &PgPool) {
    execute(
        pool,
        "insert into taskq.task (task_type, queue, run_at)
         select 'send_card', 'mail', now() - interval '10 minutes' from generate_series(1, 3);
         insert into taskq.task (task_type, queue, run_at) values ('later', 'default', '2999-01-01');
         select taskq.pause_queue('mail');
         insert into taskq.worker
             (worker_id, host, process_id, release, slots, queues, task_types, seen_at, expires_at)
         values ('00000000-0000-0000-0000-000000000001', 'here', 7, '1.4.2', 20, '{default}', '{later}',
                 '2026-01-01T00:00:00Z', now() + interval '1 hour'),
                ('00000000-0000-0000-0000-000000000002', 'there', 8, null, null, '{mail,default}', '{a,b}',
                 '2026-01-01T00:00:00Z', now() - interval '1 minute')",
    )
    .await;
}

#[tokio::test]
async fn how_much_there_is_is_told_the_oldest_first() {
    let (database, pool) = database().await;
    let (out, _, code) = said(&database, &["stats"]).await;
    assert_eq!(
        (out.as_str(), code),
        ("nothing waits, runs or is dead\n", Some(0))
    );
    some(&pool).await;
    let (out, err, _) = said(&database, &["stats"]).await;
    let expected = "\
QUEUE    TYPE       DUE  OLDEST  LATER  RUNS  DEAD
mail     send_card    3  10 min      0     0     0  paused
default  later        0       -      1     0     0
";
    assert_eq!(out, expected, "{err}");
    let (out, _, _) = said(&database, &["stats", "--json"]).await;
    let stats: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(stats["kinds"][1]["due"], 3, "{stats}");
    let (out, _, _) = said(&database, &["load", "default"]).await;
    assert_eq!(out, "0\n");
}

#[tokio::test]
async fn workers_are_listed_and_one_is_asked_to_stop() {
    let (database, pool) = database().await;
    let (out, _, _) = said(&database, &["workers"]).await;
    assert_eq!(out, "there is no worker\n");
    some(&pool).await;
    let (out, err, _) = said(&database, &["workers"]).await;
    let expected = "\
WORKER    STATE     RUNS  SEEN                  PROCESS  RELEASE  HOST
00000000  alive     0/20  2026-01-01T00:00:00Z        7  1.4.2    here
  default: 1 task types
00000000  vanished     0  2026-01-01T00:00:00Z        8  -        there
  mail, default: 2 task types
";
    assert_eq!(out, expected, "{err}");
    let id = "00000000-0000-0000-0000-000000000001";
    let (_, err, code) = said(&database, &["stop-worker", "0000"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("several workers begin with 0000"), "{err}");
    let (_, err, code) = said(&database, &["stop-worker", "7"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("no worker has an id"), "{err}");
    let (out, err, code) = said(
        &database,
        &[
            "stop-worker",
            id,
            "--because",
            "its host",
            "--as-user",
            "ada",
        ],
    )
    .await;
    assert_eq!((err, code), (target(&database).await, Some(0)));
    let says = format!("worker {id} is asked to stop since 20");
    assert!(out.starts_with(&says), "{out}");
    let (out, _, _) = said(&database, &["workers"]).await;
    assert!(out.contains("  stopping  "), "{out}");
    let audit: String = one(
        &pool,
        "select concat_ws(' ', by, verb, reason) from taskq.audit where verb = 'stop'",
    )
    .await;
    assert_eq!(audit, "ada stop its host");
}

#[tokio::test]
async fn what_was_done_is_told_by_kind() {
    let (database, pool) = database().await;
    let (out, _, _) = said(&database, &["minutes"]).await;
    assert_eq!(out, "workers have written nothing in the last 1h\n");
    execute(
        &pool,
        "insert into taskq.minute
         select date_trunc('minute', now()) - n * interval '1 minute', 'mail', 'send_card', 100, 2, 1,
             '{100}', '{0, 0, 0, 0, 100}'
         from generate_series(1, 3) as n",
    )
    .await;
    let (out, err, code) = said(&database, &["minutes", "--since", "30m"]).await;
    assert_eq!(code, Some(0), "{err}");
    let (head, row) = out.split_once('\n').expect("two lines");
    assert!(
        head.starts_with("QUEUE  TYPE       DONE  FAILED  DIED  WAIT 50 %"),
        "{out}"
    );
    assert!(
        row.starts_with("mail   send_card   300       6     3"),
        "{out}"
    );
    let (_, _, code) = said(&database, &["minutes", "--since", "long"]).await;
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn what_is_kept_is_pruned_once_it_was_counted_and_somebody_said_yes() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.history (task_id, task_type, payload, queue, priority, created_at, claimed_at, finished_at, attempts, errors)
         select n, 'send_card', '{}', 'mail', 0, now(), now(), now() - n * interval '1 hour', 1, '[]'
         from generate_series(1, 2500) as n;
         insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state, finished_at)
         select 10000 + n, 'send_card', '{}', 'mail', 0, now(), 1, 0, '[]', 'discarded', now() - n * interval '1 day'
         from generate_series(1, 10) as n",
    )
    .await;
    let kept = async || -> (i64, i64) {
        (
            one(&pool, "select count(*) from taskq.history").await,
            one(&pool, "select count(*) from taskq.dead").await,
        )
    };
    let (out, _, code) = said(&database, &["prune", "--history", "2d", "--dry-run"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(out, "discard would be done to 2453 tasks\n");
    let (_, err, code) = said(&database, &["prune", "--history", "2d"]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("this would discard 2453 tasks"), "{err}");
    assert_eq!(kept().await, (2500, 10));
    let (out, err, code) = said(
        &database,
        &[
            "prune",
            "--history",
            "2d",
            "--yes",
            "--json",
            "--as-user",
            "ada",
        ],
    )
    .await;
    assert_eq!(code, Some(0), "{err}");
    let ended: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(ended["done"], 2453, "{ended}");
    assert_eq!(ended["filter"], "state:completed older:2d", "{ended}");
    assert_eq!(kept().await, (47, 10));
    let (_, err, code) = said(&database, &["prune", "--dead", "36h", "--yes"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(kept().await, (47, 1));
    let audited: i64 = one(
        &pool,
        "select count(*) from taskq.audit where verb = 'discard' and bulk_id is not null",
    )
    .await;
    assert_eq!(audited, 2);
    for (arguments, says) in [
        (
            &["prune", "--history", "1d", "--dead", "1d"][..],
            "cannot be used with",
        ),
        (&["prune", "--dead", "old"], "such as"),
    ] {
        let (_, err, code) = said(&database, arguments).await;
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(
            err.contains(says) || err.contains("as in 90s"),
            "{arguments:?}: {err}"
        );
    }
}

#[tokio::test]
async fn for_how_long_tasks_are_kept_is_listed() {
    let (database, pool) = database().await;
    let (out, _, code) = said(&database, &["keeps"]).await;
    let nothing = "no program and nobody has said for how long tasks are kept\n";
    assert_eq!((&*out, code), (nothing, Some(0)));
    execute(
        &pool,
        "select taskq.keep('send_card', 'discarded', '36h', 'enough of them', 'ada');
         select taskq.keep('send_card', 'expired', 'none', by => 'ada');
         insert into taskq.keep_definition values ('', 'completed', 604800, now()), ('send_card', 'invalid', 'infinity', now());
         insert into taskq.pruned values ('send_card', 'discarded', 12, now())",
    )
    .await;
    let (out, err, code) = said(&database, &["keeps"]).await;
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<Vec<&str>> = out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["TYPE", "OUTCOME", "KEPT", "BY", "SINCE", "PRUNED"]
    );
    assert_eq!(lines[1], ["(others)", "completed", "7d", "(declared)", "0"]);
    assert_eq!(lines[2][..4], ["send_card", "discarded", "36h", "ada"]);
    assert_eq!(lines[2].last(), Some(&"12"));
    assert_eq!(lines[3], ["enough", "of", "them"]);
    assert_eq!(lines[4][..4], ["send_card", "expired", "none", "ada"]);
    assert_eq!(
        lines[5][..4],
        ["send_card", "invalid", "forever", "(declared)"]
    );
    let (out, _, _) = said(&database, &["keeps", "--json"]).await;
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told[1]["seconds"], 129_600.0, "{told}");
    assert_eq!(
        (&told[1]["by"], &told[1]["pruned"]),
        (&json!("ada"), &json!(12))
    );
    assert_eq!(told[3]["seconds"], Value::Null, "for ever");
}

#[tokio::test]
async fn what_is_kept_no_longer_is_pruned_once_somebody_said_yes() {
    let (database, pool) = database().await;
    let (out, err, code) = said(&database, &["prune", "--yes"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("nothing is kept longer than it should be"),
        "{out}"
    );
    execute(
        &pool,
        "insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state, finished_at)
         select 10000 + n, 'send_card', '{}', 'mail', 0, now(), 1, 0, '[]', 'discarded', now() - n * interval '1 day'
         from generate_series(1, 10) as n;
         select taskq.keep('send_card', 'discarded', '36h')",
    )
    .await;
    let dead = "select count(*) from taskq.dead";
    let (out, err, code) = said(&database, &["prune", "--dry-run"]).await;
    assert_eq!(code, Some(0), "{err}");
    for part in ["TASKS", "9", "send_card", "discarded", "36h"] {
        assert!(out.contains(part), "{out}");
    }
    let (out, _, _) = said(&database, &["prune", "--dry-run", "--json"]).await;
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told[0]["tasks"], 9, "{told}");
    let (_, err, code) = said(&database, &["prune"]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("say --yes"), "{err}");
    assert_eq!(one::<i64>(&pool, dead).await, 10);
    let (_, err, code) = said(&database, &["prune", "--yes"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("9 pruned"), "{err}");
    assert_eq!(one::<i64>(&pool, dead).await, 1);
}

#[tokio::test]
async fn retrying_by_a_filter_leaves_completed_tasks_alone() {
    let (database, _pool) = database().await;
    let (_, err, code) = said(&database, &["retry", "--all", "state:completed", "--yes"]).await;
    assert_eq!(code, Some(1));
    assert!(
        err.contains("there is nothing to retry where a task is completed"),
        "{err}"
    );
}
