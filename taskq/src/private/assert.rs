//! The assertions: which trait reports which mistake.
//!
//! A mistake in the user's types is the compiler's to report, once, on the user's tokens, with the way
//! out. For that each rule is a trait that a blanket implementation gives to every type that is right,
//! and code of the macro names it where the type stands:
//!
//! | trait | asked of | fails for |
//! | --- | --- | --- |
//! | [`Json`] | a payload type | one that serde cannot write and read |
//! | [`Field`] | an owned argument | one that serde cannot write and read |
//! | [`SharedState`] | the `T` of a `&T` argument | one that threads cannot share |
//! | [`Inject`] | an `#[inject]` argument | anything but an `Arc<T>` of worker state |
//! | `TxHandle` | the `&mut` argument | anything but a connection or `Tx` |
//! | [`OlderPayload`] | what the first step of an `upgrade` takes | one that serde cannot read |
//! | `IntoOutcome` | what a handler returns | anything but `()` or a `Result` whose error can be boxed |
//! | `IntoKept` | the same, with `result = "keep"` | a result that serde cannot write and read |
//! | [`Returned`] | the same | anything but a `Result` |
//! | [`ResultOf`] | the `T` of that `Result` | another type than the payload says is kept |
//! | [`NothingLost`] | the handler of a payload that says what is kept | one that keeps nothing |
//!
//! The traits without a link are public ones: `TxHandle` stands in `attempt/tx.rs`, `IntoOutcome` and
//! `IntoKept` in `attempt/outcome.rs`. `Task` and `Payload` report a type that is no task in `task/`.
//!
//! Each blanket implementation is `do_not_recommend`, so that the compiler shows our message and not the
//! bound that failed. Where a type is wrong, the code around it must still compile: what stands in for it
//! is in `codec.rs` ([`NoCodec`](super::NoCodec)), in `stub.rs`, and here ([`NoTask`]).

use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::attempt::Attempt;
use crate::attempt::state::{Parts, StateRequirement};
use crate::error::DecodeError;
use crate::json;
use crate::task::declaration::Task;
use crate::task::payload::Payload;
use crate::task::registration::Registration;

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

/// What a handler returns when it succeeds, whatever it is: what it has to be is said by `IntoKept`.
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

/// What a handler of many payloads returns that keeps a result of each: what that has to be is said by `IntoKeptEach`.
#[diagnostic::on_unimplemented(
    message = "`result = \"keep\"` of a handler of many payloads needs `Vec<Result<T, E>>` with `T: Serialize + DeserializeOwned` and `E: Into<Box<dyn Error + Send + Sync>>`, not `{Self}`",
    label = "no result for each payload"
)]
pub trait ReturnedEach {
    /// The `T` of a `Vec<Result<T, E>>`.
    type Value;
}

#[diagnostic::do_not_recommend]
impl<T, E> ReturnedEach for Vec<Result<T, E>> {
    type Value = T;
}

/// Asks of a type that a handler of many payloads borrows whether it is the attempt at one task. Of any other,
/// [`NotOfOne`] answers.
#[derive(Debug)]
pub struct AttemptOfOne<T: ?Sized>(PhantomData<T>);

impl AttemptOfOne<Attempt> {
    /// The answer.
    pub const IS: bool = true;
}

/// What [`AttemptOfOne`] answers of any other type.
pub trait NotOfOne {
    /// The answer.
    const IS: bool = false;
}

impl<T: ?Sized> NotOfOne for AttemptOfOne<T> {}

/// Whether a handler asks for the attempt at one task.
#[derive(Debug)]
pub struct AsksForOne<const IS: bool>;

/// Holds where it does not.
#[diagnostic::on_unimplemented(
    message = "a handler of many payloads makes many attempts, not one",
    label = "whose attempt?",
    note = "take `batch: &taskq::Batch`: it has the attempt at each of the tasks, in the order of the payloads"
)]
pub trait FitsMany {
    /// Names this, for the compiler to look.
    const CHECKED: () = ();
}

#[diagnostic::do_not_recommend]
impl FitsMany for AsksForOne<false> {}

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
    note = "write `result = \"keep\"` in the handler's `#[task]`, or `.keeps_result()` in a declaration by hand"
)]
pub trait NothingLost {
    /// Names this, for the compiler to look.
    const CHECKED: () = ();
}

#[diagnostic::do_not_recommend]
impl NothingLost for Lost<false> {}
