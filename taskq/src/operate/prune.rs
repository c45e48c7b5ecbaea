//! Deleting what is kept no longer, at once.

use std::time::{Duration, Instant};

use sqlx::Error;
use tokio::time::sleep;

use super::pause::Operator;
use crate::defaults;
use crate::error::OperateError;
use crate::store::{Store, is_locked};
pub use crate::task::keep::Prunable;

/// How many rows one statement reads or deletes, so that none is locked for long.
pub(crate) const AT_ONCE: i64 = 5_000;

/// After each statement it rests for so many times as long as that took: claims and handlers have the server meanwhile…
const REST: u32 = 9;

/// … but for no less than this, so that others get at the disk…
const SHORTEST_REST: Duration = Duration::from_millis(50);

/// … and for no longer than this, where the server was slow for another reason.
const LONGEST_REST: Duration = Duration::from_secs(2);

impl Operator {
    /// Tells how many finished tasks are kept no longer, by task type and outcome: what [`prune`](Self::prune) would delete
    /// now. It reads all of the history that is so old.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool);
    /// for it in operator.prunable().await? {
    ///     println!("{} {}: {} tasks", it.task_type, it.outcome, it.tasks);
    /// }
    /// println!("{} pruned", operator.prune().await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn prunable(&self) -> Result<Vec<Prunable>, OperateError> {
        let prunable = self.store().prunable(defaults::HISTORY_RETENTION).await;
        prunable.map_err(|error| self.error(error))
    }

    /// Deletes the finished tasks that are kept no longer, and returns how many of those that do not go with a whole day of
    /// the history. Workers do it by themselves, about once a minute; this does it at once. It waits for
    /// nobody: a day that somebody is just reading stays for the next time. As workers do, it takes a tenth of the time of one
    /// connection, and rests for nine tenths: a million rows take a minute or more.
    ///
    /// `taskq.pruned` counts what was ever deleted, by task type and outcome.
    ///
    /// # Errors
    ///
    /// See [`OperateError`]. What was deleted until then stays deleted.
    ///
    /// # Cancel safety
    ///
    /// Each part is a statement of its own: when the future is dropped, some is deleted, and the next time deletes the rest.
    pub async fn prune(&self) -> Result<u64, OperateError> {
        let mut store = self.store();
        let pruned = async {
            let pruned = prune_kept(&mut store).await?;
            loop {
                let began = Instant::now();
                match store.prune(defaults::HISTORY_RETENTION).await {
                    Ok(Some(_)) => rest_after(began).await,
                    Ok(None) => return Ok(pruned),
                    // Somebody reads the history, and others would wait behind this.
                    Err(error) if is_locked(&error) => return Ok(pruned),
                    Err(error) => return Err(error),
                }
            }
        };
        pruned.await.map_err(|error| self.error(error))
    }
}

/// Deletes what is kept no longer and does not go with a whole day, in small parts, and returns how many.
pub(crate) async fn prune_kept(store: &mut Store<'_>) -> Result<u64, Error> {
    let mut total = 0;
    loop {
        let began = Instant::now();
        let (pruned, is_more) = store.prune_kept(AT_ONCE).await?;
        total += pruned.unsigned_abs();
        crate::faults::crash_point("after_prune");
        if !is_more {
            return Ok(total);
        }
        rest_after(began).await;
    }
}

/// Rests after something that has taken since `began`.
pub(crate) async fn rest_after(began: Instant) {
    let rest = began.elapsed() * REST;
    sleep(rest.clamp(SHORTEST_REST, LONGEST_REST)).await;
}
