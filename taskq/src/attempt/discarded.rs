//! What a task type is told when one of its tasks is given up.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use crate::attempt::Attempt;
use crate::attempt::outcome::Outcome;
use crate::attempt::state::States;

/// A function that is called when a task is discarded: see [`Task::ON_DISCARD`](crate::handler::Task::ON_DISCARD).
pub type DiscardFn<P> =
    for<'a> fn(P, Discarded<'a>, &'a mut PgConnection) -> BoxFuture<'a, Outcome>;

/// A task that is about to be discarded, as the function of `#[task(on_discard = …)]` is given it.
///
/// ```no_run
/// use sqlx::PgConnection;
/// use taskq::Discarded;
///
/// #[taskq::task(max_attempts = 5, on_discard = told_the_customer)]
/// async fn charge(invoice_id: i64) -> Result<(), std::io::Error> {
///     println!("charging {invoice_id}");
///     Ok(())
/// }
///
/// async fn told_the_customer(
///     payload: Charge,
///     discarded: Discarded<'_>,
///     tx: &mut PgConnection,
/// ) -> Result<(), sqlx::Error> {
///     sqlx::query("insert into letter (invoice_id, why) values ($1, $2)")
///         .bind(payload.invoice_id)
///         .bind(discarded.error())
///         .execute(tx)
///         .await?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Discarded<'a> {
    pub(crate) states: &'a States,
    pub(crate) attempt: &'a Attempt,
    pub(crate) error: &'a str,
}

impl<'a> Discarded<'a> {
    /// Returns why the task is given up, in one line, as its row will say it: without the values of secret fields.
    pub fn error(&self) -> &'a str {
        self.error
    }

    /// Borrows the attempt that was the last.
    pub fn attempt(&self) -> &'a Attempt {
        self.attempt
    }

    /// Borrows the state of the type `T` that the handlers of this task type are given; `None` if this worker was given none. Unlike what a handler borrows, it
    /// is not asked for when the worker starts.
    pub fn state<T: ?Sized + Send + Sync + 'static>(&self) -> Option<&'a T> {
        let found = self.states.find::<T>(self.attempt.task_type);
        found.map(Arc::as_ref)
    }
}
