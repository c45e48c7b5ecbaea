//! What a claim and a scan read grows with what they take.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row, ValueRef, raw_sql};

use super::{
    Node, PLANS, SCAN, SCAN_ARGUMENTS, SCAN_MARKED, SCAN_MARKED_ARGUMENTS, explain, set_plans,
};
use crate::support::{claim_of, database};

const CLAIM: &str = claim_of!("skip_locked", "each", "into", "leased", "claimed");
const CLAIM_OWN: &str = claim_of!("skip_locked", "taken", "beside", "into", "own", "told");
const CLAIM_OWN_UNTOUCHED: &str = claim_of!("untouched", "taken", "beside", "into", "own", "told");
const CLAIM_SHARED: &str = claim_of!("skip_locked", "taken", "into", "shared", "claimed");
const CLAIM_SHARED_UNTOUCHED: &str = claim_of!("untouched", "taken", "into", "shared", "claimed");
const CLAIM_BATCHES: &str = claim_of!("skip_locked", "batches", "into", "leased", "claimed");

const RESERVE: &str = include_str!("../../../taskq/src/store/sql/claim/reserve.sql");

const ANYWHERE: &str = include_str!("../../../taskq/src/store/sql/claim/anywhere.sql");

const CHECK: &str = include_str!("../../../taskq/src/store/sql/check/check_waiting.sql");

/// One claim of a thousand from three of twenty lanes.
const CLAIM_ARGUMENTS: &str = "gen_random_uuid(), gen_random_uuid(), 30, 'default', 1000,
    array['type_1', 'type_2', 'type_3'], array[1, 1, 1]::smallint[], array[0, 0, 0], array[0, 0, 0]::smallint[],
    array[null, null, null]::timestamptz[], array[0, 0, 0]::bigint[],
    array[null, null, null]::timestamptz[], array[0, 0, 0]::bigint[], array[334, 334, 334],
    array['type_3'], false";

/// One claim of a thousand from one of them.
const UNTOUCHED_ARGUMENTS: &str = "gen_random_uuid(), gen_random_uuid(), 30, 'default', 1000, array['type_1'],
    array[1]::smallint[], array[0], array[0]::smallint[], array[null]::timestamptz[], array[0]::bigint[],
    array[null]::timestamptz[], array[0]::bigint[], array[1000], false";

/// One claim of a thousand from one of them, for four batches.
const BATCHES_ARGUMENTS: &str = "gen_random_uuid(), gen_random_uuid(), 30, 'default', 1000, array['type_1'],
    array[1]::smallint[], array[0], array[0]::smallint[], array[null]::timestamptz[], array[0]::bigint[],
    array[null]::timestamptz[], array[0]::bigint[], array[1000],
    array[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()], false, 250";

/// Reserves a range of a thousand tasks in one lane.
const RESERVE_ARGUMENTS: &str = "'default', array['type_1'], array[1]::smallint[],
    array[0]::smallint[], array[now() - interval '2 hours'], array[0]::bigint[], array[1000]";

/// Ten places in one lane.
const ANYWHERE_ARGUMENTS: &str = "'default', array['type_1'], array[1]::smallint[], array[0],
    array[0]::smallint[], array[now() - interval '2 hours'], array[0]::bigint[], array[10]";

/// A page of a check, from the middle of the table.
const CHECK_ARGUMENTS: &str = "1000000, 9000000000, 250, 4194304";

/// Pages that a thousand rows may take: three for each, the index's inner ones, and the lease.
const MOST_PAGES: u64 = 6_000;

/// As many as each of a thousand leases may take besides: its page, and the index's.
const PAGES_OF_LEASES: u64 = 3_000;

/// Returns how many rows a claim took out of the table.
fn taken(claim: &[Node]) -> u64 {
    let mut deletes = (claim.iter()).filter(|node| node.operation.as_deref() == Some("Delete"));
    deletes.next().expect("a claim deletes").rows
}

/// Only claimed rows are sorted, by lease, and those of batches by their places too.
async fn check_claim(
    db: &mut PgConnection,
    what: &str,
    statement: &str,
    arguments: &str,
    most_sorts: usize,
) {
    let (claim, pages) = explain(db, statement, arguments).await;
    let what = format!("{what}: {statement}");
    assert_eq!(taken(&claim), 1_000, "{what}");
    let most = match statement {
        "claim_own" | "claim_own_untouched" => MOST_PAGES + PAGES_OF_LEASES,
        _ => MOST_PAGES,
    };
    assert!(pages < most, "{what}: {pages} pages");
    let on_task: Vec<&Node> = (claim.iter())
        .filter(|node| node.relation.as_deref() == Some("task"))
        .collect();
    let reads = |kind: &str| on_task.iter().any(|node| node.kind == kind);
    assert!(
        reads("Tid Scan"),
        "{what}: rows are deleted by their places"
    );
    assert!(
        on_task
            .iter()
            .any(|node| node.kind == "Index Scan" && node.index.as_deref() == Some("task_lane")),
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
        sorts <= most_sorts,
        "{what}: at most the claimed rows are sorted, by lease, and by their places"
    );
}

/// Uses four lanes from this one on alone: a claim that is rolled back leaves its tasks touched.
async fn check(db: &mut PgConnection, situation: &str, first_lane: usize) {
    let mut untouched = first_lane..;
    for mode in PLANS {
        set_plans(db, mode).await;
        let what = format!("{situation}, {mode}");
        check_claim(db, &what, "claim", CLAIM_ARGUMENTS, 1).await;
        let without_types = CLAIM_ARGUMENTS.replace("array['type_3'], ", "");
        check_claim(db, &what, "claim_own", &without_types, 0).await;
        check_claim(db, &what, "claim_shared", &without_types, 0).await;
        for statement in ["claim_own_untouched", "claim_shared_untouched"] {
            let lane = format!("'type_{}'", untouched.next().expect("a lane"));
            let arguments = UNTOUCHED_ARGUMENTS.replace("'type_1'", &lane);
            check_claim(db, &what, statement, &arguments, 0).await;
        }
        check_claim(db, &what, "claim_batches", BATCHES_ARGUMENTS, 2).await;

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

        let (scan, pages) = explain(db, "scan_marked", SCAN_MARKED_ARGUMENTS).await;
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
        ("claim_own", CLAIM_OWN),
        ("claim_own_untouched", CLAIM_OWN_UNTOUCHED),
        ("claim_shared", CLAIM_SHARED),
        ("claim_shared_untouched", CLAIM_SHARED_UNTOUCHED),
        ("claim_batches", CLAIM_BATCHES),
        ("reserve", RESERVE),
        ("anywhere", ANYWHERE),
        ("scan", SCAN),
        ("scan_marked", SCAN_MARKED),
        ("check_page", CHECK),
    ] {
        raw_sql(AssertSqlSafe(format!("prepare {name} as {text}")))
            .execute(&mut *db)
            .await
            .expect("prepared");
    }
    check(&mut db, "statistics of ten rows", 4).await;
    raw_sql("analyze taskq.task")
        .execute(&mut *db)
        .await
        .expect("analyzed");
    check(&mut db, "fresh statistics", 8).await;
    let forgotten = raw_sql(
        "delete from pg_statistic where starelid = 'taskq.task'::regclass;
         update pg_class set reltuples = -1, relpages = 0 where oid = 'taskq.task'::regclass",
    )
    .execute(&mut *db)
    .await;
    match forgotten {
        Ok(_) => check(&mut db, "no statistics", 12).await,
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

/// Whatever lanes there are, and whichever of them are marked.
#[tokio::test]
async fn a_scan_finds_each_lane_once() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for (name, text) in [("scan", SCAN), ("scan_marked", SCAN_MARKED)] {
        raw_sql(AssertSqlSafe(format!("prepare {name} as {text}")))
            .execute(&mut *db)
            .await
            .expect("prepared");
    }
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
        let known = "'default', array['a'], array[2]::smallint[], gen_random_uuid()";
        let marks = format!(
            "array[{}]::text[], array[{}]::smallint[], array[{}]::smallint[],
                array[{}]::timestamptz[], array[{}]::bigint[]",
            column(marked.iter().map(|_| "'a'".to_owned()).collect()),
            column(marked.iter().map(|lane| lane.0.to_string()).collect()),
            column(marked.iter().map(|lane| lane.2.to_string()).collect()),
            column(marked.iter().map(|_| "'2000-01-01'".to_owned()).collect()),
            column(marked.iter().map(|_| "0".to_owned()).collect()),
        );
        let expected: Vec<_> = lanes.into_iter().filter(|lane| lane.0 < 3).collect();
        for scan in [
            format!("execute scan({known})"),
            format!("execute scan_marked({known}, {marks}, true)"),
        ] {
            let found = found_by(&mut db, &scan).await;
            assert_eq!(found, expected, "round {round}, marked {marked:?}");
        }
    }
}

/// Returns version, crashes and priority of each lane that a scan has found to hold something.
async fn found_by(db: &mut PgConnection, scan: &str) -> Vec<(i32, i32, i32)> {
    let rows = raw_sql(AssertSqlSafe(scan.to_owned()))
        .fetch_all(db)
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
    found
}

#[tokio::test]
async fn a_scan_leaves_out_what_is_paused_and_does_not_look_at_it() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for statement in [
        "insert into taskq.task (task_type, payload_version, run_at)
         select 'type_' || n % 2 + 1, 1, '2020-01-02 00:00+00' from generate_series(1, 5000) as n",
        "vacuum analyze taskq.task",
        &format!("prepare scan as {SCAN}"),
        &format!("prepare scan_marked as {SCAN_MARKED}"),
    ] {
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
            for (name, arguments) in [("scan", SCAN_ARGUMENTS), ("scan_marked", from_marks)] {
                let (scan, pages) = explain(&mut db, name, arguments).await;
                assert_eq!(scan[0].rows, left, "{said}, {mode}");
                assert!(pages < 4 + 12 * left, "{said}, {mode}: {pages} pages");
            }
        }
    }
}
