//! Enqueueing in the caller's transaction.

mod enqueued;
mod many;
mod one;
mod refusal;
#[cfg(feature = "otel")]
mod trace;

pub use self::enqueued::Enqueued;
pub use self::many::{enqueue_copy, enqueue_many};
pub use self::one::{Enqueue, enqueue};
