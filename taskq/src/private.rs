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
pub use crate::tx::{Tx, TxHandle};
pub use futures_util::future::BoxFuture;

/// A payload that serde can write and read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written and read as JSON",
    label = "a mistake in the fields of this handler's payload",
    note = "an owned argument's type is not `Serialize + DeserializeOwned`, or its `#[serde]` attribute is wrong"
)]
pub trait Codec: Sized {
    /// Writes a payload as JSON.
    fn encode(&self) -> Result<Box<RawValue>, EncodeError>;
    /// Reads a payload, naming the path of what does not fit.
    fn decode(raw: &RawValue) -> Result<Self, DecodeError>;
}

#[diagnostic::do_not_recommend]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec for T {
    fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
        serde_json::value::to_raw_value(self)
    }

    fn decode(raw: &RawValue) -> Result<Self, DecodeError> {
        let mut reader = serde_json::Deserializer::from_str(raw.get());
        serde_path_to_error::deserialize(&mut reader).map_err(DecodeError::new)
    }
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

/// Asserts that `T` can be a payload field, wherever this type is named.
// A type in a signature is checked before any function's body: this is reported first.
pub struct AssertField<T: Field>(PhantomData<T>);

/// What serde's implementations for a payload take for granted of a field's type.
// A bound of theirs that does not hold is reported at the bound, and then nothing inside of them.
pub trait Serde: serde::Serialize + serde::de::DeserializeOwned {}

impl<T: serde::Serialize + serde::de::DeserializeOwned> Serde for T {}

/// Runs a handler: awaits its future, and reads what it returned.
// The future is named in no other type of the code made by the macro, and what is returned only in
// `outcome`: so a mistake in either is reported once.
pub fn run<'a, F: Future + Send + 'a>(
    future: F,
    outcome: fn(F::Output) -> Outcome,
) -> BoxFuture<'a, Outcome> {
    Box::pin(async move { outcome(future.await) })
}

/// A type that a `&T` argument of a handler may borrow.
#[diagnostic::on_unimplemented(
    message = "worker state `{Self}` must be `Send + Sync + 'static`",
    label = "cannot be shared between threads",
    note = "a `&T` argument borrows worker state, which all handlers share; for a trait object write `trait Name: Send + Sync`"
)]
// `Send + Sync + 'static` are asked for by the implementation alone: as supertraits they would be
// reported in place of the message above.
pub trait SharedState {
    /// What the worker must have.
    const REQUIREMENT: StateRequirement;
    /// Borrows it.
    fn borrow<'a>(parts: &Parts<'a>) -> &'a Self;
}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Send + Sync + 'static> SharedState for T {
    const REQUIREMENT: StateRequirement = StateRequirement::of::<T>();

    fn borrow<'a>(parts: &Parts<'a>) -> &'a Self {
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
