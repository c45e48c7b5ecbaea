//! What a doctor finds: each kind of trouble staged, and none where there is none.

use sqlx::{Connection, PgConnection, PgPool};
use taskq::operate::{Ailment, Severity};
use taskq::task;

use crate::cli::said;
use crate::support::{database, execute, until, while_working, worker};

#[task]
async fn greet(usr_id: i64) {
    let _ = usr_id;
}

/// Returns what is wrong, but for the settings of the server: tests have one without fsync.
pub(super) async fn ailments(pool: &PgPool) -> Vec<Ailment> {
    let found = taskq::operate(pool).doctor().await.expect("examined");
    let ours = found.into_iter().filter(|it| it.problem != "setting");
    ours.collect()
}

/// Returns of a kind of trouble all that was found, as a person reads it.
pub(super) fn of(problem: &str, ailments: &[Ailment]) -> Vec<String> {
    let those = ailments.iter().filter(|it| it.problem == problem);
    let mends = |it: &Ailment| it.command.clone().or(it.statement.clone());
    let mends = |it: &Ailment| mends(it).map_or_else(String::new, |mends| format!(": {mends}"));
    those
        .map(|it| format!("{it} -> {}{}", it.advice, mends(it)))
        .collect()
}

/// Has a worker live that knows one task type, in the queue `default`.
pub(super) async fn live(pool: &PgPool) {
    execute(
        pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         values (gen_random_uuid(), 'here', 1, '{default}', '{greet}', now() + interval '1 hour')",
    )
    .await;
}

#[tokio::test]
async fn nothing_is_wrong_where_a_worker_works() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Greet::enqueue(&mut db, 1).await.expect("enqueued");
    while_working(worker(&pool).only::<(Greet,)>(), async {
        until("it lives", async || ailments(&pool).await.is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn tasks_that_nobody_runs_are_told_by_what_is_missing() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, queue)
         values ('greet', 'default'), ('greet', 'mail'), ('unknown', 'default')",
    )
    .await;
    let nobody = ailments(&pool).await;
    assert_eq!(
        of("no worker", &nobody),
        [
            "error: no worker is alive: none was started, or each has stopped \
             -> start one, and see in its log why the last one ended"
        ]
    );
    assert_eq!(of("unserved", &nobody).len(), 0, "one line says it all");
    live(&pool).await;
    let found = ailments(&pool).await;
    assert_eq!(
        of("unserved", &found),
        [
            "error: 1 task of type greet waits in queue mail, and no living worker works on that queue \
             -> start a worker with .queue(\"mail\", ...), or see why it has ended",
            "error: 1 task of type unknown waits in queue default, and no living worker knows that type \
             -> deploy a worker that has a handler of that name, or says it as an alias; if the name is a mistake, cancel them: \
             cancel --all 'state:waiting queue:default type:unknown'",
        ]
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

#[tokio::test]
async fn workers_that_vanished_and_what_they_left_are_told() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, seen_at, expires_at)
         values ('00000000-0000-0000-0000-000000000001', 'there', 7, '{default}', '{greet}',
                 now() - interval '10 minutes', now() - interval '9 minutes');
         insert into taskq.task (task_type, payload) select 'greet', '{\"usr_id\": 1}' from generate_series(1, 3);
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads,
             priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'default', now() - interval '2 minutes',
             array_agg(task_id), array_agg(task_type), array_agg(payload_version), array_agg(payload), array_agg(priority),
             array_agg(run_at), array_agg(created_at), array_agg(max_attempts), array_agg(attempts), array_agg(crashes),
             array_agg(errors)
         from taskq.task;
         delete from taskq.task",
    )
    .await;
    let found = ailments(&pool).await;
    let vanished = of("vanished worker", &found).concat();
    assert!(
        vanished.contains("process 7 on there was last seen 10 minutes ago"),
        "{vanished}"
    );
    let lease = of("lease", &found).concat();
    assert!(
        lease.starts_with("error: 3 tasks are in leases that ended"),
        "{lease}"
    );
}

#[tokio::test]
async fn five_thousand_dead_tasks_of_three_causes_are_three_lines_and_an_invalid_payload_is_one() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state)
         select n, 'greet', '{}', 'default', 0, now(), 3, 0, jsonb_build_array(jsonb_build_object('error',
             case n % 3 when 0 then 'timed out after ' || n when 1 then 'no usr ' || n else 'refused' end)), 'discarded'
         from generate_series(1, 5000) as n;
         insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state, finished_at)
         values (5001, 'greet', '{}', 'default', 0, now(), 3, 0, 'discarded', now() - interval '2 days'),
                (5002, 'greet', '{}', 'default', 0, now(), 3, 0, 'cancelled', now());
         insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state)
         values (5003, 'greet', '{}', 'default', 0, now(), 0, 0, '[{\"error\": \"payload does not decode\"}]', 'invalid')",
    )
    .await;
    let dead = of("dead", &ailments(&pool).await);
    assert_eq!(dead.len(), 4, "{dead:?}");
    let invalid = dead.iter().find(|it| it.contains("(invalid)"));
    assert!(
        invalid.is_some_and(|it| it.contains("payload does not decode")),
        "{dead:?}"
    );
    let refused = dead.iter().find(|it| it.contains("refused")).expect("told");
    assert!(
        refused
            .starts_with("error: 1,667 tasks of type greet have died in the last day (discarded)"),
        "{refused}"
    );
    assert!(refused.contains("retry --all cause:"), "{refused}");
}

#[tokio::test]
async fn what_operators_stopped_is_told_with_who_and_why() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('greet'), ('greet');
         select taskq.pause_queue('default', 'SMTP is down', by => 'ada');
         select taskq.limit_concurrency('queue', 'default', 0, 'too many', by => 'ada')",
    )
    .await;
    let found = ailments(&pool).await;
    let paused = of("paused", &found).concat();
    assert!(
        paused.starts_with("warning: queue default has been paused for")
            && paused.contains("by ada (SMTP is down)"),
        "{paused}"
    );
    assert!(
        paused.ends_with(
            "and 2 tasks wait -> resume the queue once the reason is gone: resume queue default"
        ),
        "{paused}"
    );
    let limit = of("limit", &found).concat();
    assert!(
        limit.contains("queue default is limited to nothing by ada"),
        "{limit}"
    );
    let advice = "or reset it: then what programs declare holds again: reset-limits queue default";
    assert!(limit.ends_with(advice), "{limit}");
    assert!(
        found.iter().all(|it| it.severity == Severity::Warning),
        "{found:?}"
    );
}

#[tokio::test]
async fn what_does_not_go_on_is_told() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.refused (task_id, task_type, refusal, refused_at)
         values (1, 'greet', '{\"message\": \"no such order\"}', now()),
                (2, 'greet', '{\"message\": \"zero is no order\"}', now() - interval '1 day');
         insert into taskq.schedule_definition
             (name, digest, expression, timezone, task_type, payload, options, catch_up, overlap, jitter)
         select name, name, '* * * * *', 'UTC', 'greet', '{}', '{}', 'none', 'allow', 0
         from unnest(array['late', 'paused', 'broken', 'well']) as name;
         insert into taskq.schedule (name, definition_id, next_tick, error, error_at)
         select name, definition_id,
             now() + case when name in ('late', 'paused') then interval '-10 minutes' else interval '30 seconds' end,
             case when name = 'broken' then 'no such queue' end,
             case when name = 'broken' then now() end
         from taskq.schedule_definition;
         select taskq.pause_schedule('paused')",
    )
    .await;
    let found = ailments(&pool).await;
    assert!(
        of("refused", &found).concat().contains("no such order"),
        "{found:?}"
    );
    let schedules = of("schedule", &found);
    assert_eq!(schedules.len(), 2, "{schedules:?}");
    assert!(
        schedules[0].contains("could not tick 0 s ago: no such queue"),
        "{schedules:?}"
    );
    assert!(
        schedules[1].contains("schedule late is late: it should have ticked 10 minutes ago"),
        "{schedules:?}"
    );
}

#[tokio::test]
async fn a_transaction_that_stays_open_is_told_with_its_last_statement() {
    let (_database, pool) = database().await;
    live(&pool).await;
    let mut db = pool.acquire().await.expect("a connection").detach();
    let mut tx = db.begin().await.expect("begun");
    sqlx::query("select 'forgotten', txid_current()")
        .execute(&mut *tx)
        .await
        .expect("asked");
    let open: Vec<(String, String)> = sqlx::query_as(
        "select said, statement from taskq.doctor(patience => '0 s')
         where problem = 'open transaction' and said like '%forgotten%'",
    )
    .fetch_all(&pool)
    .await
    .expect("examined");
    let [(said, statement)] = &open[..] else {
        panic!("{open:?}");
    };
    assert!(said.contains("idle in transaction"), "{said}");
    assert!(statement.contains(".end_session("), "{statement}");
    tx.rollback().await.expect("rolled back");
    close(db).await;
}

async fn close(db: PgConnection) {
    db.close().await.expect("closed");
}

#[tokio::test]
async fn tables_without_autovacuum_are_told() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "alter table taskq.task set (autovacuum_enabled = no)",
    )
    .await;
    let found = of("autovacuum", &ailments(&pool).await).concat();
    assert!(
        found.contains("alter table taskq.task reset (autovacuum_enabled)"),
        "{found}"
    );
}

#[tokio::test]
async fn tables_older_than_the_program_are_told_and_nothing_else() {
    let (_database, pool) = database().await;
    execute(&pool, "delete from taskq.migration where version >= 12").await;
    let found = taskq::operate(&pool).doctor().await.expect("examined");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]
            .said
            .starts_with("the tables are of version 11, and this program needs"),
        "{found:?}"
    );
}

#[tokio::test]
async fn the_command_line_exits_with_1_if_tasks_do_not_run() {
    let (database, pool) = database().await;
    live(&pool).await;
    let (out, err, code) = said(&database, &["doctor"]).await;
    assert_eq!((err.as_str(), code), ("", Some(0)), "{out}");
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('unknown')",
    )
    .await;
    let (out, err, code) = said(&database, &["doctor"]).await;
    assert_eq!((err.as_str(), code), ("", Some(1)));
    assert!(out.starts_with("error: 1 task of type unknown waits in queue default, and no living worker knows\nthat type\n-> "), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let (out, _, code) = said(&database, &["doctor", "--json"]).await;
    assert_eq!(code, Some(1));
    let json: Vec<serde_json::Value> = serde_json::from_str(&out).expect("JSON");
    let fields: Vec<&String> = json[0].as_object().expect("an object").keys().collect();
    let expected = [
        "acknowledged",
        "advice",
        "command",
        "problem",
        "said",
        "severity",
        "statement",
        "subject",
    ];
    assert_eq!(fields, expected);
    assert_eq!(
        (&json[0]["severity"], &json[0]["problem"]),
        (&"error".into(), &"unserved".into())
    );
}

#[tokio::test]
async fn what_mends_a_trouble_can_be_pasted_whatever_the_names_are() {
    let (database, pool) = database().await;
    live(&pool).await;
    let name = r#"it's a "q"* \ of $HOME"#;
    for statement in [
        "insert into taskq.task (task_type, queue) values ($1, 'default')",
        "select taskq.pause_queue($1)",
    ] {
        let said = sqlx::query(statement).bind(name).execute(&pool).await;
        said.expect("said");
    }
    let found = ailments(&pool).await;
    let mending = |problem: &str| {
        let it = found.iter().find(|it| it.problem == problem);
        it.expect("told").clone()
    };
    for (problem, yes) in [("paused", ""), ("unserved", " --yes")] {
        let command = mending(problem).command.expect("a command");
        let script = format!("{} {command}{yes}", env!("CARGO_BIN_EXE_operated"));
        let shell = std::process::Command::new("sh")
            .args(["-c", &script])
            .env("DATABASE_URL", database.url())
            .output();
        let shell = shell.expect("a shell");
        assert!(shell.status.success(), "{script}: {shell:?}");
    }
    assert_eq!(ailments(&pool).await.len(), 0, "all is mended");
    for problem in ["paused", "unserved"] {
        let statement = mending(problem).statement.expect("a statement");
        let said = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
        said.execute(&pool).await.expect("a statement");
    }
}

#[tokio::test]
async fn many_workers_that_vanished_are_five_lines() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         select gen_random_uuid(), 'there', n, '{default}', '{greet}', now() - interval '1 minute'
         from generate_series(1, 300) as n",
    )
    .await;
    let vanished = of("vanished worker", &ailments(&pool).await);
    assert_eq!(vanished.len(), 5, "{vanished:?}");
    assert!(
        vanished.concat().contains("and so have 295 others"),
        "{vanished:?}"
    );
}
