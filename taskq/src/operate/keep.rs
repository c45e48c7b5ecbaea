//! For how long finished tasks are kept: what operators say in the place of what programs declare.

use super::act::Act;
use super::pause::Operator;
use super::task::TaskState;
use crate::error::OperateError;
use crate::task::keep::KeepFor;
pub use crate::task::keep::KeepRule;

impl Operator {
    /// Keeps the finished tasks of a type that have ended so for another time than programs declare, until somebody
    /// [resets](Self::reset_keep) it. It holds from the next time on that a worker prunes, within about a minute, for those
    /// that have ended before as well.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use taskq::handler::KeepFor;
    /// use taskq::operate::TaskState;
    ///
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let (operator, month) = (taskq::operate(&pool).as_user("ada"), Duration::from_secs(30 * 24 * 60 * 60));
    /// let keeping = operator.keep("send_mail", TaskState::Discarded, KeepFor::Time(month));
    /// keeping.because("the audit asks for no more").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// [`OperateError::Refused`](crate::OperateError::Refused) if that is no state in which a task has ended.
    pub fn keep(&self, task_type: impl Into<String>, outcome: TaskState, time: KeepFor) -> Act<()> {
        let (task_type, time) = (task_type.into(), time.in_words());
        self.act(async move |mut store, signed| {
            store
                .keep(&task_type, &outcome.to_string(), &time, &signed)
                .await
        })
    }

    /// Tells for how long the finished tasks of each type and outcome are kept of which a program or an operator has said it,
    /// and how many were pruned.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// for rule in taskq::operate(&pool).keeps().await? {
    ///     let time = rule.seconds.map_or("for ever".to_owned(), |it| format!("for {it} s"));
    ///     println!("{} {}: kept {time}, {} pruned", rule.task_type, rule.outcome, rule.pruned);
    /// }
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
    pub async fn keeps(&self) -> Result<Vec<KeepRule>, OperateError> {
        let keeps = self.store().keeps().await;
        keeps.map_err(|error| self.error(error))
    }

    /// Has what programs declare hold again. Awaited, it returns whether somebody had said another time.
    pub fn reset_keep(&self, task_type: impl Into<String>, outcome: TaskState) -> Act<bool> {
        let task_type = task_type.into();
        self.act(async move |mut store, signed| {
            store
                .reset_keep(&task_type, &outcome.to_string(), &signed)
                .await
        })
    }
}
