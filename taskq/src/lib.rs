//! taskq

mod attempt;
mod backoff;
mod control;
mod enqueue;
mod error;
mod lanes;
mod maintenance;
mod migrate;
mod options;
mod outcome;
mod payload;
mod registry;
mod state;
mod store;
mod task;
mod tx;
mod verdict;
mod worker;

#[cfg(feature = "testing")]
pub mod testing;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use taskq_macros::task;

pub use crate::attempt::{Attempt, AttemptError};
pub use crate::control::{Control, cancel, discard, retry_in, snooze};
pub use crate::enqueue::{Enqueue, Enqueued, enqueue, enqueue_many, enqueue_many_in};
pub use crate::error::{
    BoxError, DecodeError, EnqueueError, MigrateError, MissingState, SchemaTooNew, WorkerError,
};
pub use crate::migrate::{Migration, migrate, migrate_schema, migrations};
pub use crate::outcome::{IntoOutcome, Outcome};
pub use crate::payload::{DEFAULT_MAX_ATTEMPTS, DEFAULT_PRIORITY, DEFAULT_QUEUE, Payload};
pub use crate::state::{Parts, StateRequirement};
pub use crate::store::{InvalidSchemaName, Schema};
pub use crate::task::{DEFAULT_TIMEOUT, Declaration, Delivery, Task, TaskSet};
pub use crate::tx::{Tx, TxHandle};
pub use crate::worker::{
    DEFAULT_CENSUS_INTERVAL, DEFAULT_CONCURRENCY, DEFAULT_GRACE_PERIOD, DEFAULT_LEASE,
    DEFAULT_POLL_INTERVAL, NextSignal, StopNow, Worker, WorkerBuilder, shutdown_signal,
};
