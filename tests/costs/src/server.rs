//! The Postgres beside which programs are counted, and a fresh database for each.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result, ensure};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, raw_sql};
use taskq::testing::Cluster;

/// Counts pages and bytes of log, by statement.
const LIBRARY: &str = "pg_stat_statements";

/// The database that all others are copies of.
const TEMPLATE: &str = "migrated";

/// A server of our own, in memory. It writes no full pages to its log, which would come by chance.
pub(crate) struct Server {
    cluster: Cluster,
    admin: PgPool,
    /// The first number of its version.
    pub(crate) major: i32,
}

/// A database that one run has for itself.
pub(crate) struct Database {
    name: String,
    /// Where the server listens.
    pub(crate) socket: PathBuf,
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let cluster = Cluster::private().await.context("starting Postgres")?;
        let mut admin = PgConnection::connect(&cluster.url("postgres")).await?;
        let is_there = "select exists (select from pg_available_extensions where name = $1)";
        let is_there: bool = sqlx::query_scalar(is_there)
            .bind(LIBRARY)
            .fetch_one(&mut admin)
            .await?;
        ensure!(is_there, "this Postgres has no {LIBRARY}, which counts");
        for setting in [
            format!("alter system set shared_preload_libraries = {LIBRARY}"),
            // It would come by chance.
            "alter system set autovacuum = off".to_owned(),
        ] {
            admin.execute(AssertSqlSafe(setting)).await?;
        }
        let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int")
            .fetch_one(&mut admin)
            .await?;
        admin.close().await?;
        cluster.kill().await?;
        cluster.restart().await?;

        let admin = pool_of(&cluster.url("postgres")).await?;
        let make = format!("create database {TEMPLATE}");
        raw_sql(AssertSqlSafe(make)).execute(&admin).await?;
        let template = pool_of(&cluster.url(TEMPLATE)).await?;
        taskq::migrate(&template).await?;
        let extension = format!("create extension {LIBRARY}");
        raw_sql(AssertSqlSafe(extension)).execute(&template).await?;
        // Nothing can be copied that somebody uses.
        template.close().await;
        Ok(Self {
            cluster,
            admin,
            major: version / 10_000,
        })
    }

    /// Tells whether a statement is counted by the text that was said, with the comment before it. Since 18 it is not.
    pub(crate) fn keeps_comments(&self) -> bool {
        self.major < 18
    }

    /// Makes a database in which so many tasks of a type wait.
    pub(crate) async fn database(&self, task_type: Option<&str>, tasks: u64) -> Result<Database> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("counted_{}", MADE.fetch_add(1, Relaxed));
        let make = format!("create database {name} template {TEMPLATE}");
        raw_sql(AssertSqlSafe(make)).execute(&self.admin).await?;
        let url = self.cluster.url(&name);
        let options = PgConnectOptions::from_str(&url)?;
        let folder = options.get_socket().context("a server of our own")?;
        let database = Database {
            name,
            socket: folder.join(".s.PGSQL.5432"),
            pool: pool_of(&url).await?,
            url,
        };
        database
            .execute("create table effect (n bigint primary key)")
            .await?;
        if let Some(task_type) = task_type {
            // Without triggers, as if they had come long ago.
            let fill = format!(
                "set session_replication_role = replica;
                 insert into taskq.task (task_type, payload)
                 select '{task_type}', jsonb_build_object('n', n)
                 from generate_series(0, {tasks} - 1) as n;
                 reset session_replication_role"
            );
            database.execute(&fill).await?;
        }
        database.execute("vacuum analyze").await?;
        Ok(database)
    }

    pub(crate) async fn drop_database(&self, database: Database) -> Result<()> {
        database.pool.close().await;
        let drop = format!("drop database {} with (force)", database.name);
        raw_sql(AssertSqlSafe(drop)).execute(&self.admin).await?;
        Ok(())
    }
}

impl Database {
    /// Returns its address at a server that listens in this folder.
    pub(crate) fn url_at(&self, folder: &Path) -> String {
        let (name, folder) = (&self.name, folder.display());
        format!("postgres:///{name}?host={folder}&port=5432&user=postgres&sslmode=disable")
    }

    pub(crate) async fn execute(&self, statement: &str) -> Result<()> {
        let statement = AssertSqlSafe(statement.to_owned());
        raw_sql(statement).execute(&self.pool).await?;
        Ok(())
    }

    /// Returns how often its worker has scanned, or zero where that has something to do, or does not listen.
    pub(crate) async fn scans_while_idle(&self) -> Result<i64> {
        let scans = "select case when exists (select from taskq.sleeper)
                    and not exists (select from taskq.task)
                    and not exists (select from taskq.lease)
                then (select coalesce(sum(calls), 0)::bigint from pg_stat_statements
                    where dbid = (select oid from pg_database where datname = current_database())
                      and query like '%/* taskq scan%')
                else 0 end";
        Ok(sqlx::query_scalar(scans).fetch_one(&self.pool).await?)
    }
}

async fn pool_of(url: &str) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(1).connect(url).await?)
}
