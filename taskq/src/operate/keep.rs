//! For how long finished tasks are kept: what operators say in the place of what programs declare.

use super::act::Act;
use super::pause::Operator;
use super::task::TaskState;
use crate::task::keep::KeepFor;

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
