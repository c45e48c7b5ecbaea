//! What the log says of a database that fails again and again, and what is said of its errors.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use taskq::{Worker, task};
use tokio::time::sleep;

use crate::support::{Log, database, drain, execute, states, task as find, until, while_working};

/// Makes a primary of the database or, as far as a worker can see, a standby.
const READ_ONLY: &str = "begin read write; do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$; commit;
     select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
const WRITABLE: &str = "begin read write; do $$ begin execute format('alter database %I reset default_transaction_read_only', current_database()); end $$; commit;
     select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";

#[tokio::test]
async fn a_worker_on_a_server_that_cannot_be_written_to_says_so_a_few_times_and_then_works() {
    #[task(queue = "mail")]
    async fn patient() {}
    #[task(queue = "export")]
    async fn patient_too() {}

    let (database, pool) = database().await;
    let worker = Worker::builder(database.pool_of(10))
        .only::<(Patient, PatientToo)>()
        .lease(Duration::from_secs(2));
    let log = Log::capture();
    while_working(worker, async {
        execute(&pool, READ_ONLY).await;
        until("noticed", async || log.has("in a read-only transaction")).await;
        // Three queues that are idle, heartbeats, a listener, and duties: each tries again several times a second, and
        // says it once.
        sleep(Duration::from_secs(3)).await;
        let text = log.text();
        let warnings = text.lines().filter(|line| line.contains("WARN"));
        let of_read_only = warnings.filter(|line| line.contains("in a read-only transaction"));
        let count = of_read_only.count();
        assert!(count <= 6, "{count} warnings: {text}");
        // What the pool says of connections that end is the driver's.
        let ours = text.lines().filter(|line| line.contains(" taskq::"));
        for line in ours {
            assert!(!line.contains(" at line "), "{line}");
            assert!(!line.contains("error returned from database"), "{line}");
        }
        execute(&pool, WRITABLE).await;
        let insert = "insert into taskq.task (task_type, queue) values ('patient', 'mail')";
        until("enqueued", async || {
            sqlx::query(insert).execute(&pool).await.is_ok()
        })
        .await;
        until("done", async || states(&pool).await.is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn an_error_of_postgres_is_recorded_with_its_detail_and_hint_and_once() {
    #[derive(Debug)]
    struct Saving(sqlx::Error);
    impl std::fmt::Display for Saving {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "saving: {}", self.0)
        }
    }
    impl std::error::Error for Saving {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[task(max_attempts = 1)]
    async fn plain(pool: &sqlx::PgPool, sql: String) -> sqlx::Result<()> {
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::query(sql).execute(pool).await.map(drop)
    }
    #[task(max_attempts = 1)]
    async fn wrapped(pool: &sqlx::PgPool, sql: String) -> Result<(), Saving> {
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::query(sql).execute(pool).await.map_err(Saving)?;
        Ok(())
    }
    #[task(max_attempts = 1)]
    async fn in_context(pool: &sqlx::PgPool, sql: String) -> anyhow::Result<()> {
        use anyhow::Context;
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::query(sql).execute(pool).await.context("saving")?;
        Ok(())
    }

    let (_database, pool) = database().await;
    execute(&pool, "create table usr (usr_id bigint primary key, age int constraint grown check (age > 17)); insert into usr values (1)").await;
    let twin = "insert into usr values (1)";
    let lost = "select usr_idd from usr";
    let said = "duplicate key value violates unique constraint \"usr_pkey\": Key (usr_id)=(1) already exists.";
    let mut db = pool.acquire().await.expect("a connection");
    let ids = [
        Plain::enqueue(&mut db, twin.into())
            .await
            .map(|it| it.task_id),
        Plain::enqueue(&mut db, lost.into())
            .await
            .map(|it| it.task_id),
        Wrapped::enqueue(&mut db, twin.into())
            .await
            .map(|it| it.task_id),
        InContext::enqueue(&mut db, twin.into())
            .await
            .map(|it| it.task_id),
    ];
    let worker = Worker::builder(pool.clone()).only::<(Plain, Wrapped, InContext)>();
    drain(worker, &pool).await;
    let unknown = "column \"usr_idd\" does not exist (hint: Perhaps you meant to reference the column \"usr.usr_id\".)";
    let expected = [
        said,
        unknown,
        &format!("saving: {said}"),
        &format!("saving: {said}"),
    ];
    for (task_id, text) in ids.into_iter().zip(expected) {
        let row = find(&pool, task_id.expect("enqueued")).await.expect("kept");
        assert_eq!(row.error(), text);
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_an_error_that_says_what_to_look_at() {
    #[task]
    async fn nothing() {}

    let pool = PgPoolOptions::new()
        .max_connections(20)
        .acquire_timeout(Duration::from_millis(300))
        .connect_lazy("postgres://127.0.0.1:1/nowhere")
        .expect("an address");
    let build = Worker::builder(pool.clone()).only::<(Nothing,)>().build();
    let build = anyhow::Error::from(build.await.expect_err("nobody is there"));
    let migrate = anyhow::Error::from(taskq::migrate(&pool).await.expect_err("nobody is there"));
    for text in [format!("{build:#}"), format!("{migrate:#}")] {
        assert!(text.contains("are host and port right"), "{text}");
        assert!(!text.contains("pool timed out"), "{text}");
    }
}

#[tokio::test]
async fn the_cause_of_an_error_is_said_once() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "alter table taskq.migration rename column version to versio",
    )
    .await;
    let error = taskq::migrate(&pool).await.expect_err("the books are torn");
    let text = format!("{:#}", anyhow::Error::from(error));
    assert_eq!(text.matches("does not exist").count(), 1, "{text}");
}
