//! Plans: what a claim reads grows with what it takes, and with nothing else; so does what is done with outcomes, and what a
//! page asks.

mod claim;
mod newer;
mod outcomes;
mod pages;
mod wait;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row, raw_sql};

const SCAN: &str = concat!(
    include_str!("../../../taskq/src/store/sql/claim/scan.sql"),
    include_str!("../../../taskq/src/store/sql/claim/lanes.sql")
);
const SCAN_MARKED: &str = concat!(
    include_str!("../../../taskq/src/store/sql/claim/scan_marked.sql"),
    include_str!("../../../taskq/src/store/sql/claim/lanes.sql")
);

/// Looks into all lanes from their heads.
const SCAN_ARGUMENTS: &str =
    "'default', array['type_1', 'type_2', 'type_3'], array[1, 1, 1]::smallint[], gen_random_uuid()";
/// With a lane that is marked, beside which it looks for others.
const SCAN_MARKED_ARGUMENTS: &str =
    "'default', array['type_1'], array[3]::smallint[], gen_random_uuid(),
    array['type_1'], array[1]::smallint[], array[0]::smallint[],
    array['2020-01-01 12:00+00'::timestamptz], array[0::bigint], true";

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
