//! Limiting a queue, a task type or each of its keys while workers run.

use std::future::IntoFuture;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::act::Act;
use super::pause::{Operator, Queue, TaskType};
use crate::error::OperateError;
pub use crate::lane::{Bound, Limit, LimitScope, Overridden};

/// Each key of a task type, by the name of the type: `limit(EachKey("send_card"))`.
///
/// Its program says of which fields of the payload a key is made: `#[task(concurrency(5, key = tenant_id))]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EachKey<'a>(pub &'a str);

impl From<Queue<'_>> for LimitScope {
    fn from(Queue(name): Queue<'_>) -> Self {
        Self::Queue(name.to_owned())
    }
}

impl From<TaskType<'_>> for LimitScope {
    fn from(TaskType(name): TaskType<'_>) -> Self {
        Self::TaskType(name.to_owned())
    }
}

impl From<EachKey<'_>> for LimitScope {
    fn from(EachKey(name): EachKey<'_>) -> Self {
        Self::Key(name.to_owned())
    }
}

impl Operator {
    /// Limits a queue, a task type, or each key of a task type, over all workers: in place of what a program declares, or
    /// where none declares anything. See [`Limiting`] for how.
    ///
    /// The limit stands in a table until somebody [resets](Self::reset_limits) it, so it outlives workers, deploys and
    /// Postgres. Workers hear of it within milliseconds. It holds for tasks that wait already. What runs goes on: nothing
    /// starts until fewer run than the limit. What a worker has claimed and not started waits again, uncharged.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use taskq::operate::{EachKey, Queue, TaskType};
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// operator.limit(Queue("mail")).concurrency(5).because("SMTP is slow").await?;
    /// operator.limit(TaskType("send_invoice")).rate(100, Duration::from_secs(60)).await?;
    /// operator.limit(EachKey("import")).concurrency(1).await?;
    /// for limit in operator.limits().await? {
    ///     println!("{limit}"); // queue mail: 5 at once, by ada since 2026-03-01T07:30:00Z: SMTP is slow
    /// }
    /// operator.reset_limits(Queue("mail")).await?;
    /// # Ok(()) }
    /// ```
    pub fn limit(&self, scope: impl Into<LimitScope>) -> Limiting {
        Limiting {
            operator: self.clone(),
            scope: scope.into(),
            bounds: Vec::new(),
            burst: None,
            reason: None,
            until: None,
        }
    }

    /// Has what is declared hold again for a queue, a task type or each key of one, and returns what was said in its place.
    /// Where nothing is declared, there is no limit any more.
    pub fn reset_limits(&self, scope: impl Into<LimitScope>) -> Act<Vec<Limit>> {
        let scope = scope.into();
        self.act(async move |mut store, signed| store.end_limit(&scope, &signed).await)
    }

    /// Tells all limits: declared, overridden, and in force.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The table is only read, so the future may be dropped at any time.
    pub async fn limits(&self) -> Result<Vec<Limit>, OperateError> {
        let limits = self.store().all_limits().await;
        limits.map_err(|error| self.error(error))
    }
}

/// A limit that is about to be said: see [`Operator::limit`].
///
/// # Errors
///
/// [`OperateError::Refused`] if it makes no sense, such as a limit of each key where the type declares no key; otherwise
/// see [`OperateError`].
///
/// # Cancel safety
///
/// Each of concurrency and rate is one statement: when the future is dropped, it has happened or will not happen.
#[derive(Debug)]
#[must_use = "nothing is limited until this is awaited"]
pub struct Limiting {
    operator: Operator,
    scope: LimitScope,
    bounds: Vec<(&'static str, Option<Bound>)>,
    burst: Option<u32>,
    reason: Option<String>,
    until: Option<DateTime<Utc>>,
}

impl Limiting {
    /// Lets so many run at once. With 0 nothing starts.
    pub fn concurrency(self, most: u32) -> Self {
        self.with("concurrency", Some(Bound::Concurrency(most)))
    }

    /// Lets so many start in this time, and as many at once as fit into a second.
    pub fn rate(self, most: u32, per: Duration) -> Self {
        let bound = Bound::Rate {
            most,
            per,
            burst: 0,
        };
        self.with("rate", Some(bound))
    }

    /// Lets so many start at once after a time of quiet, by the rate that is said with it.
    pub fn burst(self, burst: u32) -> Self {
        Self {
            burst: Some(burst),
            ..self
        }
    }

    /// Lifts the declared limits of both kinds.
    pub fn unlimited(self) -> Self {
        self.with("concurrency", None).with("rate", None)
    }

    /// Says why. Lists show it.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }

    /// Has what is declared hold again by itself at this time, by the clock of Postgres.
    pub fn until(self, until: DateTime<Utc>) -> Self {
        Self {
            until: Some(until),
            ..self
        }
    }

    fn with(mut self, kind: &'static str, bound: Option<Bound>) -> Self {
        self.bounds.retain(|(other, _)| *other != kind);
        self.bounds.push((kind, bound));
        self
    }
}

/// Returns the limits that held before, if any did.
impl IntoFuture for Limiting {
    type Output = Result<Vec<Limit>, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            operator,
            scope,
            bounds,
            burst,
            reason,
            until,
        } = self;
        async move {
            if bounds.is_empty() {
                let message = "say how: `.concurrency(5)`, `.rate(100, time)` or `.unlimited()`";
                return Err(OperateError::Refused {
                    message: message.to_owned(),
                });
            }
            let mut store = operator.store();
            let user = operator.user.as_deref();
            let mut former = Vec::new();
            for (kind, bound) in bounds {
                let put =
                    store.put_limit(&scope, kind, bound, burst, reason.as_deref(), until, user);
                let limit = put.await.map_err(|error| operator.error(error))?;
                former.extend(limit);
            }
            Ok(former)
        }
        .boxed()
    }
}
