//! A Postgres server for examples, tests and benches: the one of `DATABASE_URL`, or one of our own.

use std::env;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use super::binaries::Binaries;
use super::command::server_uid;
use super::folders::{cache, memory, owned};
use super::server::{Keeping, Server};
use crate::testing::error::ClusterError;

/// A Postgres server. It stops when the last process that holds it has ended or dropped it, be it
/// by a panic, Ctrl-C or `kill -9`.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = taskq::testing::Cluster::persistent("shop").await?;
/// let pool = sqlx::PgPool::connect(&cluster.url("shop")).await?;
/// taskq::migrate(&pool).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Cluster {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The server that `DATABASE_URL` names.
    Given {
        url: String,
        options: Box<PgConnectOptions>,
    },
    /// One that was started here, by this process or another.
    Own { server: Server },
}

impl Cluster {
    /// Returns the server of this name, whose data stay from run to run, with a database of the same
    /// name; or the one of `DATABASE_URL`. Processes that ask for one name share one server.
    ///
    /// # Errors
    ///
    /// See [`ClusterError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while the server starts, the server may go on running. The next process
    /// that asks for it uses it, and stops it.
    pub async fn persistent(name: &str) -> Result<Self, ClusterError> {
        if let Some(given) = Self::given()? {
            return Ok(given);
        }
        let binaries = Binaries::find()?;
        let folder = format!("{name}-{}", binaries.major);
        let lock = lock_path(&folder)?;
        let folder = clusters()?.join(folder);
        let cluster = Self::start(&folder, Some(&lock), &binaries, Keeping::Lasting).await?;
        cluster.create_database(name).await?;
        Ok(cluster)
    }

    /// Returns the server of this machine's tests, which is fast, keeps nothing, and is gone with
    /// the last of them; or the one of `DATABASE_URL`.
    ///
    /// # Errors
    ///
    /// See [`ClusterError`].
    ///
    /// # Cancel safety
    ///
    /// As [`persistent`](Self::persistent).
    pub async fn ephemeral() -> Result<Self, ClusterError> {
        if let Some(given) = Self::given()? {
            return Ok(given);
        }
        let binaries = Binaries::find()?;
        let folder = format!("taskq-{}-{}", server_uid(), binaries.major);
        let lock = lock_path(&folder)?;
        let folder = memory().join(folder);
        Self::start(&folder, Some(&lock), &binaries, Keeping::Fleeting).await
    }

    /// Returns a server in memory that nobody shares, whatever `DATABASE_URL` says. It is gone with
    /// this value.
    ///
    /// # Errors
    ///
    /// See [`ClusterError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while the server starts, the server may go on running, and nobody stops it.
    pub async fn private() -> Result<Self, ClusterError> {
        Self::start_private(&memory(), Keeping::Fleeting).await
    }

    /// Returns a server as [`private`](Self::private) does, but on disk: it keeps what was committed
    /// when it is [killed](Self::kill).
    ///
    /// # Errors
    ///
    /// See [`ClusterError`].
    ///
    /// # Cancel safety
    ///
    /// As [`private`](Self::private).
    pub async fn private_on_disk() -> Result<Self, ClusterError> {
        Self::start_private(&clusters()?, Keeping::Durable).await
    }

    /// Returns the address of a database on this server. On the server of `DATABASE_URL` that is the
    /// database which it names, whatever `database` says: a program uses what it was given.
    pub fn url(&self, database: &str) -> String {
        match &self.kind {
            Kind::Given { url, .. } => url.clone(),
            Kind::Own { server } => server.url(database),
        }
    }

    /// Returns a pool of at most `size` connections to the database of [`url`](Self::url).
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connections that it has opened.
    pub async fn pool(&self, database: &str, size: u32) -> Result<PgPool, ClusterError> {
        let options = PgConnectOptions::from_str(&self.url(database))?;
        Ok(PgPoolOptions::new()
            .max_connections(size)
            .connect_with(options)
            .await?)
    }

    /// Kills the server with `kill -9`, as a crash would.
    ///
    /// # Errors
    ///
    /// [`ClusterError::NotOurs`] on the server of `DATABASE_URL`.
    ///
    /// # Cancel safety
    ///
    /// The server is killed at the first poll. Dropping the future ends only the wait until it is gone.
    pub async fn kill(&self) -> Result<(), ClusterError> {
        match &self.kind {
            Kind::Given { .. } => Err(ClusterError::NotOurs),
            Kind::Own { server } => server.kill().await,
        }
    }

    /// Starts the server again after [`kill`](Self::kill), with the same data at the same address.
    ///
    /// # Errors
    ///
    /// [`ClusterError::NotOurs`] on the server of `DATABASE_URL`, and when it does not start.
    ///
    /// # Cancel safety
    ///
    /// The server is told to start at the first poll, and may start although the future is dropped.
    pub async fn restart(&self) -> Result<(), ClusterError> {
        match &self.kind {
            Kind::Given { .. } => Err(ClusterError::NotOurs),
            Kind::Own { server } => server.restart().await,
        }
    }

    /// Returns how to connect to exactly this database, on any server.
    pub(crate) fn options_of(&self, database: &str) -> PgConnectOptions {
        match &self.kind {
            Kind::Given { options, .. } => PgConnectOptions::clone(options).database(database),
            Kind::Own { server } => server.connect_options(database),
        }
    }

    /// Returns the address of exactly this database, on any server.
    pub(crate) fn url_of(&self, database: &str) -> String {
        match &self.kind {
            Kind::Given { url, .. } => with_database(url, database),
            Kind::Own { server } => server.url(database),
        }
    }

    /// Connects as somebody who may create databases.
    pub(crate) async fn admin(&self) -> Result<PgConnection, ClusterError> {
        let options = match &self.kind {
            Kind::Given { options, .. } => PgConnectOptions::clone(options),
            Kind::Own { server } => server.connect_options("postgres"),
        };
        Ok(PgConnection::connect_with(&options).await?)
    }

    fn given() -> Result<Option<Self>, ClusterError> {
        let Some(url) = env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let options = PgConnectOptions::from_str(&url).map_err(|error| ClusterError::Variable {
            name: "DATABASE_URL",
            problem: format!("is not the address of a Postgres database: {error}"),
        })?;
        Ok(Some(Self {
            kind: Kind::Given {
                url,
                options: Box::new(options),
            },
        }))
    }

    async fn start(
        folder: &Path,
        lock: Option<&Path>,
        binaries: &Binaries,
        keeping: Keeping,
    ) -> Result<Self, ClusterError> {
        let server = match lock {
            Some(lock) => Server::join_or_start(folder, lock, binaries, keeping).await?,
            None => Server::start(folder, binaries, keeping).await?,
        };
        Ok(Self {
            kind: Kind::Own { server },
        })
    }

    async fn start_private(parent: &Path, keeping: Keeping) -> Result<Self, ClusterError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let folder = parent.join(format!("taskq-{}", &id[..12]));
        Self::start(&folder, None, &Binaries::find()?, keeping).await
    }

    async fn create_database(&self, name: &str) -> Result<(), ClusterError> {
        let mut admin = self.admin().await?;
        // Two processes that start at once take turns: `create database` fails if the other one has just
        // made it.
        admin
            .execute("select pg_advisory_lock(hashtext('taskq create database'))")
            .await?;
        let exists: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(name)
                .fetch_one(&mut admin)
                .await?;
        if !exists {
            let name = name.replace('"', "\"\"");
            admin
                .execute(AssertSqlSafe(format!("create database \"{name}\"")))
                .await?;
        }
        admin.close().await?;
        Ok(())
    }
}

/// Returns the directory of the clusters on disk, which the user of the server owns.
fn clusters() -> Result<PathBuf, ClusterError> {
    owned(&cache()?.join("clusters"))
}

/// Returns the file whose lock gives the right to start a cluster. It is outside of the cluster's
/// directory, which comes and goes.
fn lock_path(folder: &str) -> Result<PathBuf, ClusterError> {
    Ok(cache()?.join(format!("{folder}.lock")))
}

/// Puts the name of a database in the place of the one in an address.
fn with_database(url: &str, database: &str) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("postgres", address));
    let authority = rest
        .split_once('/')
        .map_or(rest, |(authority, _)| authority);
    format!("{scheme}://{authority}/{database}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_takes_the_place_of_another_in_an_address() {
        for (url, expected) in [
            (
                "postgres://a:b@host:5432/db?sslmode=disable",
                "postgres://a:b@host:5432/x?sslmode=disable",
            ),
            ("postgresql://host", "postgresql://host/x"),
            ("postgres:///db?host=/run/pg", "postgres:///x?host=/run/pg"),
        ] {
            assert_eq!(with_database(url, "x"), expected);
        }
    }
}
