//! Plans: what a claim reads grows with what it takes, and with nothing else; and so does what is done
//! with outcomes.

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row, ValueRef, raw_sql};

use crate::support::database;

const CLAIM: &str = include_str!("../../taskq/src/store/sql/claim/claim.sql");
const RESERVE: &str = include_str!("../../taskq/src/store/sql/claim/reserve.sql");
const ANYWHERE: &str = include_str!("../../taskq/src/store/sql/claim/anywhere.sql");
const SCAN: &str = include_str!("../../taskq/src/store/sql/claim/scan.sql");
const CHECK: &str = include_str!("../../taskq/src/store/sql/check/check_waiting.sql");
const SETTLE: &str = concat!(
    include_str!("../../taskq/src/store/sql/leave/settle.sql"),
    include_str!("../../taskq/src/store/sql/leave/shrink.sql"),
    include_str!("../../taskq/src/store/sql/leave/keep.sql"),
    include_str!("../../taskq/src/store/sql/leave/move.sql")
);
const RESCUE: &str = concat!(
    include_str!("../../taskq/src/store/sql/leave/rescue.sql"),
    include_str!("../../taskq/src/store/sql/leave/shrink.sql"),
    include_str!("../../taskq/src/store/sql/leave/keep.sql"),
    include_str!("../../taskq/src/store/sql/leave/move.sql")
);
const COMPLETE: &str = include_str!("../../taskq/src/store/sql/leave/complete.sql");
const HEARTBEAT: &str = include_str!("../../taskq/src/store/sql/lease/heartbeat.sql");
const COMPLETE_SOME: &str = include_str!("../../taskq/src/store/sql/leave/complete_some.sql");

/// One claim of a thousand from three of twenty lanes.
const CLAIM_ARGUMENTS: &str = "gen_random_uuid(), gen_random_uuid(), 30, 'default', 1000,
    array['type_1', 'type_2', 'type_3'], array[1, 1, 1]::smallint[], array[0, 0, 0], array[0, 0, 0]::smallint[],
    array[null, null, null]::timestamptz[], array[0, 0, 0]::bigint[],
    array[null, null, null]::timestamptz[], array[0, 0, 0]::bigint[], array[334, 334, 334],
    array['type_3'], false";

/// Reserves a range of a thousand tasks in one lane.
const RESERVE_ARGUMENTS: &str = "'default', array['type_1'], array[1]::smallint[],
    array[0]::smallint[], array[now() - interval '2 hours'], array[0]::bigint[], array[1000]";

/// Ten places in one lane.
const ANYWHERE_ARGUMENTS: &str = "'default', array['type_1'], array[1]::smallint[], array[0],
    array[0]::smallint[], array[now() - interval '2 hours'], array[0]::bigint[], array[10]";

/// Looks into all lanes from their heads.
/// With a lane that is marked, beside which it looks for others.
const MARKED_SCAN_ARGUMENTS: &str =
    "'default', array['type_1'], array[3]::smallint[], gen_random_uuid(),
    array['type_1'], array[1]::smallint[], array[0]::smallint[],
    array['2020-01-01 12:00+00'::timestamptz], array[0::bigint], true";
const SCAN_ARGUMENTS: &str =
    "'default', array['type_1', 'type_2', 'type_3'], array[1, 1, 1]::smallint[],
    gen_random_uuid(), '{}', '{}', '{}', '{}', '{}', true";

/// A page of a check, from the middle of the table.
const CHECK_ARGUMENTS: &str = "1000000, 9000000000, 250, 4194304";

/// Pages that a thousand rows may take: three for each, the index's inner ones, and the lease.
const MOST_PAGES: u64 = 6_000;

/// How a prepared statement may be planned: for its arguments, or for any.
const PLANS: [&str; 2] = ["force_custom_plan", "force_generic_plan"];

async fn set_plans(db: &mut PgConnection, mode: &str) {
    let set = format!("set plan_cache_mode = {mode}");
    raw_sql(AssertSqlSafe(set)).execute(db).await.expect("set");
}

struct Node {
    kind: String,
    relation: Option<String>,
    index: Option<String>,
    operation: Option<String>,
    function: Option<String>,
    rows: u64,
    /// How many rows it looked at and did not return, in all of its loops, where it joins.
    turned_away: u64,
}

fn nodes(plan: &Value, found: &mut Vec<Node>) {
    let text = |key: &str| plan[key].as_str().map(str::to_owned);
    // With decimals since Postgres 18.
    let number = |key: &str| plan[key].as_f64().unwrap_or(0.0);
    found.push(Node {
        kind: text("Node Type").expect("every node has a type"),
        relation: text("Relation Name"),
        index: text("Index Name"),
        operation: text("Operation"),
        function: text("Function Name"),
        rows: (number("Actual Rows") * number("Actual Loops")) as u64,
        turned_away: (number("Rows Removed by Join Filter") * number("Actual Loops")) as u64,
    });
    for child in plan["Plans"].as_array().into_iter().flatten() {
        nodes(child, found);
    }
}

/// Runs a prepared statement, undoes it, and returns its plan and the pages that it read.
async fn explain(db: &mut PgConnection, name: &str, arguments: &str) -> (Vec<Node>, u64) {
    let text = format!("explain (analyze, buffers, format json) execute {name} ({arguments})");
    raw_sql("begin").execute(&mut *db).await.expect("begun");
    let row = raw_sql(AssertSqlSafe(text))
        .fetch_one(&mut *db)
        .await
        .expect("explained");
    raw_sql("rollback").execute(&mut *db).await.expect("undone");
    let explained: Value = row.get(0);
    let plan = &explained[0]["Plan"];
    let mut found = Vec::new();
    nodes(plan, &mut found);
    let number = |key: &str| plan[key].as_u64().unwrap_or(0);
    let pages = number("Shared Hit Blocks") + number("Shared Read Blocks");
    (found, pages)
}

/// Returns how many rows a claim took out of the table.
fn taken(claim: &[Node]) -> u64 {
    let mut deletes = (claim.iter()).filter(|node| node.operation.as_deref() == Some("Delete"));
    deletes.next().expect("a claim deletes").rows
}

async fn check(db: &mut PgConnection, situation: &str) {
    for mode in PLANS {
        set_plans(db, mode).await;
        let (claim, pages) = explain(db, "claim", CLAIM_ARGUMENTS).await;
        let what = format!("{situation}, {mode}");
        assert_eq!(taken(&claim), 1_000, "{what}");
        assert!(pages < MOST_PAGES, "{what}: {pages} pages");
        let on_task: Vec<&Node> = (claim.iter())
            .filter(|node| node.relation.as_deref() == Some("task"))
            .collect();
        let reads = |kind: &str| on_task.iter().any(|node| node.kind == kind);
        assert!(
            reads("Tid Scan"),
            "{what}: rows are deleted by their places"
        );
        assert!(
            on_task.iter().any(|node| node.kind == "Index Scan"
                && node.index.as_deref() == Some("task_lane")),
            "{what}: due rows are found by their lane"
        );
        assert!(!reads("Seq Scan") && !reads("Bitmap Heap Scan"), "{what}");
        assert!(
            !claim
                .iter()
                .any(|node| node.kind.contains("Sort") && node.kind != "Sort"),
            "{what}"
        );
        let sorts = claim.iter().filter(|node| node.kind == "Sort").count();
        assert!(
            sorts <= 1,
            "{what}: at most the claimed rows are sorted, by lease"
        );

        let (reserve, pages) = explain(db, "reserve", RESERVE_ARGUMENTS).await;
        assert_eq!(reserve[0].rows, 1, "{what}: a range was reserved");
        assert!(pages < MOST_PAGES, "{what}: {pages} pages");
        assert!(
            (reserve.iter())
                .filter(|node| node.relation.as_deref() == Some("task"))
                .all(|node| node.index.as_deref() == Some("task_lane")),
            "{what}"
        );

        let (places, pages) = explain(db, "anywhere", ANYWHERE_ARGUMENTS).await;
        assert_eq!(places[0].rows, 10, "{what}");
        assert!(pages < 300, "{what}: ten places took {pages} pages");

        let (scan, pages) = explain(db, "scan", SCAN_ARGUMENTS).await;
        assert!(pages < 200, "{what}: a scan read {pages} pages");
        assert!(
            scan.iter()
                .all(|node| node.relation.as_deref() != Some("task")
                    || node.index.as_deref() == Some("task_lane")),
            "{what}"
        );

        let (scan, pages) = explain(db, "scan", MARKED_SCAN_ARGUMENTS).await;
        assert_eq!(scan[0].rows, 1, "{what}");
        assert!(
            pages < 60,
            "{what}: beside a marked lane a scan read {pages} pages"
        );

        let (page, pages) = explain(db, "check_page", CHECK_ARGUMENTS).await;
        assert_eq!(page[0].rows, 250, "{what}");
        assert!(pages < 100, "{what}: a page of a check read {pages} pages");
        assert!(
            page.iter()
                .all(|node| node.relation.as_deref() != Some("task")
                    || node.index.as_deref() == Some("task_pkey")),
            "{what}"
        );
        assert!(!page.iter().any(|node| node.kind == "Sort"), "{what}");
    }
}

#[tokio::test]
async fn a_claim_reads_what_it_takes_among_millions_of_rows() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut run = async |text: &'static str| {
        for statement in text.split(';') {
            raw_sql(AssertSqlSafe(statement))
                .execute(&mut *db)
                .await
                .expect(statement);
        }
    };
    run("alter table taskq.task set (autovacuum_enabled = false);
         insert into taskq.task (task_type) select 'other' from generate_series(1, 10);
         analyze taskq.task")
    .await;
    // In front of all others, by every column but the type.
    run("insert into taskq.task (task_type, priority, run_at)
         select 'paused', -5, now() - interval '2 hours' from generate_series(1, 100000);
         insert into taskq.task (task_type, payload_version, run_at)
         select 'type_' || n % 20, 1, now() - interval '1 hour' from generate_series(1, 1000000) as n;
         insert into taskq.task (task_type, payload_version, run_at)
         select 'type_' || n % 20, 1, now() + interval '1 day' from generate_series(1, 1000000) as n;
         insert into taskq.history (task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at)
         select n, 'type_1', '{}', 'default', 0, now(), 1, now() from generate_series(1, 1000000) as n;
         insert into taskq.frontier select 'default', 'type_' || n, 1, 0, '-infinity', 0 from generate_series(1, 20) as n")
    .await;
    for (name, text) in [
        ("claim", CLAIM),
        ("reserve", RESERVE),
        ("anywhere", ANYWHERE),
        ("scan", SCAN),
        ("check_page", CHECK),
    ] {
        raw_sql(AssertSqlSafe(format!("prepare {name} as {text}")))
            .execute(&mut *db)
            .await
            .expect("prepared");
    }
    check(&mut db, "statistics of ten rows").await;
    raw_sql("analyze taskq.task")
        .execute(&mut *db)
        .await
        .expect("analyzed");
    check(&mut db, "fresh statistics").await;
    let forgotten = raw_sql(
        "delete from pg_statistic where starelid = 'taskq.task'::regclass;
         update pg_class set reltuples = -1, relpages = 0 where oid = 'taskq.task'::regclass",
    )
    .execute(&mut *db)
    .await;
    match forgotten {
        Ok(_) => check(&mut db, "no statistics").await,
        Err(error) => {
            eprintln!("skipped: without statistics; only a superuser can drop them: {error}")
        }
    }
}

#[tokio::test]
async fn a_claim_does_not_walk_over_what_was_taken_while_a_transaction_is_held_open() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut held = pool.acquire().await.expect("another connection");
    raw_sql("begin isolation level repeatable read; select 1")
        .execute(&mut *held)
        .await
        .expect("a snapshot");
    raw_sql(
        "insert into taskq.task (task_type, run_at)
         select 'type_1', '2020-01-01 00:00+00' from generate_series(1, 60000);
         delete from taskq.task where task_id <= 50000",
    )
    .execute(&mut *db)
    .await
    .expect("fifty thousand were taken");
    raw_sql(AssertSqlSafe(format!("prepare claim as {CLAIM}")))
        .execute(&mut *db)
        .await
        .expect("prepared");
    let mut pages_from = async |cursor: &str| {
        let arguments = format!(
            "gen_random_uuid(), gen_random_uuid(), 30, 'default', 1000, array['type_1'],
             array[0]::smallint[], array[0], array[0]::smallint[],
             array[{cursor}::timestamptz], array[50000]::bigint[],
             array[null::timestamptz], array[0]::bigint[], array[1000],
             array[]::text[], false"
        );
        let (claim, pages) = explain(&mut db, "claim", &arguments).await;
        assert_eq!(taken(&claim), 1_000);
        pages
    };
    let from_the_cursor = pages_from("'2020-01-01 00:00+00'").await;
    assert!(from_the_cursor < MOST_PAGES, "{from_the_cursor} pages");
    let from_the_beginning = pages_from("null").await;
    assert!(
        from_the_beginning > from_the_cursor + 500,
        "the dead rows are there to be walked over: {from_the_beginning} pages, {from_the_cursor} from the cursor"
    );
}

/// The arguments for outcomes of all but ten tasks of each of the leases.
const SETTLE_ARGUMENTS: &str = "select format('%L, %L, %L, %L, %L, %L, null',
    array_agg(lease_id), array_agg(task_id), array_agg('retry'::text), array_agg(1::float8),
    array_agg('no'::text), array_agg(false)) from given";

const COMPLETE_SOME_ARGUMENTS: &str = "select format('%L, %L, %L, %L',
    array_agg(distinct lease_id), array[2000, 2000, 2000], array_agg(lease_id), array_agg(task_id))
    from given";

const RESCUE_ARGUMENTS: &str =
    "select format('%L, 5, null, null', lease_id) from taskq.lease limit 1";

#[tokio::test]
async fn outcomes_are_written_without_a_loop_in_a_loop() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let prepared = [
        ("settle", SETTLE),
        ("complete_some", COMPLETE_SOME),
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
fn outcomes_of_two_leases() -> [(&'static str, &'static str, String, u64); 5] {
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
            "settle",
            SETTLE,
            format!(
                "{TWO_LEASES}, array[900001, 900002], array['retry', 'retry'], array[1.0, 1.0], array['', ''],
                 array[false, false], null"
            ),
            2,
        ),
        ("heartbeat", HEARTBEAT, format!("{TWO_LEASES}, 30"), 2),
        ("scan", SCAN, scan_from_marks.to_owned(), 1),
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
    check_reads_little(&mut db, &["complete", "complete_some"], "as planned").await;
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
            let all = ["complete", "complete_some", "settle", "heartbeat", "scan"];
            check_reads_little(&mut db, &all, &format!("{anew}, {mode}")).await;
        }
    }
}

/// Whatever lanes there are, and whichever of them are marked.
#[tokio::test]
async fn a_scan_finds_each_lane_once() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    raw_sql(AssertSqlSafe(format!("prepare scan as {SCAN}")))
        .execute(&mut *db)
        .await
        .expect("prepared");
    for round in 0..80 {
        let mut lanes = Vec::new();
        for (version, crashes) in (0..4).flat_map(|it| (0..3).map(move |crashes| (it, crashes))) {
            for priority in [-32_768, -1, 0, 7, 32_767] {
                if fastrand::u32(..4) == 0 {
                    lanes.push((version, crashes, priority));
                }
            }
        }
        let values: Vec<String> = (lanes.iter())
            .map(|(version, crashes, priority)| format!("('a', {version}, {crashes}, {priority})"))
            .collect();
        let insert = match values.is_empty() {
            true => String::new(),
            false => format!(
                "insert into taskq.task (task_type, payload_version, crashes, priority) values {}",
                values.join(", ")
            ),
        };
        raw_sql(AssertSqlSafe(format!("truncate taskq.task; {insert}")))
            .execute(&mut *db)
            .await
            .expect("lanes");
        // Marked are lanes that hold something, and such as hold nothing any more.
        let known = |(version, crashes, _): &(i32, i32, i32)| *version < 3 && *crashes == 0;
        let mut marked: Vec<_> = lanes.iter().copied().filter(known).collect();
        marked.retain(|_| fastrand::bool());
        let gone = (fastrand::i32(0..3), 0, 3);
        if fastrand::bool() && !lanes.contains(&gone) {
            marked.push(gone);
        }
        let column = |values: Vec<String>| values.join(", ");
        let scan = format!(
            "execute scan('default', array['a'], array[2]::smallint[], gen_random_uuid(),
                array[{}]::text[], array[{}]::smallint[], array[{}]::smallint[],
                array[{}]::timestamptz[], array[{}]::bigint[], true)",
            column(marked.iter().map(|_| "'a'".to_owned()).collect()),
            column(marked.iter().map(|lane| lane.0.to_string()).collect()),
            column(marked.iter().map(|lane| lane.2.to_string()).collect()),
            column(marked.iter().map(|_| "'2000-01-01'".to_owned()).collect()),
            column(marked.iter().map(|_| "0".to_owned()).collect()),
        );
        let rows = raw_sql(AssertSqlSafe(scan))
            .fetch_all(&mut *db)
            .await
            .expect("scanned");
        let number = |row: &PgRow, name| -> i32 {
            let text = row.try_get_raw(name).expect("a column");
            text.as_str().expect("text").parse().expect("a number")
        };
        let mut found: Vec<_> = (rows.iter())
            .filter(|row| !row.try_get_raw("task_id").expect("a column").is_null())
            .map(|row| {
                (
                    number(row, "payload_version"),
                    number(row, "crashes"),
                    number(row, "priority"),
                )
            })
            .collect();
        found.sort_unstable();
        let expected: Vec<_> = lanes.into_iter().filter(|lane| lane.0 < 3).collect();
        assert_eq!(found, expected, "round {round}, marked {marked:?}");
    }
}

#[tokio::test]
async fn a_scan_leaves_out_what_is_paused_and_does_not_look_at_it() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let prepare = format!(
        "insert into taskq.task (task_type, payload_version, run_at)
         select 'type_' || n % 2 + 1, 1, '2020-01-02 00:00+00' from generate_series(1, 5000) as n;
         vacuum analyze taskq.task;
         prepare scan as {SCAN}"
    );
    for statement in prepare.splitn(3, ';') {
        let statement = AssertSqlSafe(statement.to_owned());
        raw_sql(statement).execute(&mut *db).await.expect("set up");
    }
    let from_marks = "'default', array['type_1', 'type_2'], array[1, 1]::smallint[], gen_random_uuid(),
        array['type_1', 'type_2'], array[1, 1]::smallint[], array[0, 0]::smallint[],
        array['2020-01-01 00:00+00', '2020-01-01 00:00+00']::timestamptz[], array[0, 0]::bigint[], false";
    for (said, left) in [
        ("select 1", 2),
        ("select taskq.pause_queue('other')", 2),
        ("select taskq.pause_task_type('type_2')", 1),
        ("select taskq.pause_queue('default')", 0),
        ("select taskq.resume_task_type('type_2')", 0),
        ("update taskq.pause set until = now()", 2),
    ] {
        raw_sql(said).execute(&mut *db).await.expect(said);
        for mode in PLANS {
            set_plans(&mut db, mode).await;
            for arguments in [SCAN_ARGUMENTS, from_marks] {
                let (scan, pages) = explain(&mut db, "scan", arguments).await;
                assert_eq!(scan[0].rows, left, "{said}, {mode}");
                assert!(pages < 4 + 12 * left, "{said}, {mode}: {pages} pages");
            }
        }
    }
}
