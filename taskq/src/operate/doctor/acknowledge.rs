//! Trouble that somebody knows of and leaves as it is.

use std::fmt;
use std::future::IntoFuture;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::super::act::Act;
use super::super::pause::Operator;
use super::ailment::{Acknowledged, Ailment, Severity};
use crate::error::OperateError;
use crate::store::Signed;

impl Operator {
    /// Says that you know of a trouble and leave it as it is: a setting of this server, a pause that is meant. It is told
    /// last from then on, and is no reason for `doctor` to exit with 1.
    ///
    /// It is known by its problem and its subject. It counts again when [`until`](Acknowledging::until) is over, and where it
    /// becomes of another severity: a warning that you know is no excuse for an error.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// use taskq::operate::Severity;
    ///
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// operator
    ///     .acknowledge("setting", "fsync", Severity::Warning)
    ///     .because("it is a server of tests")
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn acknowledge(&self, problem: &str, subject: &str, severity: Severity) -> Acknowledging {
        Acknowledging {
            operator: self.clone(),
            problem: problem.to_owned(),
            subject: subject.to_owned(),
            severity,
            until: None,
            reason: None,
        }
    }

    /// Has what was acknowledged count as trouble again. Returns whether it was acknowledged.
    pub fn unacknowledge(&self, problem: &str, subject: &str) -> Act<bool> {
        let (problem, subject) = (problem.to_owned(), subject.to_owned());
        self.act(async move |mut store, signed| {
            store.unacknowledge([&problem, &subject], &signed).await
        })
    }

    /// Marks those that somebody has acknowledged: of what this process alone sees, the tables know no more.
    pub(super) async fn mark(&self, ailments: &mut [Ailment]) -> Result<(), OperateError> {
        if ailments.is_empty() {
            return Ok(());
        }
        let known = self.store().acknowledged().await;
        let known: Vec<Known> = known.map_err(|error| self.error(error))?;
        for known in known {
            let those = ailments.iter_mut().filter(|it| known.means(it));
            those.for_each(|it| it.acknowledged = Some(known.acknowledged.clone()));
        }
        Ok(())
    }
}

/// A row of `taskq.acknowledged`.
#[derive(Debug, Deserialize)]
struct Known {
    problem: String,
    subject: String,
    severity: Severity,
    #[serde(flatten)]
    acknowledged: Acknowledged,
}

impl Known {
    fn means(&self, ailment: &Ailment) -> bool {
        self.problem == ailment.problem
            && self.subject == ailment.subject
            && self.severity == ailment.severity
    }
}

/// Trouble that is about to be acknowledged: see [`Operator::acknowledge`].
///
/// # Errors
///
/// [`OperateError::Refused`] if the problem or the subject is empty, or `until` is over, by the clock of Postgres; otherwise
/// see [`OperateError`].
///
/// # Cancel safety
///
/// It is one statement: when the future is dropped, it has happened or will not happen.
#[must_use = "nothing happens until this is awaited"]
pub struct Acknowledging {
    operator: Operator,
    problem: String,
    subject: String,
    severity: Severity,
    until: Option<DateTime<Utc>>,
    reason: Option<String>,
}

impl Acknowledging {
    /// Says why. The audit shows it, and whoever looks at trouble.
    pub fn because(self, reason: impl Into<String>) -> Self {
        self.because_if(Some(reason))
    }

    /// Has it count again at this time, by the clock of Postgres.
    pub fn until(self, until: DateTime<Utc>) -> Self {
        Self {
            until: Some(until),
            ..self
        }
    }

    /// Says why, if there is a reason.
    pub(crate) fn because_if(self, reason: Option<impl Into<String>>) -> Self {
        Self {
            reason: reason.map(Into::into),
            ..self
        }
    }
}

impl IntoFuture for Acknowledging {
    type Output = Result<(), OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let names = [&self.problem, &self.subject, self.severity.name()];
            let signed = Signed {
                by: self.operator.user.clone(),
                reason: self.reason,
            };
            let mut store = self.operator.store();
            let said = store.acknowledge(names, self.until, &signed).await;
            said.map_err(|error| self.operator.error(error))
        }
        .boxed()
    }
}

impl fmt::Debug for Acknowledging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledging")
            .field("problem", &self.problem)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
