//! Why a task does not run: each reason staged, and told in the same words by SQL, Rust, the command line and the page.

use sqlx::{AssertSqlSafe, PgPool};
use taskq::operate::Reason;

use super::enqueue;
use crate::cli::said;
use crate::support::{database, execute, one, until, while_working, worker};

async fn why(pool: &PgPool, task_id: i64) -> Vec<Reason> {
    taskq::operate(pool).why(task_id).await.expect("told")
}

/// Returns the reasons as `reason: words`.
async fn reasons(pool: &PgPool, task_id: i64) -> Vec<String> {
    let reasons = why(pool, task_id).await;
    let text = |it: Reason| format!("{}: {}", it.reason, it.said);
    reasons.into_iter().map(text).collect()
}

/// Has a worker live that knows these types, in the queue `default`.
async fn live(pool: &PgPool, task_types: &str) {
    let worker = format!(
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, slots, expires_at)
         values ('00000000-0000-0000-0000-000000000001', 'here', 7, '{{default}}', '{{{task_types}}}', 10, now() + interval '1 hour')"
    );
    let made = sqlx::raw_sql(AssertSqlSafe(worker)).execute(pool).await;
    made.expect("made");
}

/// Has that worker hold what waits of a type and fits a key, in a lease of its own.
async fn claim(pool: &PgPool, task_type: &str) {
    let claim = format!(
        "select from taskq.claim_limited('00000000-0000-0000-0000-000000000001', 300, 'default', array['{task_type}'],
             '{task_type}', 0::smallint, 0, 0::smallint, 100, 100, null, '{{null}}', '{{0}}', array[100], false, true)"
    );
    let claimed = sqlx::raw_sql(AssertSqlSafe(claim)).execute(pool).await;
    claimed.expect("claimed");
}

#[tokio::test]
async fn a_task_that_nothing_holds_up_is_told_how_many_stand_before_it() {
    let (_database, pool) = database().await;
    live(&pool, "greet").await;
    enqueue(&pool, "greet", "{}").await;
    let second = enqueue(&pool, "greet", "{}").await;
    assert_eq!(
        reasons(&pool, second).await,
        [
            "next: it has been due for 0 s. Before it stands 1 of its type and priority, and its workers have 10 slots, of which 0 are in use"
        ]
    );
    assert_eq!(why(&pool, second + 1).await, [], "there is no such task");
}

#[tokio::test]
async fn a_task_that_is_not_due_is_told_when_and_why_it_waits() {
    let (_database, pool) = database().await;
    live(&pool, "greet").await;
    let task_id = enqueue(&pool, "greet", "{}").await;
    execute(
        &pool,
        "update taskq.task set run_at = now() + interval '3 hours 30 s', attempts = 2",
    )
    .await;
    let reason = &why(&pool, task_id).await[0];
    assert_eq!(reason.reason, "not due");
    assert_eq!(
        reason.said,
        "it is due in 3 hours: attempt 2 has failed, and it is tried again then"
    );
    assert_eq!(reason.command, Some(format!("retry {task_id}")));
    assert!(reason.until.is_some());
}

#[tokio::test]
async fn a_task_that_is_paused_twice_is_told_both_times_by_whom() {
    let (_database, pool) = database().await;
    live(&pool, "greet").await;
    let task_id = enqueue(&pool, "greet", "{}").await;
    execute(
        &pool,
        "select taskq.pause_queue('default', 'SMTP is down', by => 'ada');
         select taskq.pause_task_type('greet', until => now() + interval '1 hour 30 s', by => 'bob');
         select taskq.pause_task_type('other')",
    )
    .await;
    let told = reasons(&pool, task_id).await;
    assert_eq!(told.len(), 2, "{told:?}");
    let told = told.concat();
    assert!(
        told.contains("paused: queue default has been paused for 0 s by ada (SMTP is down)"),
        "{told}"
    );
    assert!(
        told.contains(
            "task type greet has been paused for 0 s by bob, and is for another 60 minutes"
        ),
        "{told}"
    );
}

#[tokio::test]
async fn a_task_that_nobody_serves_is_told_what_is_missing() {
    let (_database, pool) = database().await;
    let task_id = enqueue(&pool, "greet", "{}").await;
    let said = async |what: &str| {
        let told = reasons(&pool, task_id).await;
        assert_eq!(
            told,
            [format!(
                "unserved: its type is greet, its queue default, and {what}"
            )]
        );
    };
    said("no worker is alive").await;
    live(&pool, "other").await;
    said("no living worker knows that type").await;
    execute(&pool, "update taskq.worker set queues = '{mail}'").await;
    said("no living worker works on that queue").await;
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         values (gen_random_uuid(), 'here', 8, '{default}', '{other}', now() + interval '1 hour');
         update taskq.worker set task_types = '{greet}' where process_id = 7",
    )
    .await;
    said("the workers that know that type do not work on that queue").await;
}

#[tokio::test]
async fn a_task_that_a_limit_has_parked_is_told_which_and_by_which_tasks() {
    let (_database, pool) = database().await;
    live(&pool, "greet,rated").await;
    execute(
        &pool,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most)
         values ('key', 'greet', 'concurrency', '{tenant}', 1);
         insert into taskq.limit_rule (scope, name, kind, declared_most, declared_seconds, declared_burst)
         values ('task_type', 'rated', 'rate', 1, 600, 1)",
    )
    .await;
    let runs = enqueue(&pool, "greet", r#"{"tenant": 7}"#).await;
    claim(&pool, "greet").await;
    let parked = enqueue(&pool, "greet", r#"{"tenant": 7}"#).await;
    let other = enqueue(&pool, "greet", r#"{"tenant": 8}"#).await;
    assert_eq!(
        reasons(&pool, parked).await,
        [format!(
            "limit: 1 of 1 of type greet with the key {{\"tenant\": 7}} runs: task {runs}"
        )]
    );
    assert!(reasons(&pool, other).await[0].starts_with("next: "));

    execute(
        &pool,
        "select taskq.limit_concurrency('task_type', 'greet', 0)",
    )
    .await;
    let told = reasons(&pool, other).await;
    assert_eq!(told, ["limit: type greet is limited to nothing"]);
    execute(
        &pool,
        "select taskq.limit_concurrency('task_type', 'greet', 9);
         select taskq.limit_concurrency('queue', 'default', 1)",
    )
    .await;
    let told = reasons(&pool, other).await;
    assert_eq!(
        told,
        [format!("limit: 1 of 1 of queue default runs: task {runs}")]
    );
    execute(&pool, "select taskq.reset_limits('queue', 'default')").await;

    enqueue(&pool, "rated", "{}").await;
    claim(&pool, "rated").await;
    let waits = enqueue(&pool, "rated", "{}").await;
    let reason = &why(&pool, waits).await[0];
    assert!(
        reason
            .said
            .starts_with("1 of type rated may start in 10 minutes, and the next may in "),
        "{reason:?}"
    );
    assert!(reason.until.is_some());
    execute(
        &pool,
        "update taskq.gate set held_until = now() + interval '5 minutes 5 s'",
    )
    .await;
    let told = reasons(&pool, waits).await;
    let held = "limit: a handler has said that nothing of type rated starts for";
    assert!(told[0].starts_with(held), "{told:?}");
}

#[tokio::test]
async fn a_key_with_a_secret_is_not_told() {
    let (_database, pool) = database().await;
    live(&pool, "greet").await;
    execute(
        &pool,
        "insert into taskq.secret_field (task_type, field) values ('greet', 'tenant');
         insert into taskq.limit_rule (scope, name, kind, fields, declared_most)
         values ('key', 'greet', 'concurrency', '{tenant}', 1)",
    )
    .await;
    enqueue(&pool, "greet", r#"{"tenant": "canary"}"#).await;
    claim(&pool, "greet").await;
    let parked = enqueue(&pool, "greet", r#"{"tenant": "canary"}"#).await;
    let told = reasons(&pool, parked).await.concat();
    assert!(told.starts_with("limit: 1 of 1 of type greet"), "{told}");
    assert!(!told.contains("canary"), "{told}");
}

#[tokio::test]
async fn a_task_of_a_sequence_is_told_what_stands_before_it() {
    let (_database, pool) = database().await;
    live(&pool, "step").await;
    execute(
        &pool,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most, on_dead)
         values ('key', 'step', 'sequence', '{order}', 1, 'block')",
    )
    .await;
    let payload = r#"{"order": 1}"#;
    let first = enqueue(&pool, "step", payload).await;
    let second = enqueue(&pool, "step", payload).await;
    let third = enqueue(&pool, "step", payload).await;
    let before = |id: i64, is: &str| {
        [format!(
            "sequence: task {id}, which is {is}, stands before it in its sequence"
        )]
    };
    assert!(reasons(&pool, first).await[0].starts_with("next: "));
    assert_eq!(reasons(&pool, third).await, before(first, "waiting"));
    claim(&pool, "step").await;
    assert_eq!(reasons(&pool, second).await, before(first, "running"));
    execute(
        &pool,
        "insert into taskq.dead (task_id, task_type, payload_version, payload, queue, priority, created_at, attempts, crashes, state)
         select task_ids[1], task_types[1], 0, payloads[1], 'default', 0, now(), 1, 0, 'discarded' from taskq.lease;
         delete from taskq.lease",
    )
    .await;
    let reason = &why(&pool, second).await[0];
    assert_eq!(
        [format!("sequence: {}", reason.said)],
        before(first, "discarded")
    );
    assert_eq!(reason.command, Some(format!("skip-dead {first}")));
    execute(
        &pool,
        "delete from taskq.sequence_block;
         insert into taskq.refused (task_id, task_type, payload, refusal)
         select task_id, task_type, payload, '{\"message\": \"no\"}' from taskq.dead",
    )
    .await;
    assert_eq!(reasons(&pool, second).await, before(first, "refused"));
}

#[tokio::test]
async fn a_task_that_waits_for_another_of_its_key_is_told_which() {
    let (_database, pool) = database().await;
    live(&pool, "sync").await;
    execute(
        &pool,
        "select taskq.enqueue('sync', '{}', '{\"unique_key\": \"shop\", \"until\": \"again\"}')",
    )
    .await;
    claim(&pool, "sync").await;
    execute(
        &pool,
        "select taskq.enqueue('sync', '{}', '{\"unique_key\": \"shop\", \"until\": \"again\"}')",
    )
    .await;
    let (runs, waits): (i64, i64) = sqlx::query_as(
        "select lease.task_ids[1], task.task_id from taskq.lease cross join taskq.task",
    )
    .fetch_one(&pool)
    .await
    .expect("one of each");
    assert_eq!(
        reasons(&pool, waits).await,
        [format!(
            "turn: task {runs}, which is running, has the same key, and one of them runs at a time"
        )]
    );
}

#[tokio::test]
async fn a_task_that_has_expired_is_told_so() {
    let (_database, pool) = database().await;
    live(&pool, "greet").await;
    execute(
        &pool,
        "insert into taskq.task (task_type, created_at, metadata)
         values ('greet', now() - interval '1 hour', '{\"task.expires\": 60}'),
                ('greet', now() - interval '1 hour', '{\"task.expires\": \"2026-01-01T00:00:00+00:00\"}'),
                ('greet', now(), '{\"task.expires\": 60}')",
    )
    .await;
    let told = [
        reasons(&pool, 1).await,
        reasons(&pool, 2).await,
        reasons(&pool, 3).await,
    ]
    .map(|told| told.concat());
    assert!(
        told[0].starts_with("expired: it expired 59 minutes ago"),
        "{told:?}"
    );
    assert!(told[1].starts_with("expired: it expired"), "{told:?}");
    assert!(told[2].starts_with("next: "), "{told:?}");
}

#[tokio::test]
async fn a_task_that_runs_is_told_where_and_whether_it_is_perhaps_stuck() {
    let (_database, pool) = database().await;
    live(&pool, "greet").await;
    let task_id = enqueue(&pool, "greet", "{}").await;
    claim(&pool, "greet").await;
    let place = "worker 00000000-0000-0000-0000-000000000001, process 7 on here has had it for";
    assert_eq!(
        reasons(&pool, task_id).await,
        [
            "running: worker 00000000-0000-0000-0000-000000000001, process 7 on here has just claimed it"
        ]
    );
    execute(
        &pool,
        "update taskq.lease set claimed_at = now() - interval '10 minutes'",
    )
    .await;
    assert!(
        reasons(&pool, task_id).await[0].starts_with("running: "),
        "nothing is known of its type"
    );
    // Nearly all took less than two seconds.
    execute(
        &pool,
        "insert into taskq.minute values
            (date_trunc('minute', now()), 'default', 'greet', 1000, 0, 0, '{1000}', '{0,0,0,0,0,0,0,0,0,0,0,999,0,0,0,0,0,0,0,0,0,0,1}')",
    )
    .await;
    let reason = &why(&pool, task_id).await[0];
    assert_eq!(reason.reason, "perhaps stuck");
    assert_eq!(
        reason.said,
        format!("{place} 10 minutes: 99 of 100 of its type take less than 2 s")
    );
    assert_eq!(reason.command, Some(format!("cancel {task_id}")));
    let stuck: i64 = one(&pool, "select task_id from taskq.stuck()").await;
    assert_eq!(stuck, task_id);

    execute(&pool, "update taskq.worker set expires_at = now()").await;
    let told = reasons(&pool, task_id).await;
    assert!(
        told[0].starts_with(&format!("abandoned: {place}")),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_task_that_has_ended_is_told_its_state() {
    let (_database, pool) = database().await;
    let task_id = enqueue(&pool, "greet", "{}").await;
    execute(&pool, "select taskq.cancel(task_id) from taskq.task").await;
    assert_eq!(
        reasons(&pool, task_id).await,
        ["cancelled: it is cancelled: nothing runs it again by itself"]
    );
}

#[tokio::test]
async fn the_command_line_tells_why_below_the_task() {
    let (database, pool) = database().await;
    live(&pool, "greet").await;
    let task_id = enqueue(&pool, "greet", "{}").await;
    execute(
        &pool,
        "select taskq.pause_queue('default', 'SMTP is down', by => 'ada')",
    )
    .await;
    let id = task_id.to_string();
    let (out, err, code) = said(&database, &["show", &id]).await;
    assert_eq!((err.as_str(), code), ("", Some(0)));
    let expected = "\nqueue default has been paused for 0 s by ada (SMTP is down)\n\
                    -> resume the queue once the reason is gone\n   resume queue default\n";
    assert!(out.contains(expected), "{out}");
    let (out, _, _) = said(&database, &["show", &id, "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["why"][0]["reason"], "paused");
}

#[tokio::test]
async fn what_the_session_of_a_transactional_handler_does_is_told() {
    #[taskq::task]
    async fn sleep(tx: &mut taskq::Tx) -> Result<(), taskq::error::BoxError> {
        sqlx::query("select pg_sleep(600)")
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.minute values (date_trunc('minute', now()), 'default', 'sleep', 20, 0, 0, '{20}', '{20}')",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    Sleep::enqueue(&mut db).await.expect("enqueued");
    drop(db);
    let worker = worker(&pool)
        .only::<(Sleep,)>()
        .grace_period(std::time::Duration::ZERO);
    while_working(worker, async {
        until("told", async || {
            let doing: Option<Option<String>> =
                sqlx::query_scalar("select doing from taskq.stuck(longer_than => '0 s')")
                    .fetch_optional(&pool)
                    .await
                    .expect("asked");
            let doing = doing.flatten().unwrap_or_default();
            doing.contains("whose transaction began with it, active and waits for Timeout PgSleep")
                && doing.ends_with("last statement: select pg_sleep(600)")
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_task_that_moves_while_somebody_looks_is_told_as_it_is() {
    let (_database, pool) = database().await;
    live(&pool, "greet").await;
    let task_id = enqueue(&pool, "greet", "{}").await;
    let moving = async {
        loop {
            claim(&pool, "greet").await;
            execute(
                &pool,
                "with back as (delete from taskq.lease returning task_ids[1] as task_id)
                 insert into taskq.task (task_id, task_type) overriding system value select task_id, 'greet' from back",
            )
            .await;
        }
    };
    let looking = async {
        let operator = taskq::operate(&pool);
        let mut runs = 0;
        for _ in 0..500 {
            let Some(task) = operator.show(task_id).await.expect("read") else {
                continue;
            };
            let is_running = task.state == taskq::operate::TaskState::Running;
            runs += u32::from(is_running);
            for reason in &task.why {
                assert_eq!(
                    reason.reason == "running",
                    is_running,
                    "{}: {reason:?}",
                    task.state
                );
            }
        }
        assert!((1..500).contains(&runs), "{runs}: it has not moved");
    };
    tokio::select! {
        () = moving => {}
        () = looking => {}
    }
}
