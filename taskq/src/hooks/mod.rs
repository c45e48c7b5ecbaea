//! Code of yours around every enqueue and every attempt: see [`Hook`].
//!
//! A worker calls the hooks that its builder was [given](crate::WorkerBuilder::hook) around its attempts. Enqueues have no
//! worker, so [`register`] has every enqueue of the process call a hook.

mod enqueuing;
mod held;
mod hook;
mod registered;

pub use futures_util::future::BoxFuture;

pub use self::enqueuing::Enqueuing;
pub use self::held::HookCounts;
pub(crate) use self::held::{HeldHook, Vetoed};
pub use self::hook::{Hook, Wants};
pub use self::registered::{Registered, register};
pub(crate) use self::registered::{ask, wanting};
pub use crate::attempt::ended::EndedAttempt;
