//! The Postgres that everything is measured on, and a fresh database for each measurement.

use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use taskq::testing::Cluster;
use tokio::time::sleep;

use crate::relay::Relay;

/// How long sessions of the last measurement may take to end.
const QUIET_LIMIT: Duration = Duration::from_secs(5);

/// A durable server on disk. It is gone with this value, unless it has a name.
pub struct Server {
    cluster: Cluster,
    /// Whether it stays for the next run, with what is kept in it.
    pub stays: bool,
    admin: PgPool,
}

impl Server {
    pub async fn start(name: Option<&str>) -> Result<Self> {
        let cluster = match name {
            None => Cluster::private_on_disk().await,
            Some(name) => {
                ensure!(
                    std::env::var_os("DATABASE_URL").is_none(),
                    "unset DATABASE_URL: --keep restarts the server that it uses"
                );
                Cluster::persistent(name).await
            }
        };
        let cluster = cluster.context("starting Postgres")?;
        let admin = PgPoolOptions::new()
            .max_connections(2)
            .connect(&cluster.url("postgres"))
            .await?;
        // A checkpoint in the middle of a measurement would be the luck of the draw: there is one
        // before each, and room in the log until the next.
        for setting in [
            "alter system set max_wal_size = '8GB'",
            "alter system set checkpoint_timeout = '30min'",
            "select pg_reload_conf()",
        ] {
            sqlx::query(setting).execute(&admin).await?;
        }
        Ok(Self {
            cluster,
            admin,
            stays: name.is_some(),
        })
    }

    /// Makes an empty database.
    pub async fn database(&self) -> Result<Database> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("bench_{}", MADE.fetch_add(1, Relaxed));
        self.make(name).await
    }

    /// Makes an empty database of this name, in the place of one that is there.
    pub async fn make(&self, name: String) -> Result<Database> {
        self.execute(format!("drop database if exists {name} with (force)"))
            .await?;
        self.execute(format!("create database {name}")).await?;
        self.open(name).await
    }

    /// Opens a database that an earlier run has made, if there is one.
    pub async fn find(&self, name: &str) -> Result<Option<Database>> {
        let is_there: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(name)
                .fetch_one(&self.admin)
                .await?;
        match is_there {
            true => self.open(name.to_owned()).await.map(Some),
            false => Ok(None),
        }
    }

    async fn open(&self, name: String) -> Result<Database> {
        let url = self.cluster.url(&name);
        let pool = pool_of(&url, 2).await?;
        Ok(Database { name, url, pool })
    }

    pub async fn drop_database(&self, database: Database) -> Result<()> {
        database.pool.close().await;
        self.execute(format!("drop database {} with (force)", database.name))
            .await
    }

    /// Makes sure that nothing earlier is still to be written.
    pub async fn checkpoint(&self) -> Result<()> {
        self.execute("checkpoint".to_owned()).await
    }

    /// Opens a way to the server that takes so long in both directions together.
    pub fn relay(&self, round_trip: Duration) -> Result<Relay> {
        let options = PgConnectOptions::from_str(&self.cluster.url("postgres"))?;
        let folder = options
            .get_socket()
            .context("the server of the bench listens on a socket")?;
        let socket = folder.join(format!(".s.PGSQL.{}", options.get_port()));
        Relay::start(socket, round_trip)
    }

    pub async fn setting(&self, name: &str) -> Result<String> {
        Ok(sqlx::query_scalar("select current_setting($1)")
            .bind(name)
            .fetch_one(&self.admin)
            .await?)
    }

    /// Has the server count calls and pages of each statement from now on.
    pub async fn count_statements(&self) -> Result<()> {
        const LIBRARY: &str = "pg_stat_statements";
        if self.setting("shared_preload_libraries").await? == LIBRARY {
            return Ok(());
        }
        let is_there: bool = sqlx::query_scalar(
            "select exists (select from pg_available_extensions where name = $1)",
        )
        .bind(LIBRARY)
        .fetch_one(&self.admin)
        .await?;
        ensure!(is_there, "this Postgres has no {LIBRARY}");
        self.execute(format!(
            "alter system set shared_preload_libraries = '{LIBRARY}'"
        ))
        .await?;
        self.restart().await
    }

    /// Ends the server at once, and starts it with nothing in its memory.
    pub async fn restart(&self) -> Result<()> {
        self.checkpoint().await?;
        self.cluster.kill().await?;
        self.cluster.restart().await?;
        Ok(())
    }

    async fn execute(&self, statement: String) -> Result<()> {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&self.admin)
            .await?;
        Ok(())
    }
}

/// A database that one measurement has for itself.
pub struct Database {
    pub name: String,
    pub url: String,
    /// Of the bench itself: to prepare and to look.
    pub pool: PgPool,
}

impl Database {
    pub async fn execute(&self, statement: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Runs a statement without the triggers of its tables, which would announce each row.
    pub async fn fill(&self, statement: String) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url).await?;
        for statement in [
            "set session_replication_role = replica".to_owned(),
            "set synchronous_commit = off".to_owned(),
            statement,
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut connection)
                .await?;
        }
        Ok(connection.close().await?)
    }

    /// Records that all of these statements were run here.
    pub async fn record_fill(&self, statements: &str) -> Result<()> {
        self.execute("create table bench_fill (statements text not null)")
            .await?;
        sqlx::query("insert into bench_fill values ($1)")
            .bind(statements)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Returns whether an earlier run has recorded them.
    pub async fn was_filled_by(&self, statements: &str) -> Result<bool> {
        if !self
            .is("select to_regclass('bench_fill') is not null")
            .await?
        {
            return Ok(false);
        }
        let is_same = "select exists (select from bench_fill where statements = $1)";
        Ok(sqlx::query_scalar(is_same)
            .bind(statements)
            .fetch_one(&self.pool)
            .await?)
    }

    /// Returns the only value of a statement without parameters.
    pub async fn count(&self, statement: &'static str) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(statement).fetch_one(&self.pool).await?;
        Ok(u64::try_from(count)?)
    }

    pub async fn is(&self, statement: &'static str) -> Result<bool> {
        Ok(sqlx::query_scalar(statement).fetch_one(&self.pool).await?)
    }

    /// Returns what was written, committed and left dead so far. Sessions report their commits when
    /// they end, so this waits until there are no others.
    pub async fn costs(&self) -> Result<Costs> {
        let mut connection = PgConnection::connect(&self.url).await?;
        let others = "select count(*) from pg_stat_activity
             where datname = current_database() and backend_type = 'client backend'
               and pid <> pg_backend_pid() and state <> 'idle in transaction'";
        let of_the_bench = i64::from(self.pool.size());
        let began = Instant::now();
        while sqlx::query_scalar::<_, i64>(others)
            .fetch_one(&mut connection)
            .await?
            > of_the_bench
            && began.elapsed() < QUIET_LIMIT
        {
            sleep(Duration::from_millis(20)).await;
        }
        let (wal_bytes, commits, dead_rows): (i64, i64, i64) = sqlx::query_as(
            "select (pg_current_wal_insert_lsn() - '0/0')::bigint,
                    (select xact_commit from pg_stat_database where datname = current_database()),
                    (select coalesce(sum(n_dead_tup), 0)::bigint from pg_stat_user_tables)",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok(Costs {
            wal_bytes,
            commits,
            dead_rows,
        })
    }
}

/// What a database has written, committed and left dead.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    pub wal_bytes: i64,
    pub commits: i64,
    pub dead_rows: i64,
}

pub async fn pool_of(url: &str, size: u32) -> Result<PgPool> {
    let options = PgConnectOptions::from_str(url)?;
    Ok(PgPoolOptions::new()
        .max_connections(size)
        .connect_with(options)
        .await?)
}
