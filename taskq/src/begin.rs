//! Beginning a transaction that nobody can leave half begun.

use std::io;

use sqlx::{Error, PgPool, Postgres, SqlSafeStr, SqlStr, Transaction};

/// Begins a transaction on a connection of the pool, and cannot be abandoned half-way.
///
/// It does what [`pool.begin()`](sqlx::Pool::begin) does. But where the future of `pool.begin()` is dropped before
/// the answer of Postgres has come, the connection goes back to the pool in an open transaction, of which sqlx
/// knows nothing. That happens when a client of a web server hangs up, and in `select!` and `timeout`. What the
/// next user of that connection writes is then never committed.
///
/// ```no_run
/// # async fn signup(pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = taskq::begin(pool).await?;
/// sqlx::query("insert into usr (email) values ('a@b.example')").execute(&mut *tx).await?;
/// tx.commit().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// When no connection is to be had, or `begin` fails.
///
/// # Panics
///
/// Outside of a tokio runtime.
///
/// # Cancel safety
///
/// Dropping the future leaves nothing behind. A task of the runtime waits for the answer in its place, and rolls the
/// transaction back.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
    begin_with(pool, "begin".into_sql_str()).await
}

/// Does the same with another statement.
pub(crate) async fn begin_with(
    pool: &PgPool,
    statement: SqlStr,
) -> Result<Transaction<'static, Postgres>, Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    begun.await.map_err(io::Error::other)?
}
