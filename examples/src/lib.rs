//! What the examples share: when they end, readable log lines, and an empty queue to begin with.

use std::io::{IsTerminal, Stderr};
use std::time::Duration;

use anyhow::ensure;
use sqlx::{AssertSqlSafe, PgPool};
use taskq::Schema;
use tokio::time::sleep;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::SubscriberBuilder;
use tracing_subscriber::fmt::format::{Compact, DefaultFields, Format};

type Writer = fn() -> Stderr;

/// Ends when no task waits or runs. An example stops its worker then; a real one works until
/// [`taskq::shutdown_signal`].
pub async fn all_finished(pool: &PgPool) {
    all_finished_in(Schema::default(), pool).await;
}

/// Ends when no task of this schema waits or runs.
pub async fn all_finished_in(schema: Schema, pool: &PgPool) {
    let unfinished = format!(
        "select exists (select from {}.tasks where state in ('waiting', 'running'))",
        schema.name()
    );
    while sqlx::query_scalar(AssertSqlSafe(unfinished.as_str()))
        .fetch_one(pool)
        .await
        .unwrap_or(true)
    {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Writes what the program and taskq log to standard error: everything from `info` up, or what
/// `RUST_LOG` says, such as `RUST_LOG=taskq=debug`.
pub fn log_to_stderr() {
    logger("info").init();
}

/// Writes warnings and errors only, unless `RUST_LOG` says otherwise, and no times: for programs
/// that tell a story and end.
pub fn log_warnings_to_stderr() {
    logger("warn").without_time().init();
}

/// Removes the tasks of earlier runs, of which the types are given.
///
/// # Errors
///
/// Refuses where there are tasks of any other type: somebody's `DATABASE_URL` may name a database
/// that is in use, and examples must not touch what is not theirs.
pub async fn start_afresh(pool: &PgPool, task_types: &[&str]) -> anyhow::Result<()> {
    let foreign: Vec<String> = sqlx::query_scalar(
        "select distinct task_type from taskq.tasks where task_type <> all($1) order by 1",
    )
    .bind(task_types)
    .fetch_all(pool)
    .await?;
    ensure!(
        foreign.is_empty(),
        "this database has tasks of another program ({}); give the example one of its own",
        foreign.join(", ")
    );
    sqlx::raw_sql("truncate taskq.task, taskq.lease, taskq.dead, taskq.history")
        .execute(pool)
        .await?;
    Ok(())
}

fn logger(level: &str) -> SubscriberBuilder<DefaultFields, Format<Compact>, EnvFilter, Writer> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into()))
        .with_writer(std::io::stderr as Writer)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .compact()
}
