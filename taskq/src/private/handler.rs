//! Running a handler.

use futures_util::future::BoxFuture;

use crate::attempt::outcome::Outcome;

/// Runs a handler: awaits its future, and reads what it returned.
// The future is named in no other type of the code made by the macro, and what is returned only in
// `outcome`: so a mistake in either is reported once.
pub fn run<'a, F: Future + Send + 'a>(
    future: F,
    outcome: fn(F::Output) -> Outcome,
) -> BoxFuture<'a, Outcome> {
    conclude(Box::pin(future), outcome)
}

// Made once for each type that handlers return, of which there are few, and not for each handler. It
// costs an allocation.
fn conclude<'a, R: 'a>(
    future: BoxFuture<'a, R>,
    outcome: fn(R) -> Outcome,
) -> BoxFuture<'a, Outcome> {
    Box::pin(async move { outcome(future.await) })
}
