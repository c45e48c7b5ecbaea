//! The weights of keys, where a task type has fair turns: what operators say of them.

use std::future::IntoFuture;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::pause::Operator;
use crate::error::OperateError;
pub use crate::lane::KeyWeight;

impl Operator {
    /// Says how many tasks a turn of one key is, where those of others are one. The task type has fair turns:
    /// `#[task(fair = tenant_id)]`. The fields name the key; leave out a field that its tasks do not have.
    ///
    /// The weight stands in a table until somebody [resets](Weighing::reset) it, and holds for all workers from their
    /// next claims on.
    ///
    /// ```no_run
    /// # use serde_json::json;
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// operator.weight("render", json!({"tenant_id": 7})).set(3).because("the large plan").await?;
    /// for weight in operator.weights().await? {
    ///     // render {"tenant_id":7}: weight 3, by ada since 2026-03-01T07:30:00Z: the large plan
    ///     println!("{weight}");
    /// }
    /// operator.weight("render", json!({"tenant_id": 7})).reset().await?;
    /// # Ok(()) }
    /// ```
    pub fn weight(&self, task_type: impl Into<String>, key: impl Serialize) -> Weighing {
        Weighing {
            operator: self.clone(),
            task_type: task_type.into(),
            key: serde_json::to_value(key).map_err(|error| error.to_string()),
            weight: None,
            is_said: false,
            reason: None,
        }
    }

    /// Tells all weights that somebody has said.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The table is only read, so the future may be dropped at any time.
    pub async fn weights(&self) -> Result<Vec<KeyWeight>, OperateError> {
        let weights = self.store().weights().await;
        weights.map_err(|error| self.error(error))
    }
}

/// A weight that is about to be said: see [`Operator::weight`].
///
/// # Errors
///
/// [`OperateError::Refused`] if the task type has no fair turns, if the key names a field that its keys are not made of,
/// or if the weight is not from 1 to 1000: nothing has changed then. Otherwise see [`OperateError`].
///
/// # Cancel safety
///
/// It is one statement: when the future is dropped, it has happened or will not happen.
#[derive(Debug)]
#[must_use = "nothing is said until this is awaited"]
pub struct Weighing {
    operator: Operator,
    task_type: String,
    key: Result<Value, String>,
    weight: Option<u32>,
    is_said: bool,
    reason: Option<String>,
}

impl Weighing {
    /// Gives the key so many tasks in a turn, from 1 to 1000.
    pub fn set(self, weight: u32) -> Self {
        Self {
            weight: Some(weight),
            is_said: true,
            ..self
        }
    }

    /// Gives the key one task in a turn, as others have.
    pub fn reset(self) -> Self {
        Self {
            weight: None,
            is_said: true,
            ..self
        }
    }

    /// Says why. Lists show it.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }
}

/// Returns what was said before, if something was.
impl IntoFuture for Weighing {
    type Output = Result<Option<KeyWeight>, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let Self {
                operator,
                task_type,
                key,
                weight,
                is_said,
                reason,
            } = self;
            let refused = |message: String| OperateError::Refused { message };
            let key = key.map_err(|error| refused(format!("the key is no JSON: {error}")))?;
            if !is_said {
                return Err(refused("say how: `.set(3)` or `.reset()`".to_owned()));
            }
            let weight = weight.map(|weight| i32::try_from(weight).unwrap_or(i32::MAX));
            let mut store = operator.store();
            let user = operator.user.as_deref();
            let said = store.set_weight(&task_type, &key, weight, reason.as_deref(), user);
            let former = said.await;
            former.map_err(|error| operator.error(error))
        }
        .boxed()
    }
}
