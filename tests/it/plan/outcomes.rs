//! What is done with outcomes reads no more than they need.

use sqlx::{AssertSqlSafe, PgConnection, Row, query, raw_sql};
use taskq::task;

use super::{PLANS, SCAN_MARKED, explain, set_plans};
use crate::support::{database, drain, execute, one, until, worker};

const SETTLE: &str = concat!(
    include_str!("../../../taskq/src/store/sql/leave/settle.sql"),
    include_str!("../../../taskq/src/store/sql/leave/shrink.sql"),
    include_str!("../../../taskq/src/store/sql/leave/keep.sql"),
    include_str!("../../../taskq/src/store/sql/leave/move.sql")
);

const RESCUE: &str = concat!(
    include_str!("../../../taskq/src/store/sql/leave/rescue.sql"),
    include_str!("../../../taskq/src/store/sql/leave/shrink.sql"),
    include_str!("../../../taskq/src/store/sql/leave/keep.sql"),
    include_str!("../../../taskq/src/store/sql/leave/move.sql")
);

const COMPLETE: &str = include_str!("../../../taskq/src/store/sql/leave/complete.sql");

const COMPLETE_KEPT: &str = include_str!("../../../taskq/src/store/sql/leave/complete_kept.sql");

const HEARTBEAT: &str = include_str!("../../../taskq/src/store/sql/lease/heartbeat.sql");

const COMPLETE_SOME: &str = include_str!("../../../taskq/src/store/sql/leave/complete_some.sql");

/// The arguments for outcomes of all but ten tasks of each of the leases.
const SETTLE_ARGUMENTS: &str = "select format('%L, %L, %L, %L, %L, %L, null',
    array_agg(lease_id), array_agg(task_id), array_agg('retry'::text), array_agg(1::float8),
    array_agg('{\"error\": \"no\"}'::text), array_agg(false)) from given";

const COMPLETE_SOME_ARGUMENTS: &str = "select format('%L, %L, %L, %L',
    array_agg(distinct lease_id), array[2000, 2000, 2000], array_agg(lease_id), array_agg(task_id))
    from given";

/// The arguments for the completion of all of the leases, with a result of each task.
const COMPLETE_KEPT_ARGUMENTS: &str = "select format('%L, %L, %L', array_agg(lease_id),
    array_agg(cardinality(task_ids)),
    array_agg((select jsonb_object_agg(task_id, task_id)::text from unnest(task_ids) as task_id)))
    from taskq.lease";

const RESCUE_ARGUMENTS: &str =
    "select format('%L, 5, null, null', lease_id) from taskq.lease limit 1";

#[tokio::test]
async fn outcomes_are_written_without_a_loop_in_a_loop() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let prepared = [
        ("settle", SETTLE),
        ("complete_some", COMPLETE_SOME),
        ("complete_kept", COMPLETE_KEPT),
        ("rescue", RESCUE),
    ];
    for (name, text) in prepared {
        raw_sql(AssertSqlSafe(format!("prepare {name} as {text}")))
            .execute(&mut *db)
            .await
            .expect("prepared");
    }
    let leases = "alter table taskq.lease set (autovacuum_enabled = false);
        vacuum analyze taskq.lease;
        insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types,
            payload_versions, payloads, priorities, run_ats, created_ats, max_attempts, attempts,
            crashes, errors)
        select gen_random_uuid(), gen_random_uuid(), 'default', now() - interval '1 hour',
            array_agg(lease * 2000 + n), array_agg('type_1'::text), array_agg(1::smallint),
            array_agg('{}'::jsonb), array_agg(0::smallint), array_agg(now()), array_agg(now()),
            array_agg(null::integer), array_agg(0), array_agg(0), array_agg(null::jsonb)
        from generate_series(1, 3) as lease, generate_series(1, 2000) as n
        group by lease;
        create temporary table given as
        select lease_id, task_id from taskq.lease, unnest(task_ids) as task_id
        where task_id % 2000 >= 10";
    for statement in leases.split(';') {
        raw_sql(AssertSqlSafe(statement))
            .execute(&mut *db)
            .await
            .expect(statement);
    }
    for statistics in ["of no leases", "fresh"] {
        for mode in PLANS {
            set_plans(&mut db, mode).await;
            for (name, arguments, least) in [
                ("settle", SETTLE_ARGUMENTS, 5_970),
                ("complete_some", COMPLETE_SOME_ARGUMENTS, 5_970),
                ("complete_kept", COMPLETE_KEPT_ARGUMENTS, 6_000),
                ("rescue", RESCUE_ARGUMENTS, 2_000),
            ] {
                let what = format!("{name}, statistics {statistics}, {mode}");
                let row = raw_sql(arguments).fetch_one(&mut *db).await.expect(name);
                let (plan, _) = explain(&mut db, name, row.get(0)).await;
                let settled = plan.iter().map(|node| node.rows).max();
                assert!(settled >= Some(least), "{what}: {settled:?}");
                // The functions of the migration are not called: their bodies stand in the plan.
                let unfolds = plan.iter().filter(|node| node.kind == "Function Scan");
                let unfolds = unfolds.filter_map(|node| node.function.as_deref());
                assert!(
                    unfolds.into_iter().all(|function| function == "unnest"),
                    "{what}"
                );
                for node in &plan {
                    let (rows, turned_away) = (node.rows, node.turned_away);
                    assert!(
                        rows < 25_000 && turned_away < 25_000,
                        "{what}: {} of {rows} rows, {turned_away} turned away",
                        node.kind
                    );
                }
            }
        }
        raw_sql("analyze taskq.lease")
            .execute(&mut *db)
            .await
            .expect("analyzed");
    }
}

/// Makes a lease of one task for each number of a series.
const LEASES: &str = "insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types,
        payload_versions, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
    select ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, gen_random_uuid(), 'default', now(),
        array[n], array['type_1'], array[1::smallint], array['{}'::jsonb], array[0::smallint],
        array[now()], array[now()], array[null::integer], array[0], array[0], array[null::jsonb]
    from generate_series";

/// Two leases of one task each.
const TWO_LEASES: &str = "array['00000000-0000-0000-0000-000000900001',
    '00000000-0000-0000-0000-000000900002']::uuid[]";

/// Makes statements whose plans were made while the tables were empty, and ten thousand dead rows in each table
/// that no vacuum may take away, because a transaction is held open.
async fn beside_dead_rows(db: &mut PgConnection, held: &mut PgConnection, statistics: &str) {
    for statement in [
        "alter table taskq.lease set (autovacuum_enabled = false)",
        "alter table taskq.task set (autovacuum_enabled = false)",
        statistics,
    ] {
        raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut *db)
            .await
            .expect("set up");
    }
    set_plans(db, "force_generic_plan").await;
    for (name, text, arguments, _) in outcomes_of_two_leases() {
        raw_sql(AssertSqlSafe(format!("prepare {name} as {text}")))
            .execute(&mut *db)
            .await
            .expect("prepared");
        explain(db, name, &arguments).await;
    }
    raw_sql("begin isolation level repeatable read; select 1")
        .execute(&mut *held)
        .await
        .expect("a snapshot");
    let dead = format!(
        "{LEASES}(1, 10000) as n;
         delete from taskq.lease;
         {LEASES}(900001, 900002) as n;
         insert into taskq.task (task_type, payload_version, run_at)
         select 'type_1', 1, '2020-01-01 00:00+00' from generate_series(1, 10000);
         delete from taskq.task;
         insert into taskq.task (task_type, payload_version, run_at)
         select 'type_1', 1, '2020-01-02 00:00+00' from generate_series(1, 10)"
    );
    raw_sql(AssertSqlSafe(dead))
        .execute(&mut *db)
        .await
        .expect("ten thousand died");
}

/// What is done with leases, and a scan: name, text, arguments, and how many rows it returns.
fn outcomes_of_two_leases() -> [(&'static str, &'static str, String, u64); 6] {
    let scan_from_marks = "'default', array['type_1'], array[1]::smallint[], gen_random_uuid(),
        array['type_1'], array[1]::smallint[], array[0]::smallint[],
        array['2020-01-01 12:00+00'::timestamptz], array[0::bigint], true";
    [
        (
            "complete",
            COMPLETE,
            format!("{TWO_LEASES}, array[1, 1]"),
            2,
        ),
        (
            "complete_some",
            COMPLETE_SOME,
            format!("{TWO_LEASES}, array[1, 1], {TWO_LEASES}, array[900001, 900002]"),
            2,
        ),
        (
            "complete_kept",
            COMPLETE_KEPT,
            format!("{TWO_LEASES}, array[1, 1], null"),
            2,
        ),
        (
            "settle",
            SETTLE,
            format!(
                "{TWO_LEASES}, array[900001, 900002], array['retry', 'retry'], array[1.0, 1.0], array[null, null]::text[],
                 array[false, false], null"
            ),
            2,
        ),
        ("heartbeat", HEARTBEAT, format!("{TWO_LEASES}, 30"), 2),
        ("scan_marked", SCAN_MARKED, scan_from_marks.to_owned(), 1),
    ]
}

async fn check_reads_little(db: &mut PgConnection, names: &[&str], what: &str) {
    for (name, _, arguments, rows) in outcomes_of_two_leases() {
        if !names.contains(&name) {
            continue;
        }
        let (plan, pages) = explain(db, name, &arguments).await;
        assert_eq!(plan[0].rows, rows, "{name}, {what}");
        assert!(pages < 150, "{name}, {what}: {pages} pages");
        let reads_whole = plan.iter().any(|node| {
            node.kind == "Seq Scan" && matches!(node.relation.as_deref(), Some("lease" | "task"))
        });
        assert!(!reads_whole, "{name}, {what}");
    }
}

#[tokio::test]
async fn completions_planned_for_new_tables_do_not_read_all_that_died_later() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut held = pool.acquire().await.expect("another connection");
    beside_dead_rows(&mut db, &mut held, "select 1").await;
    check_reads_little(
        &mut db,
        &["complete", "complete_kept", "complete_some"],
        "as planned",
    )
    .await;
}

#[task]
async fn touches(tx: &mut PgConnection) -> sqlx::Result<()> {
    query("select 1").execute(tx).await.map(drop)
}

#[tokio::test]
async fn a_transaction_looks_its_lease_up_by_its_key_however_few_leases_there_were() {
    const TASKS: i64 = 300;
    let (_database, pool) = database().await;
    execute(&pool, "vacuum analyze taskq.lease").await;
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..TASKS {
        Touches::enqueue(&mut db).await.expect("enqueued");
    }
    drop(db);
    drain(worker(&pool).only::<(Touches,)>(), &pool).await;
    // Sessions tell it some time later. Each completion is one, and hardly anything else is.
    let by_key = "select idx_scan from pg_stat_user_indexes where indexrelname = 'lease_pkey'";
    until("all by the key", async || {
        one::<i64>(&pool, by_key).await >= TASKS
    })
    .await;
}

#[tokio::test]
async fn outcomes_planned_anew_do_not_read_all_that_died() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut held = pool.acquire().await.expect("another connection");
    beside_dead_rows(&mut db, &mut held, "vacuum analyze taskq.lease, taskq.task").await;
    // As workers do again and again, and as a vacuum does.
    for anew in ["discard plans", "vacuum analyze taskq.lease, taskq.task"] {
        raw_sql(anew).execute(&mut *db).await.expect(anew);
        for mode in PLANS {
            set_plans(&mut db, mode).await;
            let all = [
                "complete",
                "complete_kept",
                "complete_some",
                "settle",
                "heartbeat",
                "scan_marked",
            ];
            check_reads_little(&mut db, &all, &format!("{anew}, {mode}")).await;
        }
    }
}
