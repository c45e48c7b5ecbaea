//! What a worker needs to know of a task type: how to decode a row and run its handler.

use std::collections::BTreeMap;
use std::error::Error;
use std::panic::Location;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::attempt::backoff::{Retry, RetryFn};
use crate::attempt::delivery::Delivery;
use crate::attempt::outcome::Outcome;
use crate::attempt::state::{Parts, StateRequirement};
use crate::defaults;
use crate::error::DecodeError;
use crate::task::options::TaskOptions;
use crate::task::payload::{self, Payload};
#[cfg(feature = "cron")]
use crate::task::schedule::Schedule;

/// A function that says how long an attempt may take: see [`Task::TIMEOUT`].
pub type TimeoutFn<P> = fn(&P) -> Duration;

/// A handler that a worker can run.
///
/// `#[task]` implements it for the payload struct that it makes, or, where the payload is declared
/// elsewhere (`handles = …`), for a `…Handler` beside it. These types are what
/// [`only`](crate::WorkerBuilder::only) takes.
///
/// It can be written by hand, for what no `async fn` expresses:
///
/// ```
/// use taskq::handler::{BoxFuture, Declaration, IntoOutcome, Outcome, Parts, StateRequirement, Task};
/// # #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
/// # struct SendSms { to: String }
/// # trait Sms: Send + Sync { fn send(&self, to: &str) -> Result<(), String>; }
///
/// struct SendSmsHandler;
///
/// impl Task for SendSmsHandler {
///     type Payload = SendSms;
///
///     const DECLARATION: Declaration =
///         Declaration::new().states(&[StateRequirement::of::<dyn Sms>()]);
///
///     fn run<'a>(payload: SendSms, parts: Parts<'a>) -> BoxFuture<'a, Outcome> {
///         Box::pin(async move { parts.state::<dyn Sms>().send(&payload.to).into_outcome() })
///     }
/// }
///
/// taskq::register!(SendSmsHandler);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task",
    note = "name the struct that `#[taskq::task]` made, such as `SendEmailWelcome` for `async fn send_email_welcome`, or `SendEmailWelcomeHandler` where it has `handles = …`"
)]
pub trait Task: 'static {
    /// The data that the handler is given.
    type Payload: Payload;

    /// What else the worker must know before it can run the handler.
    const DECLARATION: Declaration;

    /// How long a failed task waits for its next attempt, as a function of its payload, the number of the attempt that
    /// failed, from 1, and its error: `#[task(retry = my_backoff)]` writes it. It wins over
    /// [`Declaration::retry`].
    ///
    /// It is called after a failure, unless the handler has said what becomes of the task or no attempt is left. The
    /// error is what the handler returned, [`TimedOut`](crate::error::TimedOut) or
    /// [`Panicked`](crate::error::Panicked). What it returns holds as it is: no chance is added. Zero is at once, and
    /// more than a hundred years are a hundred. If it panics, the task waits as by
    /// [`Retry::DEFAULT`].
    const RETRY: Option<RetryFn<Self::Payload>> = None;

    /// How long one attempt may take, as a function of its payload: `#[task(timeout = my_timeout)]` writes it. It wins
    /// over [`Declaration::timeout`].
    ///
    /// It is called before each attempt, which reads the payload once more for it. With zero a handler that does not end
    /// before it first waits has timed out; more than a hundred years are a hundred. If it panics, the attempt fails, and
    /// the handler does not run.
    const TIMEOUT: Option<TimeoutFn<Self::Payload>> = None;

    /// Runs the handler once.
    fn run<'a>(payload: Self::Payload, parts: Parts<'a>) -> BoxFuture<'a, Outcome>;
}

/// What a handler asks of its worker.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    pub(crate) aliases: &'static [&'static str],
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) states: &'static [StateRequirement],
    pub(crate) delivery: Delivery,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) keep: Keep,
    pub(crate) order: Order,
    #[cfg(feature = "cron")]
    pub(crate) schedules: &'static [Schedule],
}

impl Declaration {
    /// Declares a handler without aliases, state or transaction, at the place of the caller.
    #[track_caller]
    pub const fn new() -> Self {
        let place = Location::caller();
        Self {
            aliases: &[],
            file: place.file(),
            line: place.line(),
            states: &[],
            delivery: Delivery::AtLeastOnce,
            timeout: defaults::TIMEOUT,
            retry: Retry::DEFAULT,
            keep: Keep::Nothing,
            order: Order::OldestFirst,
            #[cfg(feature = "cron")]
            schedules: &[],
        }
    }

    /// Sets where the handler stands in the source, as messages about it say.
    pub const fn at(mut self, file: &'static str, line: u32) -> Self {
        self.file = file;
        self.line = line;
        self
    }

    /// Accepts rows under these names too.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Names the worker state that the handler borrows.
    pub const fn states(mut self, states: &'static [StateRequirement]) -> Self {
        self.states = states;
        self
    }

    /// Sets whether the handler is given the transaction in which the task completes, and when that begins. What
    /// [`Parts::tx`] is then asked for must fit.
    pub const fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Sets what is kept of completed tasks of this type, if the worker does not keep them anyway.
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// Sets in what order tasks of this type run, within one priority.
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets what enqueues tasks of this type by the calendar. Workers that declare a schedule keep it alive; any worker
    /// takes its ticks.
    #[cfg(feature = "cron")]
    pub const fn schedules(mut self, schedules: &'static [Schedule]) -> Self {
        self.schedules = schedules;
        self
    }

    /// Sets how long a failed task waits for its next attempt, unless [`Task::RETRY`] says so; [`Retry::DEFAULT`] if
    /// neither does. An error, a panic, a timeout and a commit that Postgres refuses are failures alike. What a crash or
    /// a stop of the worker interrupts waits for nothing.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how long one attempt may take, unless [`Task::TIMEOUT`] says so; [`defaults::TIMEOUT`], an hour, if neither
    /// does. More than a hundred years are a hundred.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Default for Declaration {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

/// In what order the tasks of a type run, within one priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// What has been due longest.
    OldestFirst,
    /// Whatever chance chooses of what is due. Tasks at the head that fail again and again hold up none behind them.
    Random,
}

/// What is kept of a completed task, in `taskq.history`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: its row is deleted.
    Nothing,
    /// The task.
    Completed,
    /// The task, and what its handler returned: the handler ends by
    /// [`into_kept`](crate::handler::IntoKept::into_kept).
    WithResult,
}

pub(crate) type DecodeFn = fn(&RawValue, Option<u16>) -> Result<(), DecodeError>;

pub(crate) type RetryByFn =
    fn(&RawValue, Option<u16>, u16, &(dyn Error + 'static)) -> Result<Duration, DecodeError>;

pub(crate) type TimeoutByFn = fn(&RawValue, Option<u16>) -> Result<Duration, DecodeError>;

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
    #[cfg(all(any(feature = "cli", feature = "dashboard"), feature = "schemars"))]
    pub(crate) json_schema: fn() -> Option<schemars::Schema>,
    #[cfg(all(feature = "cli", feature = "schemars"))]
    pub(crate) older_json_schemas: fn() -> Vec<Option<schemars::Schema>>,
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
            #[cfg(all(any(feature = "cli", feature = "dashboard"), feature = "schemars"))]
            json_schema: T::Payload::json_schema,
            #[cfg(all(feature = "cli", feature = "schemars"))]
            older_json_schemas: T::Payload::older_json_schemas,
        }
    }

    /// Tells whether the payload says what result is kept, and the handler keeps none.
    pub(crate) const fn loses_result<T: Task>() -> bool {
        T::Payload::OPTIONS.keeps_result && !matches!(T::DECLARATION.keep, Keep::WithResult)
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

fn timeout_erased<T: Task>(
    raw: &RawValue,
    version: Option<u16>,
) -> Result<Duration, DecodeError> {
    let payload = payload::read::<T::Payload>(raw, version)?;
    Ok(T::TIMEOUT.map_or(T::DECLARATION.timeout, |timeout| timeout(&payload)))
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
