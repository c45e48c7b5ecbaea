//! One handler as the worker sees it: the functions of its task, without their types.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use crate::attempt::discarded::Discarded;
use crate::attempt::outcome::Outcome;
use crate::attempt::state::Parts;
use crate::error::DecodeError;
use crate::task::batch::BatchHandler;
use crate::task::declaration::{Declaration, Task};
use crate::task::options::TaskOptions;
use crate::task::payload::{self, Payload};

pub(crate) type DecodeFn = fn(&RawValue, Option<u16>) -> Result<(), DecodeError>;

pub(crate) type RetryByFn =
    fn(&RawValue, Option<u16>, u16, &(dyn Error + 'static)) -> Result<Duration, DecodeError>;

pub(crate) type TimeoutByFn = fn(&RawValue, Option<u16>) -> Result<Duration, DecodeError>;

pub(crate) type OnDiscardFn = for<'a> fn(
    &RawValue,
    Option<u16>,
    Discarded<'a>,
    &'a mut PgConnection,
) -> Result<BoxFuture<'a, Outcome>, DecodeError>;

pub(crate) type RunFn =
    for<'a> fn(&RawValue, Option<u16>, Parts<'a>) -> Result<BoxFuture<'a, Outcome>, DecodeError>;

/// One handler as the worker sees it: what `inventory` collects and [`Task`] describes.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    pub(crate) task_type: &'static str,
    pub(crate) options: TaskOptions,
    pub(crate) declaration: Declaration,
    pub(crate) decode: DecodeFn,
    pub(crate) run: RunFn,
    pub(crate) retry_by: Option<RetryByFn>,
    pub(crate) timeout_by: Option<TimeoutByFn>,
    pub(crate) on_discard: Option<OnDiscardFn>,
    /// Which hooks of its worker want its tasks.
    pub(crate) hooks: HookBits,
    /// The handler, if it is one of many payloads.
    pub(crate) batch: Option<BatchHandler>,
    #[cfg(all(any(feature = "cli", feature = "dashboard"), feature = "schemars"))]
    pub(crate) json_schema: fn() -> Option<schemars::Schema>,
    #[cfg(all(feature = "cli", feature = "schemars"))]
    pub(crate) older_json_schemas: fn() -> Vec<Option<schemars::Schema>>,
}

/// Which hooks of a worker want the tasks of a type: the hook at place `n` of the worker's has bit `n`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HookBits {
    pub(crate) in_tx: u32,
    pub(crate) after: u32,
}

impl Registration {
    /// Describes `T`.
    pub const fn of<T: Task>() -> Self {
        Self {
            task_type: T::Payload::TASK_TYPE,
            options: T::Payload::OPTIONS,
            declaration: T::DECLARATION,
            decode: decode_erased::<T::Payload>,
            run: run_erased::<T>,
            retry_by: match T::RETRY {
                Some(_) => Some(retry_erased::<T>),
                None => None,
            },
            timeout_by: match T::TIMEOUT {
                Some(_) => Some(timeout_erased::<T>),
                None => None,
            },
            on_discard: match T::ON_DISCARD {
                Some(_) => Some(on_discard_erased::<T>),
                None => None,
            },
            hooks: HookBits { in_tx: 0, after: 0 },
            batch: BatchHandler::of::<T>(),
            #[cfg(all(any(feature = "cli", feature = "dashboard"), feature = "schemars"))]
            json_schema: T::Payload::json_schema,
            #[cfg(all(feature = "cli", feature = "schemars"))]
            older_json_schemas: T::Payload::older_json_schemas,
        }
    }

    /// Tells whether the payload says what result is kept, and the handler keeps none.
    pub(crate) const fn loses_result<T: Task>() -> bool {
        T::Payload::OPTIONS.keeps_result && !T::DECLARATION.keeps_result
    }
}

impl Registration {
    /// Reads the payload of a row as a worker does, with the keys of this process, and lets it go. `task_type` is the name in
    /// the row.
    pub(crate) fn reads(
        &self,
        #[cfg_attr(not(feature = "encryption"), expect(unused_variables))] task_type: &str,
        raw: &RawValue,
        version: Option<u16>,
    ) -> Result<(), DecodeError> {
        #[cfg(feature = "encryption")]
        return crate::cipher::read_with(task_type, raw, |raw| (self.decode)(raw, version));
        #[cfg(not(feature = "encryption"))]
        (self.decode)(raw, version)
    }
}

inventory::collect!(Registration);

/// Returns the secret fields of a task type, or of what it is an alias of, as far as this program links its handler.
pub(crate) fn linked_secrets(task_type: &str) -> Vec<&'static str> {
    let linked = inventory::iter::<Registration>.into_iter();
    let of_type = linked
        .filter(|it| it.task_type == task_type || it.declaration.aliases.contains(&task_type));
    of_type.flat_map(|it| it.options.secret).copied().collect()
}

/// Tells whether this program links a handler of a task type with encrypted fields.
#[cfg(feature = "encryption")]
pub(crate) fn links_encrypted() -> bool {
    let mut linked = inventory::iter::<Registration>.into_iter();
    linked.any(|it| !it.options.encrypted.is_empty())
}

/// Returns the encrypted fields of a task type, or of what it is an alias of, as far as this program links its handler.
#[cfg(feature = "encryption")]
pub(crate) fn linked_encrypted(task_type: &str) -> Vec<&'static str> {
    let linked = inventory::iter::<Registration>.into_iter();
    let of_type = linked
        .filter(|it| it.task_type == task_type || it.declaration.aliases.contains(&task_type));
    of_type
        .flat_map(|it| it.options.encrypted)
        .copied()
        .collect()
}

/// Returns the secret fields of all task types, and of their aliases, whose handlers this program links.
pub(crate) fn all_linked_secrets() -> BTreeMap<&'static str, Vec<&'static str>> {
    let linked = inventory::iter::<Registration>.into_iter();
    let names = linked.flat_map(|it| {
        let aliases = it.declaration.aliases.iter().copied();
        aliases.chain([it.task_type])
    });
    let fields = names.map(|name| (name, linked_secrets(name)));
    fields.filter(|(_, fields)| !fields.is_empty()).collect()
}

// As for a run, and then it is let go.
fn decode_erased<P: Payload>(raw: &RawValue, version: Option<u16>) -> Result<(), DecodeError> {
    payload::read::<P>(raw, version).map(drop)
}

fn retry_erased<T: Task>(
    raw: &RawValue,
    version: Option<u16>,
    number: u16,
    error: &(dyn Error + 'static),
) -> Result<Duration, DecodeError> {
    let payload = payload::read::<T::Payload>(raw, version)?;
    Ok(T::RETRY.map_or(Duration::ZERO, |retry| retry(&payload, number, error)))
}

fn timeout_erased<T: Task>(raw: &RawValue, version: Option<u16>) -> Result<Duration, DecodeError> {
    let payload = payload::read::<T::Payload>(raw, version)?;
    Ok(T::TIMEOUT.map_or(T::DECLARATION.timeout, |timeout| timeout(&payload)))
}

fn on_discard_erased<'a, T: Task>(
    raw: &RawValue,
    version: Option<u16>,
    discarded: Discarded<'a>,
    tx: &'a mut PgConnection,
) -> Result<BoxFuture<'a, Outcome>, DecodeError> {
    let payload = payload::read::<T::Payload>(raw, version)?;
    Ok(match T::ON_DISCARD {
        Some(on_discard) => on_discard(payload, discarded, tx),
        None => Box::pin(std::future::ready(Outcome::Completed)),
    })
}

fn run_erased<'a, T: Task>(
    raw: &RawValue,
    version: Option<u16>,
    parts: Parts<'a>,
) -> Result<BoxFuture<'a, Outcome>, DecodeError> {
    match payload::read(raw, version) {
        Ok(payload) => Ok(T::run(payload, parts)),
        Err(error) => Err(error),
    }
}

/// A tuple of tasks, such as `(SendEmailWelcome, Purge)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tuple of tasks",
    label = "not a tuple of tasks",
    note = "write `.only::<(SendEmailWelcome, Purge)>()`, and `.only::<(Purge,)>()` for a single one"
)]
pub trait TaskSet {
    #[doc(hidden)]
    fn __registrations() -> Vec<Registration>;
}

macro_rules! task_set_of_tuple {
    ($($task:ident)+) => {
        impl<$($task: Task),+> TaskSet for ($($task,)+) {
            fn __registrations() -> Vec<Registration> {
                // Said by `register!` too, and better: this is for a task that was not registered.
                $(const { assert!(!Registration::loses_result::<$task>(), "the payload says what result is kept, and its handler keeps none") };)+
                vec![$(Registration::of::<$task>()),+]
            }
        }
    };
}

macro_rules! task_sets {
    ($first:ident $($rest:ident)*) => {
        task_set_of_tuple!($first $($rest)*);
        task_sets!($($rest)*);
    };
    () => {};
}

task_sets!(T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15 T16 T17 T18 T19 T20 T21 T22 T23 T24);
