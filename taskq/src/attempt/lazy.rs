//! A transaction that begins when its handler asks for it.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use crate::attempt::tx::Tx;
use crate::error::BeginError;

/// The transaction in which a task completes, from its [`begin`](Self::begin) on.
///
/// It is for a handler that works for long elsewhere, and then writes: until `begin` the attempt has no connection, no
/// transaction and no snapshot. A handler asks for it with its one `&mut` argument:
///
/// ```
/// # trait Bank: Send + Sync { fn charge(&self, order_id: i64) -> Result<String, taskq::error::BoxError>; }
/// use taskq::LazyTx;
///
/// #[taskq::task]
/// async fn charge_order(bank: &dyn Bank, tx: &mut LazyTx, order_id: i64) -> Result<(), taskq::error::BoxError> {
///     let receipt = bank.charge(order_id)?;
///     let tx = tx.begin().await?;
///     sqlx::query("update orders set receipt = $2 where order_id = $1")
///         .bind(order_id)
///         .bind(receipt)
///         .execute(&mut *tx)
///         .await?;
///     Ok(())
/// }
/// ```
///
/// **What holds.** What the handler does before `begin`, and all that it does outside of the transaction, happens at
/// least once. What it writes through the transaction commits with the completion of the task, or not at all, as with
/// `&mut tx`: there is one commit, it counts only if the task is still this worker's, and a handler that fails is rolled
/// back and its failure recorded. A task whose handler never begins completes as those without `&mut` do.
pub struct LazyTx {
    begun: Option<Tx>,
    beginner: Arc<dyn Beginner>,
}

/// Who begins the transaction: a worker, or a test.
pub(crate) trait Beginner: Send + Sync {
    fn begin(&self) -> BoxFuture<'_, Result<Tx, BeginError>>;
}

impl LazyTx {
    pub(crate) fn new(beginner: Arc<dyn Beginner>) -> Self {
        Self {
            begun: None,
            beginner,
        }
    }

    /// Begins the transaction at the first call, and returns the same one at each further call.
    ///
    /// Where other handlers use all connections that the worker's pool has for them, it waits for one, for as long as the
    /// pool has others wait: [`acquire_timeout`](sqlx::pool::PoolOptions::acquire_timeout), 30 seconds by default. The
    /// attempt's timeout runs on meanwhile, and so do the heartbeats. Committing and rolling back are the worker's.
    ///
    /// # Errors
    ///
    /// - [`BeginError::Cancelled`] when an operator has cancelled the task.
    /// - [`BeginError::LeaseLost`] when the task is not this worker's any more: somebody else may be running it.
    /// - [`BeginError::NoConnection`] when no connection is to be had, and [`BeginError::Database`] when Postgres does not
    ///   answer. Return either, and the task runs again. The attempt is not charged, until it was interrupted in this way
    ///   eleven times in a row.
    ///
    /// After an error it may be called again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future begins nothing, and leaves no connection in a transaction.
    pub async fn begin(&mut self) -> Result<&mut PgConnection, BeginError> {
        let tx = match self.begun.take() {
            Some(tx) => tx,
            None => self.beginner.begin().await?,
        };
        Ok(self.begun.insert(tx))
    }

    /// Takes what was begun.
    pub(crate) fn into_begun(self) -> Option<Tx> {
        self.begun
    }
}

impl fmt::Debug for LazyTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyTx")
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}
