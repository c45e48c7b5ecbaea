//! What the table checks of each task, whoever inserts it.

use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, Error, PgConnection};
use taskq::testing::Database;

use crate::support::{database, execute, one};

/// What breaks a rule, and the name of that rule.
const BROKEN: [(&str, &str, &str); 21] = [
    ("task_type", "''", "task_type_length"),
    ("task_type", "repeat('é', 101)", "task_type_length"),
    ("queue", "''", "task_queue_length"),
    ("queue", "repeat('q', 201)", "task_queue_length"),
    ("payload_version", "-1", "task_payload_version_positive"),
    (
        "payload",
        "to_jsonb(repeat('x', 1048577))",
        "task_payload_size",
    ),
    (
        "payload",
        "(select jsonb_agg(n) from generate_series(1, 200000) as n)",
        "task_payload_size",
    ),
    ("run_at", "'infinity'", "task_run_at_range"),
    ("run_at", "'-infinity'", "task_run_at_range"),
    ("run_at", "'10000-01-01 00:00+00'", "task_run_at_range"),
    ("run_at", "'0001-12-31 23:59:59+00 BC'", "task_run_at_range"),
    ("created_at", "'infinity'", "task_created_at_range"),
    (
        "created_at",
        "'10000-01-01 00:00+00'",
        "task_created_at_range",
    ),
    ("max_attempts", "0", "task_max_attempts_range"),
    ("max_attempts", "65536", "task_max_attempts_range"),
    ("attempts", "-1", "task_attempts_positive"),
    ("crashes", "-1", "task_crashes_positive"),
    ("errors", "'{}'", "task_errors_array"),
    ("metadata", "'[]'", "task_metadata_object"),
    ("metadata", "'null'", "task_metadata_object"),
    (
        "metadata",
        "jsonb_build_object('text', repeat('x', 131072))",
        "task_metadata_size",
    ),
];

/// What is just right.
const KEPT: [(&str, &str); 15] = [
    ("task_type", "repeat('é', 100)"),
    ("queue", "repeat('q', 200)"),
    ("payload_version", "32767"),
    ("payload", "to_jsonb(repeat('x', 1048560))"),
    ("payload", "'null'"),
    ("run_at", "'0001-01-01 00:00+00'"),
    ("run_at", "'9999-12-31 23:59:59+00'"),
    ("created_at", "'0001-01-01 00:00+00'"),
    ("max_attempts", "1"),
    ("max_attempts", "65535"),
    ("max_attempts", "null"),
    ("attempts", "0"),
    ("errors", "'[]'"),
    ("metadata", "'{}'"),
    (
        "metadata",
        "jsonb_build_object('text', repeat('x', 131000))",
    ),
];

async fn run(db: &mut PgConnection, sql: String) -> Result<(), Error> {
    let done = sqlx::query(AssertSqlSafe(sql)).execute(db).await;
    done.map(drop)
}

fn inserting(column: &str, value: &str) -> String {
    match column {
        "task_type" => format!("insert into taskq.task (task_type) values ({value})"),
        _ => format!("insert into taskq.task (task_type, {column}) values ('a', {value})"),
    }
}

fn constraint(error: &Error) -> Option<&str> {
    let error = error.as_database_error();
    error.and_then(DatabaseError::constraint)
}

#[tokio::test]
async fn a_task_that_breaks_a_rule_is_refused_and_the_rule_is_named() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for (column, value, rule) in BROKEN {
        let error = run(&mut db, inserting(column, value)).await;
        let error = error.expect_err(value);
        assert_eq!(constraint(&error), Some(rule), "{column} {value}: {error}");
        let detail = format!("{error:?}");
        assert!(
            detail.contains(&format!("detail: Some(\"{column} ")),
            "what is allowed is said: {detail}"
        );
    }
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.task").await,
        0
    );
    for (column, value) in KEPT {
        let inserted = run(&mut db, inserting(column, value)).await;
        inserted.expect(value);
    }
    let error = run(&mut db, "update taskq.task set attempts = -1".to_owned()).await;
    let error = error.expect_err("an update breaks it too");
    assert_eq!(constraint(&error), Some("task_attempts_positive"));
}

#[tokio::test]
async fn whoever_may_insert_may_have_it_checked() {
    let database = Database::empty().await.expect("a database");
    let pool = database.pool();
    execute(
        &pool,
        "alter default privileges revoke execute on functions from public",
    )
    .await;
    taskq::migrate(&pool).await.expect("migrated");
    let mut db = pool.acquire().await.expect("a connection");
    // A role belongs to the whole server.
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::raw_sql(
        "create role taskq_checked;
         grant usage on schema taskq to taskq_checked;
         grant insert on taskq.task to taskq_checked;
         set local role taskq_checked;
         insert into taskq.task (task_type) values ('a')",
    )
    .execute(&mut *tx)
    .await
    .expect("inserted");
}
