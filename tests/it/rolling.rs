//! Deploys that roll: binaries that know fewer columns than the tables have, beside those that know all.
//!
//! `old/` holds statements of binaries that know migration 3, which keep the tasks of a lease in parallel
//! arrays.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Error, PgConnection, PgPool, query_scalar, raw_sql};
use taskq::operate::migrations;
use taskq::testing::Database;
use taskq::{migrate, task};

use crate::support::{claim_of, database, one, states, until, while_working, worker};

const OLD: [(&str, &str); 9] = [
    ("claim", include_str!("old/claim.sql")),
    ("heartbeat", include_str!("old/heartbeat.sql")),
    ("complete", include_str!("old/complete.sql")),
    ("complete_some", include_str!("old/complete_some.sql")),
    ("complete_own", include_str!("old/complete_own.sql")),
    (
        "complete_own_kept",
        include_str!("old/complete_own_kept.sql"),
    ),
    ("settle", include_str!("old/settle.sql")),
    ("rescue", include_str!("old/rescue.sql")),
    ("expired", include_str!("old/expired.sql")),
];

const NEW_CLAIM: &str = claim_of!("skip_locked", "each", "into", "leased", "claimed");

async fn prepare(db: &mut PgConnection, statements: &[(&str, &str)]) {
    for (name, text) in statements {
        raw_sql(AssertSqlSafe(format!("prepare {name} as {text}")))
            .execute(&mut *db)
            .await
            .expect(name);
    }
}

async fn run(db: &mut PgConnection, statement: &str) -> Result<Vec<PgRow>, Error> {
    let statement = AssertSqlSafe(format!("execute {statement}"));
    raw_sql(statement).fetch_all(db).await
}

/// Runs a statement, and returns how many rows it returned.
async fn counted(db: &mut PgConnection, statement: &str) -> usize {
    run(db, statement).await.expect(statement).len()
}

/// Claims up to so many tasks of one lane, of version 7, for so long.
async fn claim(db: &mut PgConnection, task_type: &str, limit: usize, seconds: f64) -> String {
    let leases = counted(
        db,
        &format!(
            "claim (gen_random_uuid(), gen_random_uuid(), {seconds}, 'mail', {limit}, array['{task_type}'],
             array[7]::smallint[], array[1], array[3]::smallint[], array[null]::timestamptz[],
             array[0]::bigint[], array[null]::timestamptz[], array[0]::bigint[], array[{limit}],
             array[]::text[], true)"
        ),
    )
    .await;
    // What has crashed before has a lease of its own.
    assert_eq!(leases, limit);
    let last = "select lease_id::text from taskq.lease order by claimed_at desc limit 1";
    query_scalar(last).fetch_one(db).await.expect("a lease")
}

/// Enqueues a task in which no column is like another.
async fn enqueue(pool: &PgPool, task_type: &'static str, count: i64) {
    sqlx::query(
        r#"insert into taskq.task (task_type, payload_version, payload, queue, priority, run_at, created_at,
                max_attempts, attempts, crashes, errors)
           select $1, 7, jsonb_build_object('n', n), 'mail', 3, '2020-02-02 00:00+00', '2020-01-01 00:00+00',
                9, 2, 1, '[{"attempt": 2, "at": "2020-01-02T00:00:00Z", "error": "no"}]'
           from generate_series(1, $2) as n"#,
    )
    .bind(task_type)
    .bind(count)
    .execute(pool)
    .await
    .expect("enqueued");
}

/// Everything that travels with the tasks of a type, wherever they are. What a crash has added is left out.
async fn travelling(pool: &PgPool, task_type: &'static str) -> Vec<String> {
    query_scalar(
        "select concat_ws(' ', task_id, task_type, payload_version, payload, queue, priority, run_at,
             created_at, max_attempts, attempts,
             jsonb_path_query_array(errors, '$[*] ? (!(@.error like_regex \"^its worker vanished\"))'))
         from taskq.tasks
         where task_type = $1
         order by task_id",
    )
    .bind(task_type)
    .fetch_all(pool)
    .await
    .expect("tasks")
}

#[task]
async fn other() {}

/// Runs a worker of today, which has nothing to do but to rescue, until so many have crashed twice.
async fn rescued_by_a_worker(pool: &PgPool, count: i64) {
    let rescuer = worker(pool)
        .only::<(Other,)>()
        .lease(Duration::from_millis(500));
    while_working(rescuer, async {
        until("rescued", async || {
            one::<i64>(pool, "select count(*) from taskq.task where crashes = 2").await == count
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_older_worker_keeps_its_own_leases_to_their_end() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    prepare(&mut db, &OLD).await;
    enqueue(&pool, "mail", 5).await;
    let waiting = travelling(&pool, "mail").await;

    let lease = claim(&mut db, "mail", 1, 30.0).await;
    assert_eq!(travelling(&pool, "mail").await, waiting, "it runs");
    let heartbeat = format!("heartbeat (array['{lease}'::uuid], 60)");
    assert_eq!(counted(&mut db, &heartbeat).await, 1);
    let complete = format!("complete (array['{lease}'::uuid], array[1])");
    assert_eq!(counted(&mut db, &complete).await, 1);

    let lease = claim(&mut db, "mail", 1, 30.0).await;
    let complete = format!("complete_own ('{lease}')");
    assert_eq!(counted(&mut db, &complete).await, 1);

    let lease = claim(&mut db, "mail", 1, 30.0).await;
    let complete = format!("complete_own_kept ('{lease}', '1', null)");
    assert_eq!(counted(&mut db, &complete).await, 1);

    for outcome in ["retry", "discarded"] {
        let lease = claim(&mut db, "mail", 1, 30.0).await;
        let task_id: i64 = one(&pool, "select task_ids[1] from taskq.lease").await;
        let settle = format!(
            "settle (array['{lease}'::uuid], array[{task_id}], array['{outcome}'], array[0],
             array['failed'], array[false], null)"
        );
        assert_eq!(counted(&mut db, &settle).await, 1);
    }
    let states = states(&pool).await;
    let states: Vec<(&str, i64)> = states.iter().map(|(s, n)| (s.as_str(), *n)).collect();
    assert_eq!(states, [("completed", 1), ("discarded", 1), ("waiting", 1)]);
}

#[tokio::test]
async fn a_newer_worker_rescues_what_an_older_one_held() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    prepare(&mut db, &OLD).await;
    enqueue(&pool, "mail", 3).await;
    let waiting = travelling(&pool, "mail").await;
    claim(&mut db, "mail", 3, -1.0).await;
    rescued_by_a_worker(&pool, 3).await;
    assert_eq!(travelling(&pool, "mail").await, waiting);
}

#[tokio::test]
async fn an_older_worker_rescues_what_a_newer_one_held() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut old = pool.acquire().await.expect("another connection");
    prepare(&mut db, &[("claim", NEW_CLAIM)]).await;
    prepare(&mut old, &OLD).await;
    enqueue(&pool, "mail", 1).await;
    let waiting = travelling(&pool, "mail").await;
    let lease = claim(&mut db, "mail", 1, -1.0).await;
    let expired = "expired (null, '00000000-0000-0000-0000-000000000000', 10)";
    assert_eq!(counted(&mut old, expired).await, 1, "it is found");
    let rescue = format!("rescue ('{lease}', 5)");
    assert_eq!(counted(&mut old, &rescue).await, 1);
    assert_eq!(travelling(&pool, "mail").await, waiting);
}

#[tokio::test]
async fn leases_that_run_while_the_tables_change_keep_their_tasks() {
    let database = Database::empty().await.expect("a database");
    let pool = database.pool_of(10);
    for migration in &migrations()[..3] {
        raw_sql(AssertSqlSafe(migration.sql))
            .execute(&pool)
            .await
            .expect("migrated");
    }
    let mut db = pool.acquire().await.expect("a connection");
    prepare(&mut db, &OLD).await;
    enqueue(&pool, "mail", 4).await;
    let waiting = travelling(&pool, "mail").await;
    claim(&mut db, "mail", 3, -1.0).await;
    let lease = claim(&mut db, "mail", 1, 30.0).await;
    migrate(&pool).await.expect("migrated");
    assert_eq!(travelling(&pool, "mail").await, waiting);
    let heartbeat = format!("heartbeat (array['{lease}'::uuid], 60)");
    assert_eq!(counted(&mut db, &heartbeat).await, 1);
    let complete = format!("complete (array['{lease}'::uuid], array[1])");
    assert_eq!(counted(&mut db, &complete).await, 1);
    rescued_by_a_worker(&pool, 3).await;
    assert_eq!(travelling(&pool, "mail").await, waiting[..3]);
}
