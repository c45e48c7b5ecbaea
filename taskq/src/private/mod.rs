//! What code made by `#[task]` names. Not public API.

use std::marker::PhantomData;
use std::sync::Arc;

pub use std::primitive::{bool, str, u16};
pub use std::{
    boxed::Box, file, line, option::Option, result::Result, time::Duration, vec, vec::Vec,
};

pub use inventory;
pub use serde;
pub use serde_json::value::RawValue;
pub use sqlx::PgConnection;

pub use crate::attempt::outcome::{IntoKept, IntoOutcome, Outcome};
pub use crate::attempt::state::{Parts, StateRequirement};
pub use crate::attempt::tx::{Tx, TxHandle};
pub use crate::enqueue::{Enqueue, enqueue};
pub use crate::error::{DecodeError, EncodeError, InvalidPayload};
use crate::json;
pub use crate::operate::result::KeepsResult;
pub use crate::task::declaration::{Declaration, Keep, Registration, Task};
pub use crate::task::options::TaskOptions;
pub use crate::task::payload::Payload;
use crate::task::upgrade;
pub use crate::task::upgrade::ReadOlder;
pub use futures_util::future::BoxFuture;

/// Writes and reads the payload `P` by serde. Where serde cannot, what is called are the functions of
/// [`NoCodec`], so that what the assertions below report is not reported again by each use.
#[derive(Debug)]
pub struct Codec<P>(PhantomData<P>);

impl<P: Payload + serde::Serialize + serde::de::DeserializeOwned> Codec<P> {
    /// Writes a payload as JSON.
    pub fn encode(payload: &P) -> Result<Box<RawValue>, EncodeError> {
        json::encode(payload)
    }

    /// Reads a payload of the one version that there is.
    pub fn decode(raw: &RawValue, version: Option<u16>) -> Result<P, DecodeError> {
        match upgrade::check_newest(version, P::OPTIONS.version) {
            Ok(()) => json::decode(raw),
            Err(error) => Err(error),
        }
    }

    /// Reads a payload of the newest version, or of any that `upgrades` lead from, the newest first.
    pub fn decode_any(
        raw: &RawValue,
        version: Option<u16>,
        upgrades: &[ReadOlder<P>],
    ) -> Result<P, DecodeError> {
        upgrade::decode(raw, version, upgrades)
    }
}

/// What [`Codec`] has of a payload that serde cannot write and read, in a program that does not compile.
pub trait NoCodec<P> {
    /// Stands in.
    fn encode(_payload: &P) -> Result<Box<RawValue>, EncodeError> {
        stub()
    }

    /// Stands in.
    fn decode(_raw: &RawValue, _version: Option<u16>) -> Result<P, DecodeError> {
        stub()
    }

    /// Stands in.
    fn decode_any(
        _raw: &RawValue,
        _version: Option<u16>,
        _upgrades: &[ReadOlder<P>],
    ) -> Result<P, DecodeError> {
        stub()
    }
}

impl<P> NoCodec<P> for Codec<P> {}

/// A payload that serde can write and read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written and read as JSON",
    label = "a payload that serde cannot write and read",
    note = "a payload derives `serde::Serialize` and `serde::Deserialize`, and so does the type of each of its fields: with `#[task]`, of each owned argument"
)]
pub trait Json {}

#[diagnostic::do_not_recommend]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Json for T {}

/// Asserts that `T` can be a payload, wherever this type is named.
// A type in a signature is checked before any function's body: this is reported first.
pub struct AssertJson<T: Json>(PhantomData<T>);

/// What the first step of an upgrade takes: the payload as it was.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read as an older payload: it must be `DeserializeOwned`",
    label = "takes `{Self}`, which serde cannot read",
    note = "add `#[derive(serde::Deserialize)]` to `{Self}`, with the fields that rows of that version have"
)]
pub trait OlderPayload: Sized {
    /// Reads it.
    fn read(raw: &RawValue) -> Result<Self, DecodeError>;
}

#[diagnostic::do_not_recommend]
impl<T: serde::de::DeserializeOwned> OlderPayload for T {
    fn read(raw: &RawValue) -> Result<Self, DecodeError> {
        json::decode(raw)
    }
}

/// The first step that a payload of an older version takes.
#[derive(Debug)]
pub struct FirstStep<'a, Old, New> {
    step: fn(Old) -> New,
    raw: &'a RawValue,
}

/// Takes what the user names as a step.
// All that is asked of it is asked here, wherever it is used: errors that are alike in every word are
// printed once. `step` comes first, so that a mistake in its type is reported there.
pub fn first_step<Old: OlderPayload, New>(
    step: fn(Old) -> New,
    raw: &RawValue,
) -> FirstStep<'_, Old, New> {
    FirstStep { step, raw }
}

/// Reads an older payload and takes the first step from it.
pub fn read_older<Old: OlderPayload, New>(
    first: FirstStep<'_, Old, New>,
) -> Result<New, DecodeError> {
    Old::read(first.raw).map(first.step)
}

/// Asks for the schema of what the first step takes.
#[cfg(feature = "schemars")]
pub fn probe_older<Old, New>(_first: FirstStep<'_, Old, New>) -> Probe<Old> {
    Probe::new()
}

/// Takes a further step.
pub fn further_step<Old, New>(
    step: fn(Old) -> New,
    old: Result<Old, DecodeError>,
) -> Result<New, DecodeError> {
    old.map(step)
}

/// Validates a payload by its `#[garde(…)]` attributes.
#[cfg(feature = "garde")]
pub fn garde<P: garde::Validate<Context: Default>>(payload: &P) -> Result<(), InvalidPayload> {
    payload.validate().map_err(InvalidPayload::from)
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
// As for `AssertJson`.
pub struct AssertField<T: Field>(PhantomData<T>);

/// What serde's implementations for a payload take for granted of a field's type.
// As `for<'a> T: Serde<'a>`, rustc does not look whether it holds where it is written, nor is anything
// reported inside of them: that is left to the assertion.
pub trait Serde<'a>: serde::Serialize + serde::Deserialize<'a> {}

impl<'a, T: serde::Serialize + serde::Deserialize<'a>> Serde<'a> for T {}

/// Runs a handler: awaits its future, and reads what it returned.
// The future is named in no other type of the code made by the macro, and what is returned only in
// `outcome`: so a mistake in either is reported once.
pub fn run<'a, F: Future + Send + 'a>(
    future: F,
    outcome: fn(F::Output) -> Outcome,
) -> BoxFuture<'a, Outcome> {
    conclude(Box::pin(future), outcome)
}

// Made once for each type that handlers return, of which there are few, and not for each handler. It
// costs an allocation.
fn conclude<'a, R: 'a>(
    future: BoxFuture<'a, R>,
    outcome: fn(R) -> Outcome,
) -> BoxFuture<'a, Outcome> {
    Box::pin(async move { outcome(future.await) })
}

/// What a handler returns when it succeeds, whatever it is: what it has to be is said by [`IntoKept`].
#[diagnostic::on_unimplemented(
    message = "`result = \"keep\"` needs `Result<T, E>` with `T: Serialize + DeserializeOwned` and `E: Into<Box<dyn Error + Send + Sync>>`, not `{Self}`",
    label = "no result that can be kept"
)]
pub trait Returned {
    /// The `T` of a `Result<T, E>`.
    type Value;
}

#[diagnostic::do_not_recommend]
impl<T, E> Returned for Result<T, E> {
    type Value = T;
}

/// Asks of a task whether it loses the result that its payload says is kept. Of what is no task, nothing is
/// said: see [`NoTask`].
#[derive(Debug)]
pub struct Loses<T>(PhantomData<T>);

impl<T: Task> Loses<T>
where
    T::Payload: Payload,
{
    /// The answer.
    pub const RESULT: bool = Registration::loses_result::<T>();
}

/// What [`Loses`] answers of a type that is no task.
pub trait NoTask {
    /// The answer.
    const RESULT: bool = false;
}

impl<T> NoTask for Loses<T> {}

/// Whether a result is lost.
#[derive(Debug)]
pub struct Lost<const RESULT: bool>;

/// Holds where none is.
#[diagnostic::on_unimplemented(
    message = "the payload says what result is kept, and its handler keeps none",
    label = "its result would be lost",
    note = "write `result = \"keep\"` in the handler's `#[task]`, or `.keep(Keep::WithResult)` in a declaration by hand"
)]
pub trait NothingLost {
    /// Names this, for the compiler to look.
    const CHECKED: () = ();
}

#[diagnostic::do_not_recommend]
impl NothingLost for Lost<false> {}

/// The type of the result that a payload says is kept.
#[diagnostic::on_unimplemented(
    message = "the handler returns `{Self}`, and its payload says that `{Declared}` is kept",
    label = "not the result of the payload",
    note = "the payload's `#[taskq(result = …)]` names the `T` of the handler's `Result<T, E>`"
)]
pub trait ResultOf<Declared> {
    /// Names this, for the compiler to look.
    const CHECKED: () = ();
}

#[diagnostic::do_not_recommend]
impl<T> ResultOf<T> for T {}

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

/// The payload of a task whose handler has mistakes.
#[derive(Debug)]
pub struct NoPayload;

impl Payload for NoPayload {
    const TASK_TYPE: &'static str = "";

    fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
        stub()
    }

    fn decode(_raw: &RawValue, _version: Option<u16>) -> Result<Self, DecodeError> {
        stub()
    }
}

#[cfg(feature = "schemars")]
pub use crate::json::schema::{FieldSchema, NoSchema, Probe, prelude as schema_prelude};
#[cfg(feature = "schemars")]
pub use schemars;

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
