//! The example's database: a pool of connections, and the tables that are there once it is open.

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// How many mails one worker sends at once.
pub(crate) const HANDLERS: usize = 10;

/// Each handler holds a connection, because its effects and its completion are one transaction.
/// What is left over serves the worker itself, the web server, and the mailer's short questions:
/// enough that none of them ever waits for a handler to end.
const CONNECTIONS: u32 = HANDLERS as u32 + 12;

/// Any number; the same one in all processes of this example.
const TABLES_LOCK: i64 = 0x5167_4e75;

/// Connects, and makes sure that the tables are there.
pub(crate) async fn open(url: &str) -> anyhow::Result<PgPool> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect(url)
        .await?;
    taskq::migrate(&pool).await?;
    create_tables(&pool).await?;
    Ok(pool)
}

/// Two processes that start at once both see no table yet; the lock lets one of them go first.
async fn create_tables(pool: &PgPool) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(TABLES_LOCK)
        .execute(&mut *tx)
        .await?;
    // Or each start would log a line for each table that is already there.
    sqlx::query("set local client_min_messages = warning")
        .execute(&mut *tx)
        .await?;
    sqlx::raw_sql(include_str!("tables.sql"))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}
