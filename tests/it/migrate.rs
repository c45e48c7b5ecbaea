//! Making the tables: twice, at once, elsewhere, by hand, and beside the application's own.

use sqlx::{AssertSqlSafe, raw_sql};
use taskq::operate::migrations;
use taskq::testing::Database;
use taskq::{MigrateError, Schema, migrate};

use crate::support::{execute, isolated, one};

async fn empty() -> (Database, sqlx::PgPool) {
    let database = Database::empty().await.expect("a database");
    let pool = database.pool_of(10);
    (database, pool)
}

#[tokio::test]
async fn migrating_twice_is_migrating_once() {
    let (_database, pool) = empty().await;
    migrate(&pool).await.expect("migrated");
    execute(&pool, "insert into taskq.task (task_type) values ('kept')").await;
    migrate(&pool).await.expect("nothing to do");
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.task").await,
        1
    );
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.migration").await,
        i64::try_from(migrations().len()).expect("a few")
    );
}

#[tokio::test]
async fn migrating_from_several_places_at_once_is_safe() {
    for is_isolated in [false, true] {
        let (_database, pool) = empty().await;
        let pool = if is_isolated { isolated(&pool) } else { pool };
        let (a, b, c, d) = tokio::join!(
            migrate(&pool),
            migrate(&pool),
            migrate(&pool),
            migrate(&pool)
        );
        for result in [a, b, c, d] {
            result.unwrap_or_else(|error| panic!("isolated {is_isolated}: {error:?}"));
        }
    }
}

#[tokio::test]
async fn the_books_of_the_application_are_not_touched() {
    let (_database, pool) = empty().await;
    migrate(&pool).await.expect("migrated");
    let outside: i64 = one(
        &pool,
        "select count(*) from pg_class join pg_namespace on pg_namespace.oid = relnamespace
         where nspname not in ('taskq', 'pg_catalog', 'information_schema', 'pg_toast')",
    )
    .await;
    assert_eq!(outside, 0, "everything is in the schema taskq");
}

#[tokio::test]
async fn another_schema_holds_everything_under_its_own_name() {
    let (_database, pool) = empty().await;
    let schema = Schema::named("queue2").expect("a name");
    schema.migrate(&pool).await.expect("migrated");
    assert!(one::<bool>(&pool, "select to_regclass('queue2.task') is not null").await);
    assert!(one::<bool>(&pool, "select to_regnamespace('taskq') is null").await);
    // The wake-up trigger finds its tables too.
    execute(&pool, "insert into queue2.task (task_type) values ('a')").await;
    migrate(&pool).await.expect("both side by side");
    // A word of SQL is a name like any other.
    let schema = Schema::named("user").expect("a name");
    schema.migrate(&pool).await.expect("migrated");
    schema.migrate(&pool).await.expect("nothing to do");
}

#[tokio::test]
async fn migrations_run_by_hand_are_found_done() {
    let (_database, pool) = empty().await;
    for migration in migrations() {
        raw_sql(AssertSqlSafe(migration.sql))
            .execute(&pool)
            .await
            .expect("the text runs as it is");
    }
    migrate(&pool).await.expect("nothing to do");
}

#[tokio::test]
async fn tables_that_are_too_new_are_left_alone() {
    let (_database, pool) = empty().await;
    migrate(&pool).await.expect("migrated");
    execute(
        &pool,
        "insert into taskq.migration values (1000, 'future', 1)",
    )
    .await;
    migrate(&pool).await.expect("compatible");
    execute(
        &pool,
        "update taskq.migration set oldest_binary = 1000 where version = 1000",
    )
    .await;
    let error = migrate(&pool).await.expect_err("not compatible");
    assert!(matches!(error, MigrateError::TooNew(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("deploy a newer version of taskq"),
        "{error}"
    );
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing_and_is_named() {
    let (_database, pool) = empty().await;
    execute(
        &pool,
        "create schema taskq; create table taskq.dead (n int)",
    )
    .await;
    let error = migrate(&pool).await.expect_err("a table is in the way");
    assert!(
        error.to_string().contains("migration `tasks` failed"),
        "{error}"
    );
    assert!(one::<bool>(&pool, "select to_regclass('taskq.task') is null").await);
}

#[test]
fn the_files_are_numbered_without_a_gap() {
    for (at, migration) in migrations().iter().enumerate() {
        assert_eq!(usize::try_from(migration.version), Ok(at + 1));
        let file = format!(
            "{}/../migrations/{:04}_{}.sql",
            env!("CARGO_MANIFEST_DIR"),
            migration.version,
            migration.name
        );
        assert_eq!(std::fs::read_to_string(&file).expect(&file), migration.sql);
    }
}
