//! Handlers of many payloads: what a type declares, and how a worker calls one without knowing its types.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::attempt::batch::Outcomes;
use crate::attempt::state::Parts;
use crate::error::{BoxError, DecodeError};

/// The most payloads that one call may be given.
pub(crate) const MAX_SIZE: u16 = 10_000;

/// The longest that a worker may be told to wait for more.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(60);

/// A handler of many payloads: see [`Task::BATCH`](crate::handler::Task::BATCH).
pub type BatchFn<P> = for<'a> fn(Vec<P>, Parts<'a>) -> BoxFuture<'a, Outcomes>;

/// How many payloads one call is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchBounds {
    /// The most of them.
    pub(crate) size: u16,
    /// How long a worker waits for more once one is there.
    pub(crate) wait: Duration,
}

/// A handler of many payloads, without its types.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchHandler {
    pub(crate) bounds: BatchBounds,
    pub(crate) read: ReadBatchFn,
}

/// Reads payloads, each for itself.
pub(crate) type ReadBatchFn = fn(&[(&RawValue, Option<u16>)]) -> ReadBatch;

/// Payloads that were read.
pub(crate) struct ReadBatch {
    /// One for each: why it cannot be given to the handler, if it cannot.
    pub(crate) unread: Vec<Option<Unread>>,
    /// Calls the handler with all others.
    pub(crate) start: Box<StartBatch>,
}

type StartBatch = dyn for<'a> FnOnce(Parts<'a>) -> BoxFuture<'a, Outcomes>;

/// Why a payload cannot be given to a handler.
pub(crate) enum Unread {
    Invalid(DecodeError),
    /// What reads it has panicked.
    Panicked(BoxError),
}
