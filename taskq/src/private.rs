//! What code made by `#[task]` names. Not public API.

use std::marker::PhantomData;
use std::sync::Arc;

pub use std::primitive::{i16, str, u16};
pub use std::{boxed::Box, file, line, result::Result, time::Duration};

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
// Returns an opaque type, which is `Send` by itself: a future that is not is reported once, here.
pub fn assert_send<F: Future + Send>(future: F) -> impl Future<Output = F::Output> + Send {
    future
}

/// A type that a `&T` argument of a handler may borrow.
#[diagnostic::on_unimplemented(
    message = "worker state `{Self}` must be `Send + Sync + 'static`",
    label = "cannot be shared between threads",
    note = "a `&T` argument borrows worker state, which all handlers share; for a trait object write `trait Name: Send + Sync`"
)]
pub trait SharedState: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Send + Sync + 'static> SharedState for T {}

/// Names worker state.
// The declaration and the call of a handler both say `state::<T>()`: two errors that are alike in
// every word are printed once.
pub const fn state<T: ?Sized + SharedState>() -> State<T> {
    State(PhantomData)
}

/// Worker state of the type `T`.
#[derive(Debug)]
pub struct State<T: ?Sized>(PhantomData<fn() -> *const T>);

impl<T: ?Sized + Send + Sync + 'static> State<T> {
    /// Returns what the worker must have.
    pub const fn requirement(&self) -> StateRequirement {
        StateRequirement::of::<T>()
    }

    /// Borrows it.
    pub fn of<'a>(&self, parts: &Parts<'a>) -> &'a T {
        parts.state::<T>()
    }
}

/// Stands in for code that could not be made, in a program that does not compile.
pub const fn stub() -> ! {
    panic!("the handler has mistakes")
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
impl<T: ?Sized + Send + Sync + 'static> Inject for Arc<T> {
    const REQUIREMENT: StateRequirement = StateRequirement::of::<T>();

    fn inject(parts: &Parts<'_>) -> Self {
        parts.arc::<T>()
    }
}
