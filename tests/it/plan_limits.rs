//! Plans of claims within limits: what is held back costs them nothing.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row, raw_sql};

use crate::support::database;

/// A claim of a lane whose type has a limit by key.
const CLAIM: &str =
    "select * from taskq.claim_limited(gen_random_uuid(), 30, 'default', array['held'], 'held',
    0::smallint, 0, 0::smallint, 250, 250, null, '{null}', '{0}', '{250}', false, false)";

async fn run(db: &mut PgConnection, sql: &'static str) {
    raw_sql(sql).execute(db).await.expect(sql);
}

/// Runs a claim and returns how many rows it returned, and the pages that it read, what the function reads included.
async fn claim(db: &mut PgConnection) -> (u64, u64) {
    explained(db, CLAIM).await
}

async fn explained(db: &mut PgConnection, claim: &str) -> (u64, u64) {
    let text = format!("explain (analyze, buffers, format json) {claim}");
    let explained = raw_sql(AssertSqlSafe(text)).fetch_one(&mut *db).await;
    let explained: Value = explained.expect("explained").get(0);
    let plan = &explained[0]["Plan"];
    let number = |key: &str| plan[key].as_f64().unwrap_or(0.0) as u64;
    let pages = number("Shared Hit Blocks") + number("Shared Read Blocks");
    (number("Actual Rows"), pages)
}

/// What the planner believes of the lane: it knows nothing, it knows of one tenant, or it knows all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistics {
    None,
    OfOneTenant,
    Fresh,
}

/// Has 100,000 tasks of fifty tenants wait in the lane, behind as many of one if the planner knows of those, and nothing run.
async fn fill(db: &mut PgConnection, statistics: Statistics) {
    let add = async |db: &mut PgConnection, tenants: i64| {
        let add = format!(
            "insert into taskq.task (task_type, payload, run_at)
             select 'held', jsonb_build_object('tenant_id', n % {tenants}), now() - interval '1 second' * n
             from generate_series(1, 100000) as n"
        );
        let added = raw_sql(AssertSqlSafe(add)).execute(db).await;
        added.expect("filled");
    };
    run(db, "truncate taskq.task; delete from taskq.lease").await;
    if statistics == Statistics::OfOneTenant {
        add(db, 1).await;
        run(db, "vacuum analyze taskq.task").await;
    }
    add(db, 50).await;
    if statistics == Statistics::Fresh {
        run(db, "vacuum analyze taskq.task").await;
    }
}

/// Calls `look` with each of these statistics, with plans made for the values at hand and for any.
async fn with_statistics(db: &mut PgConnection, look: impl AsyncFn(&mut PgConnection, &str)) {
    for statistics in [Statistics::None, Statistics::OfOneTenant, Statistics::Fresh] {
        for mode in ["force_custom_plan", "force_generic_plan"] {
            fill(db, statistics).await;
            let set = format!("discard plans; set plan_cache_mode = {mode}");
            let set = raw_sql(AssertSqlSafe(set)).execute(&mut *db).await;
            set.expect("set");
            // The first in a session reads the catalogue too.
            claim(db).await;
            run(db, "delete from taskq.lease").await;
            look(db, &format!("statistics {statistics:?}, {mode}")).await;
        }
    }
}

#[tokio::test]
async fn a_claim_does_not_walk_over_what_is_held_back() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    run(
        &mut db,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most, is_settled)
         values ('key', 'held', 'concurrency', '{tenant_id}', 5, true);
         update taskq.limit_rule set keyless_to = null;
         alter table taskq.task set (autovacuum_enabled = off)",
    )
    .await;
    with_statistics(&mut db, async |db, with| {
        let (leases, pages) = claim(db).await;
        assert_eq!(leases, 51, "one of each tenant, and the end");
        assert!(pages < 250 * 30, "{with}: {pages} pages for 250 tasks");
        let (leases, pages) = claim(db).await;
        assert_eq!(leases, 1, "all are held back");
        assert!(pages < 50 * 60, "{with}: {pages} pages for 50 tenants");
    })
    .await;
}

#[tokio::test]
async fn a_claim_reads_less_than_a_page_for_each_task_that_died() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    run(
        &mut db,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most, is_settled)
         values ('key', 'held', 'concurrency', '{tenant_id}', 5, true);
         alter table taskq.task set (autovacuum_enabled = off);
         insert into taskq.task (task_type, payload)
         select 'held', payload
         from generate_series(1, 20000) as n
         cross join lateral (select jsonb_build_object('tenant_id', n % 10) as payload) as task",
    )
    .await;
    run(&mut db, "vacuum analyze taskq.task").await;
    run(&mut db, "delete from taskq.task where task_id <= 10000").await;
    // The first in a session reads the catalogue too.
    claim(&mut db).await;
    run(&mut db, "delete from taskq.lease").await;
    let (_, pages) = claim(&mut db).await;
    // Much less where the server knows that nobody sees them any more.
    assert!(
        pages < 10_000,
        "{pages} pages for 50 tasks behind 10,000 that died"
    );
}

/// A claim of a lane whose keys have fair turns.
const FAIR_CLAIM: &str = "select * from taskq.claim_fair(
    gen_random_uuid(), gen_random_uuid(), 30, 'default', array['fair'], 'fair', 0::smallint, 0, 0::smallint, 250,
    null, 0, false, false, false)";

#[tokio::test]
async fn a_claim_in_fair_turns_reads_a_page_or_two_for_each_key_and_task() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    run(
        &mut db,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most, is_settled)
         values ('key', 'fair', 'fair', '{tenant_id}', 1, true);
         update taskq.limit_rule set keyless_to = null",
    )
    .await;
    let fill = async |db: &mut PgConnection, tenants: i64| {
        let fill = format!(
            "truncate taskq.task;
             insert into taskq.task (task_type, payload)
             select 'fair', jsonb_build_object('tenant_id', n % {tenants}) from generate_series(1, 100000) as n;
             insert into taskq.task (task_type, payload) values ('fair', '{{\"tenant_id\": -1}}');"
        );
        raw_sql(AssertSqlSafe(fill))
            .execute(&mut *db)
            .await
            .expect("filled");
    };
    for (tenants, most) in [(1, 250 * 6), (10_000, 250 * 30)] {
        // The planner knows nothing of the table, and then it knows all.
        for is_analyzed in [false, true] {
            fill(&mut db, tenants).await;
            if is_analyzed {
                run(&mut db, "vacuum analyze taskq.task").await;
            }
            for mode in ["force_custom_plan", "force_generic_plan"] {
                let set = format!("discard plans; set plan_cache_mode = {mode}");
                raw_sql(AssertSqlSafe(set))
                    .execute(&mut *db)
                    .await
                    .expect("set");
                // The first in a session reads the catalogue too.
                explained(&mut db, FAIR_CLAIM).await;
                let (leases, pages) = explained(&mut db, FAIR_CLAIM).await;
                assert_eq!(leases, 2, "one for all, and the end");
                assert!(
                    pages < most,
                    "{mode}, {tenants} tenants: {pages} pages for 250 tasks"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_claim_of_a_sequence_finds_its_head_behind_any_number() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    run(
        &mut db,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most, on_dead, is_settled)
         values ('key', 'held', 'sequence', '{tenant_id}', 1, 'block', true);
         update taskq.limit_rule set keyless_to = null;
         alter table taskq.task set (autovacuum_enabled = off)",
    )
    .await;
    with_statistics(&mut db, async |db, with| {
        let (leases, pages) = claim(db).await;
        assert_eq!(leases, 51, "one of each tenant, and the end");
        assert!(pages < 50 * 80, "{with}: {pages} pages for 50 heads");
        let (leases, pages) = claim(db).await;
        assert_eq!(leases, 1, "each waits for its head");
        assert!(pages < 50 * 60, "{with}: {pages} pages for 50 tenants");
    })
    .await;
}
