//! Running a handler.

use futures_util::future::BoxFuture;

use crate::attempt::batch::Outcomes;
use crate::attempt::outcome::Outcome;
use crate::attempt::state::Parts;
use crate::task::declaration::Task;

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

/// Runs a handler of many payloads.
pub fn run_many<'a, F: Future + Send + 'a>(
    future: F,
    outcomes: fn(F::Output) -> Outcomes,
) -> BoxFuture<'a, Outcomes> {
    conclude_many(Box::pin(future), outcomes)
}

// As `conclude`.
fn conclude_many<'a, R: 'a>(
    future: BoxFuture<'a, R>,
    outcomes: fn(R) -> Outcomes,
) -> BoxFuture<'a, Outcomes> {
    Box::pin(async move { outcomes(future.await) })
}

/// Runs a handler of many payloads with one.
pub fn run_one_of_many<'a, T: Task>(
    payload: T::Payload,
    parts: Parts<'a>,
) -> BoxFuture<'a, Outcome> {
    let outcomes = T::BATCH.map(|batch| batch(vec![payload], parts));
    Box::pin(async move {
        match outcomes {
            Some(outcomes) => outcomes.await.of_one(),
            None => Outcome::Completed,
        }
    })
}
