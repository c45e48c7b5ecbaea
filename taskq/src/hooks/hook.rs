//! What a hook is, and which tasks it wants.

use std::ops::BitOr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use super::enqueuing::Enqueuing;
use crate::attempt::ended::EndedAttempt;
use crate::error::BoxError;

/// Code of yours around every enqueue and every attempt of the task types that it [wants](Self::wants).
///
/// There are two kinds of calls, and their names say what holds:
///
/// | method | when | what it may do | what holds |
/// | --- | --- | --- | --- |
/// | [`in_tx`](Self::in_tx) | an attempt completes its task, or discards it | write in the transaction that says so; refuse it | what it writes is there if and only if the outcome counts |
/// | [`after`](Self::after) | an attempt has ended in any way, and that is written | tell others | at most once: never for what does not count, and not at all if the process dies in between |
/// | [`enqueue_in_tx`](Self::enqueue_in_tx) | tasks are about to be enqueued | write in the caller's transaction; add metadata; refuse it | what it writes commits and rolls back with the tasks |
///
/// There is no call after an enqueue: whether its transaction commits, its caller alone will know.
///
/// ```no_run
/// use sqlx::PgConnection;
/// use taskq::error::BoxError;
/// use taskq::hooks::{BoxFuture, EndedAttempt, Wants};
/// use taskq::{Hook, Worker};
///
/// /// Tells others of invoices, by a table that they read.
/// struct Outbox;
///
/// impl Hook for Outbox {
///     fn wants(&self, task_type: &str) -> Wants {
///         match task_type {
///             "send_invoice" => Wants::IN_TX,
///             _ => Wants::NOTHING,
///         }
///     }
///
///     fn in_tx<'a>(
///         &'a self,
///         attempt: &'a EndedAttempt,
///         tx: &'a mut PgConnection,
///     ) -> BoxFuture<'a, Result<(), BoxError>> {
///         Box::pin(async move {
///             sqlx::query("insert into outbox (topic, task_id) values ($1, $2)")
///                 .bind(attempt.outcome.name())
///                 .bind(attempt.task_id)
///                 .execute(tx)
///                 .await?;
///             Ok(())
///         })
///     }
/// }
///
/// # async fn run(pool: sqlx::PgPool) -> Result<(), taskq::WorkerError> {
/// let worker = Worker::builder(pool).hook(Outbox).build().await?;
/// # worker.run().await }
/// ```
///
/// # Panics
///
/// A hook that panics ends nothing, and is called again the next time. In `in_tx` and `enqueue_in_tx` a panic refuses, as an
/// error does; in `after` it changes nothing. It is counted ([`HookCounts`](super::HookCounts)), and the log says it once a
/// minute at most, with the hook's name.
pub trait Hook: Send + Sync + 'static {
    /// Returns the name of the hook in errors, log lines and metrics; unless given, that of its Rust type. It is asked once.
    fn name(&self) -> &str {
        std::any::type_name::<Self>()
    }

    /// Tells for which calls the hook wants tasks of this type.
    ///
    /// A worker asks once for each of its task types, when it is built, so that types which no hook wants cost nothing. Each
    /// enqueue asks again.
    fn wants(&self, task_type: &str) -> Wants;

    /// Is called in the very transaction in which an attempt completes its task, or discards it: that of the handler, or
    /// else one of its own. `attempt.outcome` is what is about to be written: [`Completed`] or [`Discarded`].
    ///
    /// It comes after the handler, and before deferred constraints are checked and the task leaves. For other outcomes there
    /// is no such call: the task waits again, or its handler did not run. Nor is there one for a task that an operator
    /// cancels, and for one that is quarantined since its workers died.
    ///
    /// Its time limit is the one that the task type declares.
    ///
    /// # Errors
    ///
    /// An error refuses the outcome, and everything that the transaction did is undone. A completion becomes a failed
    /// attempt, whose error has the hook's name. A discard is put off: the task waits for 5 s, 10 s … up to 6 h, its handler
    /// does not run again, and the hook is asked again.
    ///
    /// # Cancel safety
    ///
    /// The worker drops the future when that time is over, when the task is taken away, and when the worker stops. Then what it has
    /// written is undone.
    ///
    /// [`Completed`]: crate::AttemptOutcome::Completed
    /// [`Discarded`]: crate::AttemptOutcome::Discarded
    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        let _ = (attempt, tx);
        std::future::ready(Ok(())).boxed()
    }

    /// Is called once an attempt has ended and what became of its task is written, whatever that is: once at most, since the
    /// process may die in between.
    ///
    /// Calls of one hook follow one another, beside the work. While a call takes its time, ten thousand more may wait. What
    /// comes then is dropped, counted, and said in the log.
    ///
    /// # Errors
    ///
    /// An error is counted and logged, and changes nothing.
    ///
    /// # Cancel safety
    ///
    /// The worker drops the future after thirty seconds, and five seconds after the last outcome is written when it stops.
    fn after<'a>(&'a self, attempt: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        let _ = attempt;
        std::future::ready(Ok(())).boxed()
    }

    /// Is called before tasks are inserted, in the caller's transaction, if the hook is [registered](super::register): once
    /// for each call of an enqueue, with all of its tasks.
    ///
    /// On a connection outside of a transaction, each statement of the hook commits by itself.
    ///
    /// # Errors
    ///
    /// An error refuses the enqueue with [`EnqueueError::Vetoed`](crate::EnqueueError::Vetoed), and nothing is inserted. What
    /// hooks have written until then is in the caller's transaction: roll that back.
    ///
    /// # Cancel safety
    ///
    /// It is dropped with the future of the enqueue.
    fn enqueue_in_tx<'a>(
        &'a self,
        tasks: &'a mut Enqueuing<'_>,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        let _ = (tasks, tx);
        std::future::ready(Ok(())).boxed()
    }
}

impl<H: Hook + ?Sized> Hook for Arc<H> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn wants(&self, task_type: &str) -> Wants {
        (**self).wants(task_type)
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        (**self).in_tx(attempt, tx)
    }

    fn after<'a>(&'a self, attempt: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        (**self).after(attempt)
    }

    fn enqueue_in_tx<'a>(
        &'a self,
        tasks: &'a mut Enqueuing<'_>,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        (**self).enqueue_in_tx(tasks, tx)
    }
}

/// For which calls a [`Hook`] wants tasks of a type: `Wants::IN_TX | Wants::AFTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants(u8);

impl Wants {
    /// For none.
    pub const NOTHING: Self = Self(0);
    /// For [`Hook::in_tx`].
    pub const IN_TX: Self = Self(1);
    /// For [`Hook::after`].
    pub const AFTER: Self = Self(2);
    /// For [`Hook::enqueue_in_tx`].
    pub const ENQUEUE: Self = Self(4);

    /// Tells whether it has all of what another one has.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Wants {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
