//! A worker that looks for payloads which are newer than it decodes reads no others.

use sqlx::{AssertSqlSafe, raw_sql};

use super::{PLANS, explain, set_plans};
use crate::support::database;

const NEWER: &str = include_str!("../../../taskq/src/store/sql/fleet/newer.sql");

/// Counts up to ten thousand.
const NEWER_ARGUMENTS: &str = "array['default'], array['type_1'], array[1]::smallint[], 10000, 60";

/// The levels of the index, and what a sort first reads of the catalogue. The table has seven hundred.
const MOST_PAGES: u64 = 20;

#[tokio::test]
async fn a_worker_that_starts_does_not_read_what_waits_to_find_what_is_newer() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let waiting = "alter table taskq.task disable trigger user;
        insert into taskq.task (task_type, payload_version, payload, run_at)
        select 'type_1', 1, '{}', now() - interval '1 hour' from generate_series(1, 50000);
        vacuum analyze taskq.task";
    for statement in waiting.split(';') {
        raw_sql(AssertSqlSafe(statement))
            .execute(&mut *db)
            .await
            .expect(statement);
    }
    let prepare = format!("prepare newer (text[], text[], smallint[], bigint, float8) as {NEWER}");
    raw_sql(AssertSqlSafe(prepare))
        .execute(&mut *db)
        .await
        .expect("prepared");
    for plans in PLANS {
        set_plans(&mut db, plans).await;
        let (_, pages) = explain(&mut db, "newer", NEWER_ARGUMENTS).await;
        assert!(pages <= MOST_PAGES, "{plans}: {pages} pages");
    }
}
