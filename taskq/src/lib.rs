//! taskq

mod attempt;
mod control;
mod enqueue;
mod error;
mod options;
mod outcome;
mod payload;
mod state;
mod store;
mod task;
mod tx;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use taskq_macros::task;

pub use crate::attempt::{Attempt, AttemptError};
pub use crate::control::{Control, cancel, discard, retry_in, snooze};
pub use crate::enqueue::{Enqueue, Enqueued, enqueue, enqueue_many, enqueue_many_in};
pub use crate::error::{BoxError, DecodeError, EnqueueError};
pub use crate::outcome::{IntoOutcome, Outcome};
pub use crate::payload::{DEFAULT_MAX_ATTEMPTS, DEFAULT_PRIORITY, DEFAULT_QUEUE, Payload};
pub use crate::state::{Parts, StateRequirement};
pub use crate::store::{InvalidSchemaName, Schema};
pub use crate::task::{DEFAULT_TIMEOUT, Declaration, Delivery, Task, TaskSet};
pub use crate::tx::{Tx, TxHandle};
