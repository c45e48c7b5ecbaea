//! What an operator does, with a name and a reason.

use std::fmt;
use std::future::IntoFuture;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::pause::Operator;
use crate::error::OperateError;
use crate::store::{Signed, Store};

/// Something that an operator is about to do: [`Operator::cancel`], [`Operator::resume`] and their like. Awaited, it is done,
/// and returns what the method says.
///
/// `taskq.audit` has it: who did what, when and why.
///
/// # Errors
///
/// [`OperateError::Refused`] if that cannot be done, and why; otherwise see [`OperateError`]. Then nothing has changed.
///
/// # Cancel safety
///
/// It is one statement: when the future is dropped, it has happened or will not happen.
#[must_use = "nothing happens until this is awaited"]
pub struct Act<T> {
    operator: Operator,
    reason: Option<String>,
    does: Does<T>,
}

type Does<T> =
    Box<dyn FnOnce(Store<'static>, Signed) -> BoxFuture<'static, sqlx::Result<T>> + Send + 'static>;

impl Operator {
    pub(super) fn act<T, F>(
        &self,
        does: impl FnOnce(Store<'static>, Signed) -> F + Send + 'static,
    ) -> Act<T>
    where
        F: Future<Output = sqlx::Result<T>> + Send + 'static,
    {
        Act {
            operator: self.clone(),
            reason: None,
            does: Box::new(|store, signed| does(store, signed).boxed()),
        }
    }
}

impl<T> Act<T> {
    /// Says why. The audit shows it, and the errors of a cancelled task.
    pub fn because(self, reason: impl Into<String>) -> Self {
        self.because_if(Some(reason))
    }

    /// Says why, if there is a reason.
    pub(crate) fn because_if(self, reason: Option<impl Into<String>>) -> Self {
        Self {
            reason: reason.map(Into::into),
            ..self
        }
    }
}

impl<T: Send + 'static> IntoFuture for Act<T> {
    type Output = Result<T, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            operator,
            reason,
            does,
        } = self;
        let signed = Signed {
            by: operator.user.clone(),
            reason,
        };
        let done = does(operator.store(), signed);
        async move { done.await.map_err(|error| operator.error(error)) }.boxed()
    }
}

impl<T> fmt::Debug for Act<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Act")
            .field("operator", &self.operator)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
