//! What a doctor finds of limits, of the pace, and of the server: each staged, and nothing told where all is well.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Executor, PgPool, raw_sql};
use taskq::operate::Ailment;

use super::doctor::{ailments, live, of};
use crate::support::{database, execute, one};

/// Returns what is said of a kind of trouble, settings included.
async fn said(pool: &PgPool, problem: &str, subject: &str) -> Vec<Ailment> {
    let found = taskq::operate(pool).doctor().await.expect("examined");
    let those = found
        .into_iter()
        .filter(|it| it.problem == problem && it.subject == subject);
    those.collect()
}

async fn name_of(pool: &PgPool) -> String {
    one(pool, "select current_database()::text").await
}

pub(super) async fn run(pool: &PgPool, sql: &str) {
    let done = raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await;
    done.expect(sql);
}

#[tokio::test]
async fn an_attempt_far_beyond_the_usual_time_is_told_with_where_it_runs() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('greet'), ('greet');
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, claimed_at, task_ids, task_types, payload_versions,
             payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), worker.worker_id, 'default', now() + interval '1 minute', now() - interval '2 hours',
             array[task_id], array[task_type], array[payload_version], array[payload], array[priority], array[run_at],
             array[task.created_at], array[max_attempts], array[attempts], array[crashes], array[errors]
         from taskq.task cross join taskq.worker where task_id = 1;
         delete from taskq.task where task_id = 1;
         insert into taskq.minute values (date_trunc('minute', now()), 'default', 'greet', 19, 0, 0, '{19}', '{19}')",
    )
    .await;
    let none = of("perhaps stuck", &ailments(&pool).await);
    assert_eq!(none.len(), 0, "nineteen are too few: {none:?}");
    execute(
        &pool,
        "update taskq.minute set runs = '{20}', completed = 20",
    )
    .await;
    assert_eq!(
        of("perhaps stuck", &ailments(&pool).await),
        [
            "warning: task 1 of type greet has run for 2 hours in process 1 on here: 99 of 100 of its type take less than 0 s \
             -> see in the log of that process, or in pg_stat_activity, what its handler waits for; then cancel it: cancel 1"
        ]
    );
    execute(
        &pool,
        "update taskq.lease set claimed_at = now() - interval '50 s'",
    )
    .await;
    let none = of("perhaps stuck", &ailments(&pool).await);
    assert_eq!(none.len(), 0, "less than a minute is not long: {none:?}");
}

#[tokio::test]
async fn more_than_a_limit_lets_run_is_told_and_so_are_keys_that_nobody_deletes() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most)
         values ('key', 'greet', 'concurrency', '{tenant}', 2), ('task_type', 'greet', 'concurrency', null, 3);
         insert into taskq.task (task_type, payload) select 'greet', '{\"tenant\": 7}' from generate_series(1, 2);
         select from taskq.claim_limited((select worker_id from taskq.worker), 300, 'default', array['greet'], 'greet',
             0::smallint, 0, 0::smallint, 9, 9, null, '{null}', '{0}', array[9], false, false);
         insert into taskq.unique_key (task_type, key, task_id, until)
         select 'greet', to_jsonb(n), 1000 + n, 'done' from generate_series(1, 999) as n",
    )
    .await;
    let found = ailments(&pool).await;
    assert_eq!(found.len(), 0, "{found:?}");
    execute(
        &pool,
        "update taskq.limit_rule set declared_most = 1;
         insert into taskq.unique_key (task_type, key, task_id, until) values ('greet', '0', 1000, 'done')",
    )
    .await;
    let found = ailments(&pool).await;
    let over = of("over limit", &found);
    assert_eq!(over.len(), 2, "{over:?}");
    assert!(
        over[1].starts_with("warning: 2 tasks of task type greet with one key run, and 1 may -> "),
        "{over:?}"
    );
    assert!(
        over[0].starts_with("warning: 2 tasks of task type greet run, and 1 may -> "),
        "{over:?}"
    );
    let keys = of("keys", &found).concat();
    assert!(
        keys.starts_with("warning: 1,000 keys are held by tasks that have ended -> "),
        "{keys}"
    );
}

#[tokio::test]
async fn a_queue_that_is_not_done_in_time_is_told_how_long_it_takes() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.task (task_type, run_at) select 'greet', now() - interval '10 minutes' from generate_series(1, 600);
         insert into taskq.task (task_type, run_at) select 'greet', now() - interval '1 minute' from generate_series(1, 10)",
    )
    .await;
    let pace = async || of("pace", &ailments(&pool).await).concat();
    let stands = pace().await;
    assert!(
        stands.starts_with(
            "error: 610 tasks of queue default are due, the oldest for 10 minutes. \
             In the last 5 minutes 2.0 came in a minute and 0.0 ended: nothing goes on -> ask of one"
        ),
        "{stands}"
    );
    let done = async |number: i64| {
        sqlx::query(
            "insert into taskq.minute values (date_trunc('minute', now() - interval '2 minutes'), 'default', 'greet', $1, 0, 0, '{}', '{}')
             on conflict (minute, queue, task_type) do update set completed = $1",
        )
        .bind(number)
        .execute(&pool)
        .await
        .expect("counted");
    };
    done(5).await;
    let never = pace().await;
    assert!(
        never.contains("ended: at this rate it is never done"),
        "{never}"
    );
    assert!(never.starts_with("error: "), "{never}");
    // At least 50 a minute, so it takes 13 minutes at the most.
    done(300).await;
    let slow = pace().await;
    assert!(slow.starts_with("warning: "), "{slow}");
    let minutes = slow
        .split("at this rate it is done in ")
        .nth(1)
        .and_then(|it| it.split(' ').next())
        .and_then(|it| it.parse::<i64>().ok());
    assert!(minutes.is_some_and(|it| (10..=16).contains(&it)), "{slow}");

    for stop in [
        "select taskq.pause_queue('default')",
        "select taskq.resume_queue('default'); select taskq.limit_concurrency('task_type', 'greet', 0)",
        "select taskq.reset_limits('task_type', 'greet'); update taskq.worker set task_types = '{}'",
        "update taskq.worker set task_types = '{greet}'; update taskq.task set run_at = now() - interval '4 minutes'",
    ] {
        run(&pool, stop).await;
        let pace = pace().await;
        assert_eq!(pace, "", "{stop}: what holds it up is told elsewhere");
    }
}

#[tokio::test]
async fn claims_that_go_by_no_index_are_told() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'greet' from generate_series(1, 20000);
         analyze taskq.task",
    )
    .await;
    let found = ailments(&pool).await;
    assert_eq!(found.len(), 0, "{found:?}");
    execute(
        &pool,
        "update pg_index set indisvalid = false where indexrelid = 'taskq.task_lane'::regclass",
    )
    .await;
    let found = ailments(&pool).await;
    let index = of("index", &found).concat();
    assert!(
        index.contains("reindex index concurrently taskq.task_lane"),
        "{index}"
    );
    assert!(
        of("claim plan", &found)
            .concat()
            .contains("have Postgres look at the table anew"),
        "{found:?}"
    );
    execute(&pool, "drop index taskq.task_lane").await;
    let plan = of("claim plan", &ailments(&pool).await).concat();
    assert!(
        plan.starts_with("error: claims do not go by the index task_lane: Postgres would find the next tasks of type greet"),
        "{plan}"
    );
    assert!(plan.contains("make the index again"), "{plan}");
}

#[tokio::test]
async fn a_connection_limit_that_is_nearly_reached_is_told() {
    let (_database, pool) = database().await;
    live(&pool).await;
    let name = name_of(&pool).await;
    let limit = |most: i32| format!("alter database {name} connection limit {most}");
    run(&pool, &limit(1000)).await;
    let found = ailments(&pool).await;
    assert_eq!(found.len(), 0, "{found:?}");
    run(&pool, &limit(1)).await;
    let told = of("connections", &ailments(&pool).await).concat();
    let whose = format!("database {name} allows 1 connection, and ");
    assert!(told.contains(&whose), "{told}");
}

#[tokio::test]
async fn a_setting_that_hurts_is_told_with_where_it_is_set() {
    let (database, pool) = database().await;
    let name = name_of(&pool).await;
    let hurts = [
        ("statement_timeout", "999ms", "it may stop claims"),
        ("lock_timeout", "900ms", "it may stop claims"),
        (
            "idle_session_timeout",
            "10min",
            "it ends the connections on which workers listen",
        ),
        (
            "default_transaction_isolation",
            "serializable",
            "claims that meet fail",
        ),
        (
            "default_transaction_read_only",
            "on",
            "nothing can be enqueued or claimed",
        ),
        (
            "enable_indexscan",
            "off",
            "each claim reads the whole table",
        ),
    ];
    for (setting, value, why) in hurts {
        assert_eq!(said(&pool, "setting", setting).await, [], "{setting}");
        run(
            &pool,
            &format!("alter database {name} set {setting} = '{value}'"),
        )
        .await;
        let afresh = database.pool_of(3);
        let told = said(&afresh, "setting", setting).await;
        let [told] = &told[..] else {
            panic!("{setting}: {told:?}");
        };
        assert!(
            told.said
                .starts_with(&format!("{setting} is {value} for this database: {why}")),
            "{told:?}"
        );
        let mends = told.statement.clone().expect("a statement");
        // Not on a connection that has it.
        run(&pool, &mends).await;
        let afresh = database.pool_of(3);
        assert_eq!(said(&afresh, "setting", setting).await, [], "{mends}");
    }
}

#[tokio::test]
async fn a_database_with_few_letters_is_told() {
    let (database, pool) = database().await;
    assert_eq!(said(&pool, "encoding", "server_encoding").await, []);
    let latin1 = format!("{}_latin1", name_of(&pool).await);
    run(
        &pool,
        &format!("create database {latin1} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0"),
    )
    .await;
    let options = database.connect_options().database(&latin1);
    let few = sqlx::postgres::PgPoolOptions::new()
        .max_connections(5)
        .connect_with(options)
        .await
        .expect("connected");
    taskq::migrate(&few).await.expect("migrated");
    let told = said(&few, "encoding", "server_encoding").await;
    few.close().await;
    run(&pool, &format!("drop database {latin1}")).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0]
            .said
            .starts_with("the database has the encoding LATIN1")
    );
}

/// Roles belong to the whole server: they are made in a transaction that is rolled back.
#[tokio::test]
async fn a_right_that_a_worker_or_an_operator_lacks_is_told_with_the_grant() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    tx.execute(include_str!("../../../migrations/roles.sql"))
        .await
        .expect("roles and grants");
    let lacking = "select said, statement from taskq.doctor() where problem = 'rights'";
    let told: Vec<(String, String)> = sqlx::query_as(lacking)
        .fetch_all(&mut *tx)
        .await
        .expect("examined");
    assert_eq!(told, [], "roles.sql has all");
    let revokes = [
        (
            "revoke delete, update on taskq.minute from taskq_worker",
            "role taskq_worker may claim tasks, and lacks other rights of a worker: delete, update taskq.minute",
            "grant delete, update on taskq.minute to taskq_worker",
        ),
        (
            "revoke execute on function taskq.stop_worker from taskq_operator",
            "role taskq_operator may cancel tasks, and lacks other rights of an operator: execute taskq.stop_worker(uuid,text,text)",
            "grant execute on function taskq.stop_worker(uuid,text,text) to taskq_operator",
        ),
        (
            "revoke usage on schema taskq from taskq_worker",
            "role taskq_worker may claim tasks, and lacks other rights of a worker: usage taskq",
            "grant usage on schema taskq to taskq_worker",
        ),
    ];
    for (revoke, words, grant) in revokes {
        tx.execute(revoke).await.expect("revoked");
        let told: Vec<(String, String)> = sqlx::query_as(lacking)
            .fetch_all(&mut *tx)
            .await
            .expect("examined");
        assert_eq!(told, [(words.to_owned(), grant.to_owned())]);
        tx.execute(AssertSqlSafe(grant.to_owned()))
            .await
            .expect("granted");
    }
    // What roles.sql grants is what they need, and no more.
    let granted: Vec<(String, String, String)> = sqlx::query_as(
        "select case grantee::regrole::text when 'taskq_worker' then 'claim' else 'cancel' end, object.name, lower(privilege_type)
         from (
             select relname::text as name, relacl as acl from pg_class where relnamespace = 'taskq'::regnamespace
             union all
             select proname::text, proacl from pg_proc where pronamespace = 'taskq'::regnamespace
         ) as object
         cross join lateral aclexplode(object.acl)
         where grantee in ('taskq_worker'::regrole, 'taskq_operator'::regrole)",
    )
    .fetch_all(&mut *tx)
    .await
    .expect("readable");
    let needed: Vec<(String, String, String)> = sqlx::query_as(
        "select part, name, wanted from taskq.needed_rights() cross join lateral unnest(rights) as wanted",
    )
    .fetch_all(&mut *tx)
    .await
    .expect("readable");
    assert_eq!(
        BTreeSet::from_iter(granted),
        BTreeSet::from_iter(needed),
        "taskq.needed_rights and roles.sql say the same"
    );
    tx.rollback().await.expect("rolled back");
    let nobody: i64 = one(&pool, "select count(*) from taskq.ail_rights()").await;
    assert_eq!(nobody, 0, "the owner has all rights");
}
