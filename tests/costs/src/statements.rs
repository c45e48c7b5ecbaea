//! What statements cost the server: the pages that they touch and the bytes of log that they write, a task.
//!
//! Programs say them as they do, and `pg_stat_statements` counts. A transaction's own record in the log is not in it.

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, raw_sql};
use taskq_costs::{MANY, ONE_IS_SLOW_OF, Program};

use crate::figures::{Figures, Often};
use crate::program;
use crate::server::{Database, Server};

const SCAN: &str = concat!(
    include_str!("../../../taskq/src/store/sql/claim/scan.sql"),
    include_str!("../../../taskq/src/store/sql/claim/lanes.sql")
);

/// What a worker asks who serves ten of twenty lanes.
const SCAN_ARGUMENTS: &str = "'default', array['type_0', 'type_1', 'type_2', 'type_3', 'type_4', 'type_5', 'type_6', 'type_7',
    'type_8', 'type_9'], array[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]::smallint[], gen_random_uuid()";

/// A worker that listens wherever somebody enqueues.
const LISTENER: &str = "insert into taskq.sleeper (queue, worker_id, expires_at)
    values ('default', gen_random_uuid(), now() + interval '1 hour')";

/// Which statements of a program are counted.
struct Counting {
    name: &'static str,
    program: Program,
    times: u64,
    has_listener: bool,
    /// What they are called, and how many tasks they are about.
    statements: &'static [(&'static str, u64)],
}

/// As many tasks as one claim takes.
const ONE_CLAIM: u64 = 1_000;

/// As many tasks in transactions.
const SESSIONS: u64 = 100;

/// Tasks that are enqueued one by one.
const ONE_BY_ONE: u64 = 400;

const COUNTED: [Counting; 7] = [
    Counting {
        name: "drain",
        program: Program::Drain,
        times: ONE_CLAIM,
        has_listener: false,
        statements: &[
            ("claim_shared_untouched", ONE_CLAIM),
            ("complete", ONE_CLAIM),
        ],
    },
    Counting {
        name: "drain in transactions",
        program: Program::AtOnce,
        times: SESSIONS,
        has_listener: false,
        statements: &[("claim_own", SESSIONS), ("complete_own", SESSIONS)],
    },
    Counting {
        name: "some are slow",
        program: Program::SomeSlow,
        times: ONE_CLAIM,
        has_listener: false,
        statements: &[("complete_some", ONE_CLAIM - ONE_CLAIM / ONE_IS_SLOW_OF)],
    },
    Counting {
        name: "failing",
        program: Program::Failing,
        times: ONE_CLAIM,
        has_listener: false,
        statements: &[("settle", ONE_CLAIM)],
    },
    Counting {
        name: "enqueue",
        program: Program::Enqueue,
        times: ONE_BY_ONE,
        has_listener: false,
        statements: &[("enqueue", ONE_BY_ONE)],
    },
    Counting {
        name: "enqueue beside a listener",
        program: Program::Enqueue,
        times: ONE_BY_ONE,
        has_listener: true,
        statements: &[("enqueue", ONE_BY_ONE)],
    },
    Counting {
        name: "enqueue of 1,000",
        program: Program::EnqueueMany,
        times: 10 * MANY,
        has_listener: false,
        statements: &[("enqueue_many", 10 * MANY)],
    },
];

/// Counts the statements of all programs, each so often as `often` says.
pub(crate) async fn count(server: &Server, often: &Often<'_, 1>) -> Result<[Figures; 1]> {
    let mut all = scan(server).await?;
    for counting in &COUNTED {
        let [counted] = often
            .count(async || Ok([counting.run(server).await?]))
            .await?;
        all.extend(counted);
    }
    Ok([all])
}

impl Counting {
    async fn run(&self, server: &Server) -> Result<Figures> {
        let mut figures = Figures::new();
        let database = server
            .database(self.program.task_type(), self.times)
            .await?;
        if self.has_listener {
            database.execute(LISTENER).await?;
        }
        let before = log_position(&database).await?;
        program::run(self.program, self.times, &database).await?;
        let written = log_position(&database).await? - before;
        for (statement, tasks) in self.statements {
            let (pages, log) = counted(&database, statement)
                .await
                .with_context(|| format!("{}: {statement}", self.name))?;
            let mut add = |what, figure: i64| {
                let name = format!("{}, {statement}: {what}", self.name);
                figures.insert(name, figure as f64 / *tasks as f64);
            };
            add("pages", pages);
            add("log", log);
        }
        let name = format!("{}, all: log", self.name);
        figures.insert(name, written as f64 / self.times as f64);
        server.drop_database(database).await?;
        Ok(figures)
    }
}

/// Returns how many pages the calls of a statement touched, and how many bytes of log they wrote.
async fn counted(database: &Database, statement: &str) -> Result<(i64, i64)> {
    let counted = "select sum(shared_blks_hit + shared_blks_read)::bigint, sum(wal_bytes)::bigint
        from pg_stat_statements
        where dbid = (select oid from pg_database where datname = current_database())
          and query like '%/* taskq ' || $1 || ' */%'";
    let row = sqlx::query(counted)
        .bind(statement)
        .fetch_one(&database.pool)
        .await?;
    let count = |at| -> Result<i64> { row.try_get::<Option<i64>, _>(at)?.context("never said") };
    Ok((count(0)?, count(1)?))
}

/// Returns how much has been written to the log, by all databases.
async fn log_position(database: &Database) -> Result<i64> {
    let position = "select (pg_current_wal_insert_lsn() - '0/0')::bigint";
    Ok(sqlx::query_scalar(position)
        .fetch_one(&database.pool)
        .await?)
}

/// Returns how many pages a scan reads, from the heads of lanes that hold a thousand tasks each.
async fn scan(server: &Server) -> Result<Figures> {
    let database = server.database(None, 0).await?;
    database
        .execute(
            "insert into taskq.task (task_type, payload_version)
             select 'type_' || n % 20, 1 from generate_series(1, 20000) as n",
        )
        .await?;
    database.execute("vacuum analyze taskq.task").await?;
    let mut connection = PgConnection::connect(&database.url).await?;
    let mut pages = 0;
    // The first run reads what the session does not know yet.
    for statement in [
        format!("prepare scan as {SCAN}"),
        format!("execute scan ({SCAN_ARGUMENTS})"),
        format!("explain (analyze, buffers, format json) execute scan ({SCAN_ARGUMENTS})"),
    ] {
        let rows = raw_sql(AssertSqlSafe(statement))
            .fetch_all(&mut connection)
            .await?;
        if let Some(explained) = rows
            .first()
            .and_then(|row| row.try_get_unchecked::<Value, _>(0).ok())
        {
            let plan = &explained[0]["Plan"];
            let number = |key: &str| plan[key].as_u64().unwrap_or(0);
            pages = number("Shared Hit Blocks") + number("Shared Read Blocks");
        }
    }
    connection.close().await?;
    server.drop_database(database).await?;
    let name = "scan of ten lanes: pages".to_owned();
    Ok(Figures::from([(name, pages as f64)]))
}
