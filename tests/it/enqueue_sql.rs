//! `taskq.enqueue`: every option, from whatever speaks SQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sqlx::postgres::PgDatabaseError;
use sqlx::{AssertSqlSafe, PgPool, query_as, query_scalar};
use taskq::unique::Unique;
use taskq::{EnqueueOutcome, Schema, task};

use crate::support::{database, drain, one, worker};

#[task]
async fn add(total: &AtomicI64, n: i64) {
    total.fetch_add(n, Ordering::SeqCst);
}

async fn enqueue(pool: &PgPool, options: &str) -> Result<(i64, String), sqlx::Error> {
    let sql = "select task_id, outcome from taskq.enqueue('add', '{\"n\": 7}', $1::jsonb)";
    query_as(sql).bind(options).fetch_one(pool).await
}

async fn enqueued(pool: &PgPool, options: &str) -> (i64, String) {
    enqueue(pool, options).await.expect("enqueued")
}

async fn count(pool: &PgPool) -> i64 {
    one(pool, "select count(*) from taskq.task").await
}

#[tokio::test]
async fn it_takes_every_option() {
    let (_database, pool) = database().await;
    let options = r#"{
        "queue": "q", "priority": -5, "max_attempts": 3, "delay": "90 seconds", "metadata": {"a": 1}, "payload_version": 1
    }"#;
    let (first, outcome) = enqueued(&pool, options).await;
    assert_eq!(outcome, "created");
    let row: (i64, String, i16, i32, f64, String, i16) = query_as(
        "select task_id, queue, priority, max_attempts, extract(epoch from run_at - created_at)::float8, metadata::text, payload_version from taskq.task",
    )
    .fetch_one(&pool)
    .await
    .expect("a task");
    assert_eq!(
        row,
        (
            first,
            "q".to_owned(),
            -5,
            3,
            90.0,
            r#"{"a": 1}"#.to_owned(),
            1
        )
    );
    enqueued(&pool, r#"{"run_at": "2030-01-01 00:00:00+00"}"#).await;
    let at = "select count(*) from taskq.task where run_at = '2030-01-01 00:00:00+00'";
    assert_eq!(one::<i64>(&pool, at).await, 1);
    enqueued(&pool, r#"{"delay": 0.5}"#).await;
    enqueued(&pool, "{}").await;
    assert_eq!(count(&pool).await, 4);
}

#[tokio::test]
async fn it_shares_keys_with_programs() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let first = Add::enqueue(&mut db, 7)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    let is_there = |outcome: &str| (first.task_id, outcome.to_owned());
    for options in [r#"{"unique": true}"#, r#"{"unique_fields": ["n"]}"#] {
        assert_eq!(enqueued(&pool, options).await, is_there("existing"));
    }
    let replace = r#"{"unique": true, "on_conflict": "replace", "priority": 3}"#;
    assert_eq!(enqueued(&pool, replace).await, is_there("replaced"));
    let debounce = r#"{"unique": true, "debounce": "1 minute"}"#;
    assert_eq!(enqueued(&pool, debounce).await, is_there("replaced"));
    let (keyed, outcome) = enqueued(&pool, r#"{"unique_key": "k", "within": 3600}"#).await;
    assert_eq!(outcome, "created");
    let again = Add::enqueue(&mut db, 8)
        .unique_key("k")
        .await
        .expect("enqueued");
    assert_eq!(
        (again.task_id, again.outcome),
        (keyed, EnqueueOutcome::Existing)
    );
    let total = Arc::new(AtomicI64::new(0));
    crate::support::execute(&pool, "update taskq.task set run_at = now()").await;
    drain(
        worker(&pool).only::<(Add,)>().state_arc(total.clone()),
        &pool,
    )
    .await;
    assert_eq!(total.load(Ordering::SeqCst), 14);
}

#[tokio::test]
async fn it_says_what_is_wrong_with_its_options() {
    let (_database, pool) = database().await;
    for (options, message, hint) in [
        (
            r#"{"que": "a"}"#,
            "there is no option \"que\"",
            "The options are queue, priority",
        ),
        (
            r#"{"priority": "high"}"#,
            "the option \"priority\" must be a JSON number",
            "It was given as \"high\".",
        ),
        (
            r#"{"delay": "soon"}"#,
            "the option \"delay\" is no length of time: \"soon\"",
            "Write a number of seconds",
        ),
        (
            r#"{"delay": true}"#,
            "the option \"delay\" is no length of time: true",
            "Write a number of seconds",
        ),
        (
            r#"{"metadata": [1]}"#,
            "the option \"metadata\" must be a JSON object",
            "",
        ),
        (
            r#"{"until": "done"}"#,
            "the option \"until\" is for a task with a key",
            "Add \"unique_key\"",
        ),
        (
            r#"{"unique": false, "within": 5}"#,
            "the option \"within\" is for a task with a key",
            "Add \"unique_key\"",
        ),
        (
            r#"{"unique": true, "on_conflict": "drop"}"#,
            "unknown on_conflict \"drop\": it is keep, replace, push_back or error",
            "",
        ),
        (
            r#"{"unique": true, "until": "friday"}"#,
            "unknown until \"friday\": it is done, started or again",
            "",
        ),
        (
            r#"{"unique": true, "until": "again", "on_conflict": "keep"}"#,
            "with \"until\": \"again\" the newest payload holds: leave out \"on_conflict\"",
            "",
        ),
        (r#"[]"#, "the options must be a JSON object", ""),
        (
            r#"{"delay": -60}"#,
            "the option \"delay\" must not be negative: -60",
            "",
        ),
        (
            r#"{"delay": 1e400}"#,
            "the option \"delay\" is no length of time",
            "",
        ),
        (
            r#"{"delay": 5, "debounce": 5}"#,
            "say one of \"run_at\", \"delay\" and \"debounce\"",
            "",
        ),
        (
            r#"{"unique_key": "k", "unique_fields": ["n"]}"#,
            "say one of \"unique_key\" and \"unique_fields\"",
            "",
        ),
        (
            r#"{"unique_key": ""}"#,
            "the option \"unique_key\" must not be empty",
            "",
        ),
        (
            r#"{"unique_fields": []}"#,
            "the option \"unique_fields\" must name fields",
            "",
        ),
        (
            r#"{"unique_fields": ["n", null]}"#,
            "the option \"unique_fields\" must name fields",
            "",
        ),
        (
            r#"{"unique": true, "until": "within"}"#,
            "unknown until \"within\"",
            "",
        ),
        (
            r#"{"unique": true, "until": "started", "within": 5}"#,
            "leave out \"until\"",
            "",
        ),
        (
            r#"{"unique": true, "within": 0}"#,
            "the option \"within\" must be longer than nothing",
            "",
        ),
        (
            r#"{"unique": true, "on_conflict": "push_back"}"#,
            "say \"at_latest\"",
            "",
        ),
        (
            r#"{"unique": true, "at_latest": 5}"#,
            "the option \"at_latest\" is for",
            "",
        ),
        (
            r#"{"max_attempts": 0}"#,
            "violates check constraint \"task_max_attempts_range\"",
            "",
        ),
    ] {
        let error = enqueue(&pool, options).await.expect_err(options);
        let said = error.to_string();
        assert!(said.contains(message), "{options}: {said}");
        let error: Option<&PgDatabaseError> = error.as_database_error().map(|it| it.downcast_ref());
        let found = error.and_then(PgDatabaseError::hint).unwrap_or_default();
        assert!(found.contains(hint), "{options}: {found}");
    }
    assert_eq!(count(&pool).await, 0);
}

#[tokio::test]
async fn a_web_role_may_call_it() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::raw_sql(include_str!("../../migrations/roles.sql"))
        .execute(&mut *tx)
        .await
        .expect("roles");
    sqlx::raw_sql("set local role taskq_enqueue")
        .execute(&mut *tx)
        .await
        .expect("a role");
    for options in [
        r#"{}"#,
        r#"{"unique": true}"#,
        r#"{"unique": true, "on_conflict": "replace"}"#,
    ] {
        let sql = "select task_id from taskq.enqueue('add', '{}', $1::jsonb)";
        let id: Result<i64, _> = query_scalar(sql).bind(options).fetch_one(&mut *tx).await;
        id.expect(options);
    }
}

#[tokio::test]
async fn each_schema_has_its_own() {
    let (_database, pool) = database().await;
    let schema = Schema::named("user").expect("a name");
    schema.migrate(&pool).await.expect("migrated");
    for outcome in ["created", "existing"] {
        let sql = "select outcome from \"user\".enqueue('add', '{\"n\": 1}', '{\"unique\": true}')";
        let said: String = query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&pool)
            .await
            .expect("enqueued");
        assert_eq!(said, outcome);
    }
    let mut db = pool.acquire().await.expect("a connection");
    let there = schema.enqueue(&mut db, Add { n: 1 }).unique(Unique::new());
    assert_eq!(
        there.await.expect("enqueued").outcome,
        EnqueueOutcome::Existing
    );
    let here = Add::enqueue(&mut db, 1)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    assert_eq!(here.outcome, EnqueueOutcome::Created);
}

#[tokio::test]
async fn a_long_key_has_equal_numbers_too() {
    let (_database, pool) = database().await;
    let sql = "select outcome from taskq.enqueue('add', $1::jsonb || jsonb_build_object('t', repeat('k', 5000)), '{\"unique\": true}')";
    for (payload, outcome) in [
        (r#"{"n": 1}"#, "created"),
        (r#"{"n": 1.0}"#, "existing"),
        (r#"{"n": [{"a": 1.50}]}"#, "created"),
        (r#"{"n": [{"a": 1.5}]}"#, "existing"),
        (r#"{"n": 10}"#, "created"),
    ] {
        let said: String = query_scalar(sql)
            .bind(payload)
            .fetch_one(&pool)
            .await
            .expect(payload);
        assert_eq!(said, outcome, "{payload}");
    }
}
