//! Enqueueing in the caller's transaction.

mod by_sql;
mod enqueued;
mod group;
mod many;
mod mixed;
mod new_task;
mod one;
mod refusal;
mod said;
#[cfg(feature = "otel")]
mod trace;

pub use self::enqueued::Enqueued;
pub use self::many::{enqueue_copy, enqueue_many};
pub use self::mixed::{EnqueuedMany, Many, Place};
pub use self::new_task::NewTask;
pub use self::one::{Enqueue, enqueue};
