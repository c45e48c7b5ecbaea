//! A connection that a loop keeps: each call has a time limit, and a call that fails gives the
//! connection up, so that the next one begins with a fresh one.

use std::io;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Error, PgConnection, PgPool, Postgres, raw_sql};
use tokio::time::timeout;

/// How long one call of a loop may take.
///
/// The slowest of them writes a batch of rows: some milliseconds, a second where the disk is
/// busy. What takes longer than this is not answered any more.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// Leaves a transaction in which somebody has left a connection of the pool.
///
/// sqlx does not know of it where a `pool.begin()` was dropped before its answer came, as in a request whose
/// client hangs up; and what a loop does on such a connection would never be committed.
const AFRESH: &str = "begin; rollback";

/// One connection of the pool, held for as long as it works.
#[derive(Debug)]
pub(crate) struct Link {
    pool: PgPool,
    connection: Option<PoolConnection<Postgres>>,
}

impl Link {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            connection: None,
        }
    }

    /// Makes one call, on the connection held or on a new one.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the connection is closed: an answer may still have been under
    /// way on it.
    pub(crate) async fn call<T>(
        &mut self,
        verb: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => Borrowed(Some(connection)),
            None => self.usable().await?,
        };
        let result = within(verb(connection.get())).await;
        if result.is_ok() {
            self.connection = connection.0.take();
        }
        result
    }

    /// Takes a connection from the pool. One that somebody has left in a transaction that failed, or in one that
    /// sqlx takes for open, is closed, and another is taken.
    async fn usable(&self) -> Result<Borrowed, Error> {
        let most = self.pool.options().get_max_connections();
        for _ in 0..most {
            let mut fresh = Borrowed(Some(within(self.pool.acquire()).await?));
            let answer = within(raw_sql(AFRESH).execute(fresh.get())).await;
            let is_usable = !fresh.get().is_in_transaction();
            match answer {
                Ok(_) if is_usable => return Ok(fresh),
                Ok(_) => {}
                Err(Error::Database(refusal)) if refusal.code().as_deref() == Some("25P02") => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::PoolTimedOut)
    }
}

/// A connection in the middle of a call, which closes it if it does not come back.
struct Borrowed(Option<PoolConnection<Postgres>>);

impl Borrowed {
    fn get(&mut self) -> &mut PgConnection {
        self.0
            .as_mut()
            .expect("the connection is taken out only when the call is over")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // Back in the pool it would first be asked whether it still works, which is in doubt.
        drop(self.0.take().map(PoolConnection::detach));
    }
}

async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(CALL_LIMIT, call).await {
        Ok(result) => result,
        Err(_) => Err(Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("Postgres did not answer within {CALL_LIMIT:?}"),
        ))),
    }
}
