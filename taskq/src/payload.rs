//! What enqueueing needs to know of a task type: its name, its defaults, its JSON.

use serde_json::value::RawValue;

use crate::error::DecodeError;

/// The queue of a task type that names none.
pub const DEFAULT_QUEUE: &str = "default";

/// The priority of a task type that names none. Smaller runs earlier.
pub const DEFAULT_PRIORITY: i16 = 0;

/// How often a task is attempted before it is discarded, unless its type says otherwise.
///
/// Failed attempts are repeated after 5 s, 10 s, 20 s and so on up to 6 h, so the last one begins
/// about three days after the first: a failure on a Friday evening is still being retried on Monday morning.
pub const DEFAULT_MAX_ATTEMPTS: u16 = 25;

/// The data of one task type, and what an enqueue writes beside it.
///
/// `#[task]` implements it for the struct that it makes of a handler's owned arguments. The JSON
/// of the value is the column `payload`, [`TASK_TYPE`](Self::TASK_TYPE) the column `task_type`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task payload",
    label = "not a task payload",
    note = "put `#[taskq::task]` on its handler: that makes the payload struct and implements `taskq::Payload` for it"
)]
pub trait Payload: Sized + Send + 'static {
    /// The wire name, written to the column `task_type`.
    const TASK_TYPE: &'static str;
    /// The queue that tasks of this type are put in unless an enqueue names another.
    const QUEUE: &'static str = DEFAULT_QUEUE;
    /// The priority of tasks of this type unless an enqueue names another. Smaller runs earlier.
    const PRIORITY: i16 = DEFAULT_PRIORITY;
    /// How often a task of this type is attempted at most.
    const MAX_ATTEMPTS: u16 = DEFAULT_MAX_ATTEMPTS;
    /// The version of the payload, written beside it. A worker claims no row that is newer than
    /// what it knows.
    const VERSION: u16 = 1;

    /// Writes the value as JSON.
    #[doc(hidden)]
    fn __encode(&self) -> Result<Box<RawValue>, serde_json::Error>;

    /// Reads a value back, naming the path of what does not fit.
    #[doc(hidden)]
    fn __decode(raw: &RawValue) -> Result<Self, DecodeError>;
}
