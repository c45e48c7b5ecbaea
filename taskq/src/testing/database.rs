//! Databases for tests: one each, copied from a template that is migrated once.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::error::ClusterError;
use super::postgres::Cluster;

/// What the names of these databases begin with; the rest is when they were made, and chance.
const PREFIX: &str = "taskq_test_";

/// After this time nobody uses a test's database any more.
const STALE: Duration = Duration::from_secs(6 * 60 * 60);

/// A database of a test's own. It is dropped with this value.
///
/// All databases of a test run are on one server, which is found or started by the first; see
/// [`Cluster::ephemeral`].
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
    options: PgConnectOptions,
}

impl Database {
    /// Makes a database with the task tables of [`migrate`](crate::migrate()) in it.
    ///
    /// # Errors
    ///
    /// See [`ClusterError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, its database may stay on the server. On a server that outlives the tests,
    /// the first test of a run drops databases that were left behind more than six hours ago.
    pub async fn fresh() -> Result<Self, ClusterError> {
        let cluster = shared().await?;
        let template = template(cluster).await?;
        Self::create(cluster, &format!("template {template}")).await
    }

    /// Makes a database with nothing in it.
    ///
    /// # Errors
    ///
    /// See [`ClusterError`].
    ///
    /// # Cancel safety
    ///
    /// As [`fresh`](Self::fresh).
    pub async fn empty() -> Result<Self, ClusterError> {
        Self::create(shared().await?, "").await
    }

    /// Returns a pool of ten connections, which are opened when they are needed.
    pub fn pool(&self) -> PgPool {
        self.pool_of(10)
    }

    /// Returns a pool of at most `size` connections, which are opened when they are needed.
    pub fn pool_of(&self, size: u32) -> PgPool {
        PgPoolOptions::new()
            .max_connections(size)
            .connect_lazy_with(self.options.clone())
    }

    /// Returns the database's address, for other processes.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Returns how to connect to it.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    async fn create(cluster: &Cluster, from: &str) -> Result<Self, ClusterError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("{PREFIX}{}_{}", now(), &id[..12]);
        let mut admin = cluster.admin().await?;
        admin
            .execute(AssertSqlSafe(format!("create database {name} {from}")))
            .await?;
        admin.close().await?;
        Ok(Self {
            url: cluster.url_of(&name),
            options: cluster.options_of(&name),
            name,
        })
    }
}

impl Drop for Database {
    // A test's pool may live longer than this value, so its connections are ended by force. In a
    // thread of its own, because a test that has panicked has no runtime to wait in.
    fn drop(&mut self) {
        let name = self.name.clone();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let cluster = shared().await.map_err(std::io::Error::other)?;
                let mut admin = cluster.admin().await.map_err(std::io::Error::other)?;
                drop_database(&mut admin, &name)
                    .await
                    .map_err(std::io::Error::other)
            })
        });
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("{} was not dropped: {error}", self.name);
        }
    }
}

/// Returns the server that all databases of this process are on. It stays until the process ends.
async fn shared() -> Result<&'static Cluster, ClusterError> {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    SHARED
        .get_or_try_init(async || {
            let cluster = Cluster::ephemeral().await?;
            drop_stale(&cluster).await?;
            Ok(cluster)
        })
        .await
}

/// Returns the name of a migrated database, which is made if this server has none of these
/// migrations yet.
async fn template(cluster: &Cluster) -> Result<&'static str, ClusterError> {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE
        .get_or_try_init(async || {
            let mut hasher = DefaultHasher::new();
            crate::operate::migrations()
                .iter()
                .for_each(|migration| migration.sql.hash(&mut hasher));
            let name = format!("taskq_template_{:x}", hasher.finish());
            make_template(cluster, &name).await?;
            Ok(name)
        })
        .await
        .map(String::as_str)
}

async fn make_template(cluster: &Cluster, name: &str) -> Result<(), ClusterError> {
    let mut admin = cluster.admin().await?;
    admin
        .execute("select pg_advisory_lock(hashtext('taskq template'))")
        .await?;
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut admin)
            .await?;
    if !exists {
        // Under another name until it is whole: its maker may be killed.
        let making = format!("{name}_making");
        drop_database(&mut admin, &making).await?;
        admin
            .execute(AssertSqlSafe(format!("create database {making}")))
            .await?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(cluster.options_of(&making))
            .await?;
        crate::migrate(&pool).await?;
        pool.close().await;
        admin
            .execute(AssertSqlSafe(format!(
                "alter database {making} rename to {name}"
            )))
            .await?;
    }
    admin.close().await?;
    Ok(())
}

/// Drops what test processes have left behind that were killed, on a server that outlives them.
async fn drop_stale(cluster: &Cluster) -> Result<(), ClusterError> {
    let mut admin = cluster.admin().await?;
    let names: Vec<String> = sqlx::query_scalar("select datname from pg_database")
        .fetch_all(&mut admin)
        .await?;
    for name in names {
        let made = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('_').next()?.parse::<u64>().ok());
        if made.is_some_and(|made| made + STALE.as_secs() < now()) {
            drop_database(&mut admin, &name).await?;
        }
    }
    admin.close().await?;
    Ok(())
}

async fn drop_database(admin: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    admin
        .execute(AssertSqlSafe(format!(
            "drop database if exists {name} with (force)"
        )))
        .await
        .map(drop)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
