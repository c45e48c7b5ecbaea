//! The grants of `migrations/roles.sql`: each role can do its part, and no other.

use sqlx::{Executor, PgPool};
use taskq::task;

use crate::support::{database, drain, execute, states, worker};

/// Runs as a role. Roles belong to the whole server, so each test has them in a transaction of
/// its own, which is rolled back.
async fn as_role(pool: &PgPool, role: &str, statements: &[(&'static str, bool)]) {
    let mut tx = pool.begin().await.expect("a transaction");
    tx.execute(include_str!("../../migrations/roles.sql"))
        .await
        .expect("roles and grants");
    tx.execute(sqlx::AssertSqlSafe(format!("set local role {role}")))
        .await
        .expect("a role");
    for (statement, allowed) in statements {
        tx.execute("savepoint before").await.expect("a savepoint");
        let result = tx.execute(*statement).await;
        assert_eq!(result.is_ok(), *allowed, "{role}: {statement}: {result:?}");
        tx.execute("rollback to savepoint before")
            .await
            .expect("back");
    }
    tx.rollback().await.expect("rolled back");
}

const ENQUEUE: &str =
    "insert into taskq.task (task_type, payload) values ('a', '{}') returning task_id";

#[tokio::test]
async fn a_web_role_may_enqueue_and_nothing_else() {
    let (_database, pool) = database().await;
    execute(&pool, "insert into taskq.sleeper values ('default', gen_random_uuid(), now() + interval '1 hour')").await;
    as_role(
        &pool,
        "taskq_enqueue",
        &[
            (ENQUEUE, true),
            ("select payload from taskq.task", false),
            ("delete from taskq.task", false),
            ("update taskq.task set priority = 0", false),
            ("select * from taskq.tasks", false),
            ("select * from taskq.sleeper", false),
        ],
    )
    .await;
}

const PAUSE: &str = "select taskq.pause_queue('mail')";

#[tokio::test]
async fn an_operator_role_may_pause_and_a_worker_role_may_only_obey() {
    let (_database, pool) = database().await;
    let read = "select * from taskq.pause";
    let resume = "select taskq.resume_queue('mail')";
    let operator = [
        (PAUSE, true),
        (resume, true),
        (read, true),
        (ENQUEUE, false),
    ];
    as_role(&pool, "taskq_operator", &operator).await;
    let others = [(PAUSE, false), (resume, false), (read, true)];
    for role in ["taskq_worker", "taskq_read", "taskq_enqueue"] {
        as_role(&pool, role, &others).await;
    }
}

#[tokio::test]
async fn an_operator_role_may_make_and_run_schedules_and_a_worker_role_may_tick() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "select taskq.upsert_schedule('there', '* * * * *', 'a')",
    )
    .await;
    let upsert = "select taskq.upsert_schedule('x', '* * * * *', 'a')";
    let run = "select taskq.run_schedule('there')";
    let list = include_str!("../../taskq/src/store/sql/schedule/schedules.sql");
    let list = list.replace("$1", "null").leak();
    let operator = [
        (upsert, true),
        (run, true),
        (list, true),
        ("select taskq.pause_schedule('there')", true),
        ("select taskq.resume_schedule('there')", true),
        ("select taskq.remove_schedule('there')", true),
        (ENQUEUE, false),
    ];
    as_role(&pool, "taskq_operator", &operator).await;
    let tick = include_str!("../../taskq/src/store/sql/schedule/tick.sql");
    let values = [
        ("$7", "0"),
        ("$6", "now() + interval '1 minute'"),
        ("$5", "now()"),
        ("$4", "array[0]"),
        ("$3", "array[now()]"),
        ("$2", "1"),
        ("$1", "'there'"),
    ];
    let filled = |text: String, (parameter, value): &(&str, &str)| text.replace(parameter, value);
    let tick: &str = values.iter().fold(tick.to_owned(), filled).leak();
    let declare = "select taskq.declare_schedules('{}', '{}', 90)";
    let pause = "select taskq.pause_schedule('there')";
    let worker = [(tick, true), (declare, true), (pause, false)];
    as_role(&pool, "taskq_worker", &worker).await;
    let others = [(upsert, false), (run, false), (tick, false)];
    for role in ["taskq_read", "taskq_enqueue"] {
        as_role(&pool, role, &others).await;
    }
}

#[tokio::test]
async fn an_operator_role_may_say_weights_and_a_worker_role_may_only_obey() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most)
         values ('key', 'a', 'fair', '{tenant_id}', 1)",
    )
    .await;
    let say = r#"select taskq.set_weight('a', '{"tenant_id": 7}', 3)"#;
    let write = "insert into taskq.fair_weight (task_type, key, fields, weight, by) values ('a', '', '{}', 3, 'me')";
    let read = "select * from taskq.fair_weight";
    let claim = "select * from taskq.claim_fair(
        gen_random_uuid(), gen_random_uuid(), 30, 'default', array['a'], 'a', 0::smallint, 0, 0::smallint, 1, null, 0,
        false, true, false)";
    let operator = [(say, true), (read, true), (write, false)];
    as_role(&pool, "taskq_operator", &operator).await;
    let worker = [(claim, true), (read, true), (say, false), (write, false)];
    as_role(&pool, "taskq_worker", &worker).await;
    for role in ["taskq_read", "taskq_enqueue"] {
        as_role(&pool, role, &[(say, false), (write, false), (claim, false)]).await;
    }
}

#[tokio::test]
async fn a_reading_role_may_find_and_an_operator_role_may_treat_all_that_match() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'a' from generate_series(1, 3);
        insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state)
        values (4, 'a', '{}', 'default', 0, now(), 1, 0, 'discarded');
        select taskq.freeze_bulk('cancel', '{}'); select taskq.begin_bulk(1)",
    )
    .await;
    let finds = [
        ("select * from taskq.list('{\"type\": [\"a\"]}')", true),
        ("select taskq.show(1)", true),
        ("select * from taskq.causes()", true),
        ("select * from taskq.doctor()", true),
        ("select * from taskq.why(1)", true),
        ("select * from taskq.stuck()", true),
        ("select taskq.count_matching('cancel', '{}')", true),
        ("select * from taskq.bulk", true),
        ("select * from taskq.bulk_failure", true),
    ];
    let treats = [
        "select taskq.freeze_bulk('cancel', '{}')",
        "select taskq.begin_bulk(1)",
        "select taskq.step_bulk(1)",
        "select taskq.stop_bulk(1)",
        "select taskq.drop_bulk(1)",
        "select taskq.edit(4, '{}')",
        "select taskq.enqueue_by_hand('a')",
    ];
    for (role, allowed) in [("taskq_operator", true), ("taskq_read", false)] {
        let treats = treats.map(|treat| (treat, allowed));
        as_role(&pool, role, &[&finds[..], &treats[..]].concat()).await;
    }
    let inner = "select taskq.do_bulk(bulk, '{1}') from taskq.bulk";
    as_role(&pool, "taskq_operator", &[(inner, false)]).await;
    for role in ["taskq_enqueue", "taskq_worker"] {
        as_role(&pool, role, &treats.map(|treat| (treat, false))).await;
    }
    as_role(
        &pool,
        "taskq_enqueue",
        &finds.map(|(find, _)| (find, false)),
    )
    .await;
}

#[tokio::test]
async fn a_reading_role_may_watch_and_an_operator_role_may_stop_workers() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, slots, expires_at)
         values ('00000000-0000-0000-0000-000000000001', 'here', 1, '{}', '{}', 1, now() + interval '1 hour')",
    )
    .await;
    let looks = [
        "select * from taskq.stats()",
        "select taskq.load('default')",
        "select * from taskq.workers()",
        "select * from taskq.minute",
        "select * from taskq.minute_total",
    ];
    let stop = "select taskq.stop_worker('00000000-0000-0000-0000-000000000001')";
    let forge = "update taskq.worker set stop_asked_at = now()";
    for (role, looks_are, stop_is) in [
        ("taskq_operator", true, true),
        ("taskq_read", true, false),
        ("taskq_enqueue", false, false),
    ] {
        let looks = looks.map(|look| (look, looks_are));
        let acts = [(stop, stop_is), (forge, false)];
        as_role(&pool, role, &[&looks[..], &acts[..]].concat()).await;
    }
    as_role(&pool, "taskq_worker", &[(stop, false)]).await;
}

/// What wakes workers runs with its owner's rights, and so must not run what is the caller's.
#[tokio::test]
async fn an_enqueue_calls_no_operator_of_the_caller() {
    let (_database, pool) = database().await;
    execute(&pool, "insert into taskq.sleeper values ('default', gen_random_uuid(), now() + interval '1 hour')").await;
    let mut db = pool.acquire().await.expect("a connection");
    let trap = "create schema trap;
        create function trap.sprung(text, text) returns boolean language plpgsql
            as 'begin raise exception ''sprung''; end';
        create operator trap.= (leftarg = text, rightarg = text, function = trap.sprung);
        create function trap.sprung(timestamptz, timestamptz) returns boolean language plpgsql
            as 'begin raise exception ''sprung''; end';
        create operator trap.> (leftarg = timestamptz, rightarg = timestamptz, function = trap.sprung);
        create function trap.now() returns timestamptz language plpgsql
            as 'begin raise exception ''sprung''; end';
        set search_path = trap, pg_catalog";
    db.execute(trap).await.expect("set");
    let caught = db.execute("select now() > now()").await;
    assert!(caught.is_err(), "the trap works");
    db.execute(ENQUEUE).await.expect("enqueued");
}

#[tokio::test]
async fn a_reading_role_may_look_and_not_touch() {
    let (_database, pool) = database().await;
    as_role(
        &pool,
        "taskq_read",
        &[
            ("select * from taskq.tasks", true),
            ("select * from taskq.worker", true),
            (ENQUEUE, false),
            ("delete from taskq.dead", false),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_worker_role_can_run_a_worker() {
    #[task]
    async fn either(
        tx: &mut sqlx::PgConnection,
        fails: bool,
    ) -> Result<(), taskq::error::BoxError> {
        sqlx::query("select 1").execute(tx).await?;
        match fails {
            true => Err(taskq::outcome::discard("as asked"))?,
            false => Ok(()),
        }
    }

    let (database, pool) = database().await;
    // A name of its own, because roles outlive the database.
    let role = format!("taskq_worker_{}", std::process::id());
    let grants = include_str!("../../migrations/roles.sql").replace("taskq_worker", &role);
    let worker_part = grants
        .split("create role ")
        .find(|part| part.starts_with(&role))
        .expect("its part");
    let worker_part = worker_part
        .split("\n-- A reader")
        .next()
        .unwrap_or_default();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create role {worker_part}")))
        .execute(&pool)
        .await
        .expect("granted");

    let as_worker = sqlx::postgres::PgPoolOptions::new()
        .max_connections(20)
        .connect_with(
            database
                .connect_options()
                .options([("role", role.as_str())]),
        )
        .await
        .expect("connected");
    let mut db = as_worker.acquire().await.expect("a connection");
    Either::enqueue(&mut db, false).await.expect("enqueued");
    Either::enqueue(&mut db, true).await.expect("enqueued");
    drop(db);
    drain(
        worker(&as_worker).only::<(Either,)>().keep_completed(true),
        &as_worker,
    )
    .await;
    let states = states(&as_worker).await;
    as_worker.close().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "drop owned by {role}; drop role {role}"
    )))
    .execute(&pool)
    .await
    .expect("dropped");
    assert_eq!((states["completed"], states["discarded"]), (1, 1));
}

#[tokio::test]
async fn an_operator_role_may_mend_what_is_no_task() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.refused (task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts, crashes)
         values (1, 'a', 1, '{}', 'default', 0, now(), now(), 0, 0);
         insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         values ('00000000-0000-0000-0000-000000000001', 'a', 1, '{}', '{}', now() - interval '1 hour')",
    )
    .await;
    let take_back = "select taskq.take_back(1)";
    let forget = "select taskq.forget_worker('00000000-0000-0000-0000-000000000001')";
    let forge = "insert into taskq.audit (by, verb) values ('ada', 'pause')";
    let operator = [(take_back, true), (forget, true), (forge, false)];
    as_role(&pool, "taskq_operator", &operator).await;
    let worker = [(take_back, true), (forget, false), (forge, false)];
    as_role(&pool, "taskq_worker", &worker).await;
    for role in ["taskq_read", "taskq_enqueue"] {
        as_role(
            &pool,
            role,
            &[(take_back, false), (forget, false), (forge, false)],
        )
        .await;
    }
}

#[tokio::test]
async fn a_web_role_may_begin_groups_and_add_to_them_and_an_operator_may_seal_one() {
    let (_database, pool) = database().await;
    execute(&pool, "select taskq.begin_group('there')").await;
    let begin = "select taskq.begin_group('a')";
    // All of it, with what its commit does.
    let all = "with begun as (select taskq.begin_group('a') as group_id)
               select taskq.enqueue('b', '{}', jsonb_build_object('group', group_id)), taskq.seal_group(group_id) from begun;
               set constraints all immediate";
    let seal = "select taskq.seal_group(1, by => 'ada')";
    let read = "select * from taskq.task_group";
    let tend = "select taskq.tend_groups(1, 1)";
    let web = [(begin, true), (all, true), (read, false), (tend, false)];
    as_role(&pool, "taskq_enqueue", &web).await;
    let worker = [(all, true), (read, true), (tend, true)];
    as_role(&pool, "taskq_worker", &worker).await;
    let operator = [(begin, false), (seal, true), (read, true), (tend, false)];
    as_role(&pool, "taskq_operator", &operator).await;
}
