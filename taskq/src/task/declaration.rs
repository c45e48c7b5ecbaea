//! What a worker needs to know of a task type: how to decode a row and run its handler.

use std::panic::Location;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::attempt::backoff::{Retry, RetryFn};
use crate::attempt::delivery::Delivery;
use crate::attempt::discarded::DiscardFn;
use crate::attempt::outcome::Outcome;
use crate::attempt::state::{Parts, StateRequirement};
use crate::defaults;
use crate::task::batch::{BatchBounds, BatchFn};
use crate::task::keep::{Keep, KeepFor};
use crate::task::payload::Payload;
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

    /// What is done when a task of this type is discarded, in the transaction that discards it:
    /// `#[task(on_discard = told_the_customer)]` writes it, of an
    /// `async fn(payload, discarded: Discarded<'_>, tx: &mut PgConnection) -> Result<(), E>`.
    ///
    /// It runs after the last failure, after a handler's [`discard`](crate::outcome::discard), and where
    /// [`max_snoozes`](Declaration::max_snoozes) or [`give_up_after`](Declaration::give_up_after) ends the task. What it
    /// writes through `tx` is there if and only if the task is dead; other effects may happen more than once. It does
    /// not run for a task that is cancelled, expired, invalid or quarantined, nor for one that an operator discards or
    /// deletes.
    ///
    /// An error, a panic or an attempt that takes longer than [`timeout`](Declaration::timeout) (an hour where that is a
    /// function) undoes all of it. The task then waits, by [`Retry::DEFAULT`] and for as long as it takes, with the error
    /// beside the others. It runs this function again, and its handler no more. An operator may cancel it.
    ///
    /// If the process dies meanwhile, nothing was written, and the last attempt is made once more.
    const ON_DISCARD: Option<DiscardFn<Self::Payload>> = None;

    /// The handler where it is one of many payloads: `#[batch(1000, "50ms")]` on an argument writes it. The worker calls it
    /// in the place of [`run`](Self::run), with as many payloads as [`Declaration::batch`] says at the most, and never
    /// with none.
    const BATCH: Option<BatchFn<Self::Payload>> = None;

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
    pub(crate) max_snoozes: Option<u16>,
    pub(crate) give_up_after: Option<Duration>,
    pub(crate) keep: Keep,
    pub(crate) keeps_result: bool,
    pub(crate) order: Order,
    pub(crate) batch: Option<BatchBounds>,
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
            max_snoozes: None,
            give_up_after: None,
            keep: Keep::new(),
            keeps_result: false,
            order: Order::OldestFirst,
            batch: None,
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

    /// Sets for how long finished tasks of this type are kept, by outcome: `#[task(keep = "7d")]` writes it.
    ///
    /// # Panics
    ///
    /// If the result is kept, and the completed task is not: as the program is compiled, where this is a constant.
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self.require_place_of_result();
        self
    }

    /// Has what the handler returns kept with its completed task: the handler ends by
    /// [`into_kept`](crate::handler::IntoKept::into_kept). `#[task(result = "keep")]` writes it.
    ///
    /// # Panics
    ///
    /// As [`keep`](Self::keep).
    pub const fn keeps_result(mut self) -> Self {
        self.keeps_result = true;
        self.require_place_of_result();
        self
    }

    const fn require_place_of_result(&self) {
        let has_place = !matches!(self.keep.completed, Some(KeepFor::NotAtAll));
        assert!(
            has_place || !self.keeps_result,
            "a result is kept with its completed task, and this type keeps no completed tasks"
        );
    }

    /// Tells whether completed tasks are kept, where the worker keeps those of which nobody says it, or does not.
    pub(crate) fn keeps_completed(&self, unless_said: bool) -> bool {
        match self.keep.completed {
            Some(keep_for) => keep_for != KeepFor::NotAtAll,
            None => self.keeps_result || unless_said,
        }
    }

    /// Sets in what order tasks of this type run, within one priority.
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets how many payloads one call of [`Task::BATCH`] is given: at most `size`, from 1 to 10,000. Once one is there, the
    /// worker waits for more, for `wait` at the longest; a minute at most.
    pub const fn batch(mut self, size: u16, wait: Duration) -> Self {
        self.batch = Some(BatchBounds { size, wait });
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

    /// Sets how often a task may be [snoozed](crate::outcome::snooze) by its handler; at least 1. One snooze more, and it
    /// is discarded, with an error that says so. Snoozes are counted in its metadata, so its row does not grow; an
    /// operator's retry begins the count anew. Where nothing is said, nobody counts.
    pub const fn max_snoozes(mut self, max_snoozes: u16) -> Self {
        self.max_snoozes = Some(max_snoozes);
        self
    }

    /// Sets for how long after it was first due a task is retried and snoozed. One whose next attempt would be later is
    /// discarded at once, with an error that says so. An attempt that has begun goes on, and one that begins late, since
    /// its worker was busy or down, is made: see [`TaskOptions::expires`](crate::handler::TaskOptions::expires) for tasks that are worth nothing then.
    ///
    /// The clock is that of Postgres. The first failure or snooze writes the end down in the metadata of the task; an
    /// operator's retry begins anew.
    pub const fn give_up_after(mut self, give_up_after: Duration) -> Self {
        self.give_up_after = Some(give_up_after);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a result is kept with its completed task")]
    fn a_result_has_no_place_where_completed_tasks_are_not_kept() {
        let _ = Declaration::new()
            .keep(Keep::new().completed(KeepFor::NotAtAll))
            .keeps_result();
    }

    #[test]
    fn what_a_type_says_wins_over_its_worker() {
        let said = |keep: Keep| Declaration::new().keep(keep);
        let day = KeepFor::Time(Duration::from_secs(86_400));
        for (declaration, otherwise, by_a_keeping_worker) in [
            (said(Keep::new()), false, true),
            (said(Keep::new().discarded(day)), false, true),
            (said(Keep::new()).keeps_result(), true, true),
            (said(Keep::new().completed(KeepFor::NotAtAll)), false, false),
            (said(Keep::new().completed(day)), true, true),
            (said(Keep::new().completed(KeepFor::Forever)), true, true),
        ] {
            assert_eq!(
                declaration.keeps_completed(false),
                otherwise,
                "{declaration:?}"
            );
            assert_eq!(
                declaration.keeps_completed(true),
                by_a_keeping_worker,
                "{declaration:?}"
            );
        }
    }
}
