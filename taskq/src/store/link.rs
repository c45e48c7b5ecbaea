//! A connection that a loop keeps: each call has a time limit, and a call that fails gives the
//! connection up, so that the next one begins with a fresh one.

use std::io;
use std::time::{Duration, Instant};

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

/// How long to wait for a server that was down: shorter than the pauses after which a host repeats what was not
/// answered, so that the server's return is noticed within two seconds.
const KNOCK_LIMIT: Duration = Duration::from_secs(4);

/// How old plans may get on a new connection; then twice as old each time, up to [`LONGEST_PLANNED`].
const FIRST_PLANNED: Duration = Duration::from_secs(1);

/// Postgres plans a statement for the size that its tables have then, and a table of a few pages is read whole. It
/// plans anew when a vacuum has come, and between two of them a small table of taskq can grow a thousandfold.
const LONGEST_PLANNED: Duration = Duration::from_secs(60);

/// Has Postgres plan all statements of a session anew.
const PLAN_ANEW: &str = "discard plans";

/// One connection of the pool, held for as long as it works.
#[derive(Debug)]
pub(crate) struct Link {
    pool: PgPool,
    connection: Option<PoolConnection<Postgres>>,
    plans: Plans,
    /// The least time that anything has taken on the connection.
    quickest: Option<Duration>,
    /// Whether the last call failed, so that the server may be down.
    is_in_doubt: bool,
}

/// How old the plans of a connection are.
#[derive(Debug)]
struct Plans {
    made: Instant,
    may_last: Duration,
}

impl Link {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            connection: None,
            plans: Plans::new(Instant::now()),
            quickest: None,
            is_in_doubt: false,
        }
    }

    /// Returns about how long a call takes in which Postgres has nothing to do: as long as the quickest so far. Each
    /// connection begins with such a call, for the others may all take their time.
    pub(super) fn round_trip(&self) -> Duration {
        self.quickest.unwrap_or_default()
    }

    /// Returns the version of the server, if a connection is held that has told it.
    pub(super) fn server_version(&self) -> Option<u32> {
        self.connection.as_ref()?.server_version_num()
    }

    fn record_call(&mut self, began: Instant) {
        let took = began.elapsed();
        self.quickest = Some(self.quickest.map_or(took, |it| it.min(took)));
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
        let was_in_doubt = std::mem::replace(&mut self.is_in_doubt, true);
        let mut connection = match self.connection.take() {
            Some(connection) => Borrowed(Some(connection)),
            // Rare, and large: whoever makes a call would carry it along.
            None => Box::pin(self.connect(was_in_doubt)).await?,
        };
        if self.plans.are_old(Instant::now()) {
            let began = Instant::now();
            within(raw_sql(PLAN_ANEW).execute(connection.get())).await?;
            self.record_call(began);
        }
        let began = Instant::now();
        let result = within(verb(connection.get())).await;
        if result.is_ok() {
            self.record_call(began);
            self.is_in_doubt = false;
            self.connection = connection.0.take();
        }
        result
    }

    /// Takes a connection from the pool. One that somebody has left in a transaction that failed, or in one that
    /// sqlx takes for open, is closed, and another is taken.
    async fn usable(&mut self) -> Result<Borrowed, Error> {
        let most = self.pool.options().get_max_connections();
        for _ in 0..most {
            let mut fresh = Borrowed(Some(self.acquire().await?));
            let began = Instant::now();
            let answer = within(raw_sql(AFRESH).execute(fresh.get())).await;
            self.record_call(began);
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

    /// Says where it was waited in vain: at a pool that gives none, Postgres may well answer.
    async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        match timeout(CALL_LIMIT, self.pool.acquire()).await {
            Ok(acquired) => acquired,
            Err(_) => Err(timed_out(no_connection(&self.pool))),
        }
    }

    async fn connect(&mut self, is_in_doubt: bool) -> Result<Borrowed, Error> {
        if is_in_doubt && let Err(error) = knock(&self.pool).await {
            // Where a connection takes that long, only the pool has the patience.
            self.is_in_doubt = !is_timeout(&error);
            return Err(error);
        }
        // It may lead to another server, further away.
        self.quickest = None;
        let fresh = self.usable().await?;
        self.plans = Plans::new(Instant::now());
        Ok(fresh)
    }
}

impl Plans {
    fn new(now: Instant) -> Self {
        Self {
            made: now,
            may_last: FIRST_PLANNED,
        }
    }

    /// Tells whether the plans are to be made anew, which then counts as done.
    fn are_old(&mut self, now: Instant) -> bool {
        let are_old = now.saturating_duration_since(self.made) >= self.may_last;
        if are_old {
            self.made = now;
            self.may_last = (self.may_last * 2).min(LONGEST_PLANNED);
        }
        are_old
    }
}

/// Fails if the server cannot be reached, at once where nobody listens there.
///
/// The pool would go on trying by itself, after ever longer pauses, and a server that is back would wait for it.
pub(crate) async fn knock(pool: &PgPool) -> Result<(), Error> {
    let options = pool.connect_options();
    match within_limit(KNOCK_LIMIT, PgConnection::connect_with(&options)).await {
        Ok(connection) => {
            // Whatever becomes of it.
            let _ = within_limit(KNOCK_LIMIT, connection.close()).await;
            Ok(())
        }
        Err(error) if is_down(&error) => Err(error),
        // The pool may have a connection that works.
        Err(_) => Ok(()),
    }
}

/// Tells whether a server is not there, or not yet ready.
fn is_down(error: &Error) -> bool {
    const CANNOT_CONNECT_NOW: &str = "57P03";
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(error, Error::Io(_)) || code.as_deref() == Some(CANNOT_CONNECT_NOW)
}

fn is_timeout(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
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
    within_limit(CALL_LIMIT, call).await
}

async fn within_limit<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(format!(
            "Postgres did not answer within {limit:?}"
        ))),
    }
}

fn no_connection(pool: &PgPool) -> String {
    let most = pool.options().get_max_connections();
    if pool.size() >= most && pool.num_idle() == 0 {
        format!(
            "the pool gave no connection within {CALL_LIMIT:?}: all {most} are in use, or Postgres takes no more; a worker needs some of its own, so workers that share a pool need a larger one"
        )
    } else {
        format!("no connection to Postgres within {CALL_LIMIT:?}")
    }
}

fn timed_out(what: String) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_told_from_a_pool_that_is_empty() {
        // Somebody who takes each connection, and says nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let silent = silent.expect("a port");
        let port = silent.local_addr().expect("its address").port();
        let options = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CALL_LIMIT * 2);
        let url = format!("postgres://taskq@127.0.0.1:{port}/taskq");
        let pool = options.connect_lazy(&url).expect("a pool");
        let link = Link::new(pool.clone());
        let error = link.acquire().await.expect_err("nobody answers");
        assert!(is_timeout(&error), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("no connection to Postgres within 15s"),
            "{said}"
        );

        let other = tokio::spawn(async move { pool.acquire().await.is_ok() });
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        let error = link.acquire().await.expect_err("another has it");
        let said = error.to_string();
        assert!(
            said.contains("no connection within 15s: all 1 are in use"),
            "{said}"
        );
        other.abort();
    }

    #[test]
    fn plans_are_made_anew_ever_less_often() {
        let began = Instant::now();
        let mut plans = Plans::new(began);
        let anew = (0..=400).filter(|second| plans.are_old(began + Duration::from_secs(*second)));
        let anew: Vec<_> = anew.collect();
        assert_eq!(anew, [1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]);
    }
}
