//! Having a sequence go on that waits at a dead task.

use std::future::IntoFuture;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::pause::Operator;
use crate::error::OperateError;
pub use crate::lane::Blocked;

impl Operator {
    /// Tells at which dead tasks sequences wait, those first that have waited longest.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn blocked(&self) -> Result<Vec<Blocked>, OperateError> {
        let blocked = self.store().blocked().await;
        blocked.map_err(|error| self.error(error))
    }

    /// Has the sequence go on that waits at this dead task, without it. The task stays in `taskq.dead`.
    ///
    /// To have the sequence go on with the task instead, retry it: put it back into `taskq.task` with its id.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// for blocked in operator.blocked().await? {
    ///     // ship {"order_id": 7}: 12 wait behind task 41, discarded since 2026-03-01T07:30:00Z: no such address
    ///     println!("{blocked}");
    /// }
    /// operator.skip_dead(41).frees(12).await?;
    /// # Ok(()) }
    /// ```
    pub fn skip_dead(&self, task_id: i64) -> SkipDead {
        SkipDead {
            operator: self.clone(),
            task_id,
            frees: None,
            reason: None,
        }
    }
}

/// A dead task that a sequence is about to skip: see [`Operator::skip_dead`].
///
/// # Errors
///
/// [`OperateError::Refused`] if no sequence waits at this task, or more tasks wait than [`frees`](Self::frees) says:
/// nothing has changed then. Otherwise see [`OperateError`].
///
/// # Cancel safety
///
/// It is one statement: when the future is dropped, it has happened or will not happen.
#[derive(Debug)]
#[must_use = "nothing is skipped until this is awaited"]
pub struct SkipDead {
    operator: Operator,
    task_id: i64,
    frees: Option<i64>,
    reason: Option<String>,
}

impl SkipDead {
    /// Says how many waiting tasks this frees at most. Whoever has not seen how many there are frees none.
    pub fn frees(self, number: i64) -> Self {
        Self {
            frees: Some(number),
            ..self
        }
    }

    /// Says why. The audit shows it.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }
}

/// Returns what was blocked.
impl IntoFuture for SkipDead {
    type Output = Result<Blocked, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let Self {
                operator,
                task_id,
                frees,
                reason,
            } = self;
            let acting = operator
                .act(async move |mut store, signed| store.skip_dead(task_id, frees, &signed).await);
            acting.because_if(reason).await
        }
        .boxed()
    }
}
