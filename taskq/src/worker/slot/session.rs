//! The connection on which a slot makes attempts in transactions.

use std::io;
use std::time::Duration;

use sqlx::{Connection, Error, PgPool, raw_sql};
use tokio::time::timeout;
use uuid::Uuid;

use crate::attempt::tx::Tx;
use crate::begin::begin_with;
use crate::faults::crash_point;
use crate::store::{self, OwnStatements};
use crate::worker::shared::Core;

/// How long to wait for a query to stop that was cancelled, and for any step of ours.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(10);

/// A connection with a transaction that has just begun, and the process of the server that works on
/// it. A slot keeps it from task to task, so that one transaction's end and the next one's beginning
/// are one round trip.
pub(crate) struct Session {
    pub(super) tx: Tx,
    pub(super) backend: i32,
    // Boxed, so that slots stay small.
    pub(super) own: Box<OwnStatements>,
    /// Whether the next task may have it.
    pub(super) is_usable: bool,
    /// Whether the connection has failed.
    pub(super) is_lost: bool,
}

/// A session without its transaction, while the handler has that.
pub(super) struct SessionRest {
    backend: i32,
    own: Box<OwnStatements>,
}

impl Session {
    async fn begin(core: &Core) -> Result<Self, Error> {
        let pool = &core.pool;
        let fresh = core.fresh_session().await?;
        let mut begun = begin_with(pool, fresh.begin()).await;
        if begun
            .as_ref()
            .is_err_and(|error| error.as_database_error().is_some())
        {
            close_unusable(pool).await;
            begun = begin_with(pool, fresh.begin()).await;
        }
        let mut tx = Tx::new(begun?);
        let prepared = OwnStatements::prepare(&mut tx, fresh, core.settings.schema).await;
        crash_point("after_begin");
        let (own, backend) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                store::end_backend(&mut tx).await;
                return Err(error);
            }
        };
        let own = Box::new(own);
        Ok(Self::of(tx, SessionRest { backend, own }))
    }

    /// Puts together what [`split`](Self::split) has taken apart.
    pub(super) fn of(tx: Tx, rest: SessionRest) -> Self {
        let SessionRest { backend, own } = rest;
        Self {
            tx,
            backend,
            own,
            is_usable: true,
            is_lost: false,
        }
    }

    pub(super) fn split(self) -> (Tx, SessionRest) {
        let Self {
            tx, backend, own, ..
        } = self;
        (tx, SessionRest { backend, own })
    }

    /// Tells whether a task is in its lease still.
    pub(super) async fn is_held(
        &mut self,
        core: &Core,
        lease_id: Uuid,
        task_id: i64,
    ) -> Result<bool, Error> {
        let schema = core.settings.schema;
        step(self.own.is_held(&mut self.tx, schema, lease_id, task_id)).await
    }

    /// Ends it where nothing is left to run. The pool gets the connection as clean as a new one, or broken.
    pub(crate) async fn end(self, core: &Core) {
        let Self { mut tx, own, .. } = self;
        let ended = async {
            let fresh = core.fresh_session().await?;
            if own.forget(&mut tx, fresh).await? {
                return Ok(true);
            }
            tracing::debug!("a handler has prepared statements; its connection is closed");
            Ok(false)
        };
        let is_clean = step(ended).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a connection cannot be cleared; it is closed");
            false
        });
        let end = async {
            if is_clean {
                tx.into_transaction().rollback().await
            } else {
                store::end_backend(&mut tx).await;
                Ok(())
            }
        };
        if let Err(error) = step(end).await {
            tracing::debug!(%error, "an idle connection failed");
        }
    }
}

/// Closes the connections of a pool that lie idle in it and have been left in a transaction that failed, or in
/// one that sqlx takes for open. Whoever takes one of them can do nothing with it.
async fn close_unusable(pool: &PgPool) {
    // Kept until the end, so that each is looked at once.
    let mut usable = Vec::new();
    while let Some(mut connection) = pool.try_acquire() {
        let answered = raw_sql("begin; rollback").execute(&mut *connection);
        let answered = step(async { answered.await.map(drop) }).await;
        if answered.is_err() || connection.is_in_transaction() {
            tracing::warn!("closing a connection that somebody left in an unfinished transaction");
            drop(connection.detach());
        } else {
            usable.push(connection);
        }
    }
}

pub(super) async fn begin_in_time(core: &Core) -> Result<Session, Error> {
    timeout(STEP_LIMIT, Session::begin(core)).await.unwrap_or_else(|_| {
        Err(Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "no connection, or no answer, within {STEP_LIMIT:?}; does the pool allow more connections than the server?"
            ),
        )))
    })
}

/// Makes a transaction ready for handlers of a type.
pub(super) async fn be_ready(
    core: &Core,
    task_type: &str,
    begun: Result<Session, Error>,
) -> Result<Session, Error> {
    let habits = core.habits.of(task_type);
    if !habits.need_savepoint() {
        return begun;
    }
    let mut session = begun?;
    // Boxed: it is rare.
    Box::pin(step(session.own.be_ready_for(&mut session.tx, habits))).await?;
    Ok(session)
}

/// Waits for a step of ours, for as long as one may take.
pub(super) async fn step<T>(statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(STEP_LIMIT, statement)
        .await
        .unwrap_or_else(|_| Err(no_answer()))
}

pub(super) fn no_answer() -> Error {
    Error::Io(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("Postgres did not answer within {STEP_LIMIT:?}"),
    ))
}
