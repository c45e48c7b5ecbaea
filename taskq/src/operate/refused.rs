//! Having Postgres take back what it refused.

use std::fmt;

use super::act::Act;
use super::filter::Filter;
use super::pause::Operator;
use crate::error::OperateError;

impl Operator {
    /// Has Postgres take a refused task back, once what was in its way is gone: it waits again. Returns the id under which it
    /// waits, a new one if another task has taken its own; `None` if no task of this id is refused.
    ///
    /// A task is refused if Postgres does not let its row go where its outcome sent it: a constraint or a trigger of yours is
    /// in its way. If it still is, so is this, and says by what.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// operator.take_back(42).because("the constraint is gone").await?;
    /// # Ok(()) }
    /// ```
    pub fn take_back(&self, task_id: i64) -> Act<Option<i64>> {
        self.act(async move |mut store, signed| store.take_back(task_id, &signed).await)
    }

    /// Has Postgres take all refused tasks back, one by one: what it still refuses keeps no other from waiting again.
    ///
    /// # Errors
    ///
    /// See [`OperateError`]. What was taken back waits.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, some wait again, and the others are as they were.
    pub async fn take_back_all(&self, reason: Option<&str>) -> Result<TakenBack, OperateError> {
        let refused = Filter::of_state("refused");
        let mut ended = TakenBack::default();
        let mut next = None;
        loop {
            let page = self.list(&refused).most(1_000);
            let page = match next {
                Some(next) => page.after(next).await?,
                None => page.await?,
            };
            for task in &page.tasks {
                let taking = self.take_back(task.task_id).because_if(reason).await;
                match taking {
                    Ok(Some(_)) => ended.waiting += 1,
                    Ok(None) => {}
                    Err(OperateError::Refused { message }) => ended.still_refused.push(message),
                    Err(error) => return Err(error),
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(ended);
            }
        }
    }
}

/// What came of [`Operator::take_back_all`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenBack {
    /// How many tasks wait again.
    pub waiting: u64,
    /// Why Postgres still refuses the others: a text for each.
    pub still_refused: Vec<String>,
}

/// `3 tasks wait again, 1 does not: Postgres still refuses task 42: …`
impl fmt::Display for TakenBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.waiting {
            1 => f.write_str("1 task waits again")?,
            number => write!(f, "{number} tasks wait again")?,
        }
        match &self.still_refused[..] {
            [] => Ok(()),
            [only] => write!(f, ", 1 does not: {only}"),
            [first, rest @ ..] => write!(f, ", {} do not: {first}", rest.len() + 1),
        }
    }
}
