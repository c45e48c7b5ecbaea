//! The task that an enqueue leaves behind.

use std::fmt;
use std::marker::PhantomData;

use crate::store::Schema;
use crate::task::unique::EnqueueOutcome;

/// A task that an enqueue inserted.
#[non_exhaustive]
pub struct Enqueued<P> {
    /// The id of the task, unique for ever and the same in every attempt.
    ///
    /// Of a task type that is [`unique`](crate::unique::Unique) it may be an older task, which `outcome` tells.
    pub task_id: i64,
    /// What the enqueue did.
    pub outcome: EnqueueOutcome,
    pub(crate) schema: Schema,
    /// Whether its end is told to those who wait for it.
    pub(crate) is_told: bool,
    payload: PhantomData<fn() -> P>,
}

impl<P> Enqueued<P> {
    /// `is_told` says whether the enqueue has asked for that: an older task may be without.
    pub(super) fn new(
        (task_id, outcome, schema): (i64, EnqueueOutcome, Schema),
        is_told: bool,
    ) -> Self {
        Self {
            task_id,
            outcome,
            schema,
            is_told: is_told && outcome == EnqueueOutcome::Created,
            payload: PhantomData,
        }
    }
}

impl<P> fmt::Debug for Enqueued<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueued")
            .field("task_id", &self.task_id)
            .field("outcome", &self.outcome)
            .finish()
    }
}
