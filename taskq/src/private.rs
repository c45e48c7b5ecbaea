//! What code made by `#[task]` names. Not public API.

pub use std::primitive::{i16, str, u16, u32, u64};
pub use std::{boxed::Box, option::Option, result::Result, time::Duration};

pub use inventory;
pub use serde;
pub use serde_json::Error as EncodeError;
pub use serde_json::value::RawValue;
pub use sqlx::PgConnection;

pub use crate::enqueue::{Enqueue, enqueue};
pub use crate::error::DecodeError;
pub use crate::outcome::{IntoOutcome, Outcome};
pub use crate::payload::Payload;
pub use crate::state::{Parts, StateRequirement};
pub use crate::task::{Declaration, Registration, Task};
pub use crate::tx::TxHandle;
pub use futures_util::future::BoxFuture;

/// Writes a payload as JSON.
pub fn encode<T: serde::Serialize>(payload: &T) -> Result<Box<RawValue>, EncodeError> {
    serde_json::value::to_raw_value(payload)
}

/// Reads a payload, naming the path of what does not fit.
pub fn decode<T: serde::de::DeserializeOwned>(raw: &RawValue) -> Result<T, DecodeError> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    serde_path_to_error::deserialize(&mut reader).map_err(DecodeError::new)
}

/// A type that an owned argument of a handler may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a payload field: it must be `Serialize + DeserializeOwned`",
    label = "not a payload field",
    note = "an owned argument is stored as JSON in the task's row: add `#[derive(serde::Serialize, serde::Deserialize)]` to the type",
    note = "to use worker state instead, borrow it: `&{Self}`; the transaction is the one `&mut` argument"
)]
pub trait Field {}

#[diagnostic::do_not_recommend]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Field for T {}

/// Asserts that `T` can be a payload field.
pub const fn assert_field<T: Field>() {}

/// Asserts that a handler's future can move between threads.
pub fn assert_send<F: Future + Send>(future: F) -> F {
    future
}

/// What `#[inject]` can give: worker state that is shared, not borrowed.
#[diagnostic::on_unimplemented(
    message = "`#[inject]` gives an `Arc<T>` of worker state, not `{Self}`",
    label = "not an `Arc<T>`",
    note = "write `#[inject] state: std::sync::Arc<T>`, or borrow the state: `state: &T`"
)]
pub trait Inject: Sized {
    /// What the worker must have.
    const REQUIREMENT: StateRequirement;
    /// Takes it.
    fn inject(parts: &Parts<'_>) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Send + Sync + 'static> Inject for std::sync::Arc<T> {
    const REQUIREMENT: StateRequirement = StateRequirement::of::<T>();

    fn inject(parts: &Parts<'_>) -> Self {
        parts.arc::<T>()
    }
}
