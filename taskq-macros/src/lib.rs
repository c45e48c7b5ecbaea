//! The `#[task]` attribute of taskq, and `derive(Payload)`. Their reference is the documentation of
//! `taskq::task` and `taskq::Payload`.
//!
//! One road: `parse` reads the function and `options` the attribute, both keeping every span;
//! `validate` turns them into a `model::Task` or into all of their mistakes; `expand` writes the code
//! of a valid task, `fallback` what keeps the rest of the user's crate compiling.

mod errors;
mod expand;
#[allow(dead_code)]
mod expression;
mod fallback;
mod krate;
mod model;
mod names;
mod options;
mod parse;
mod tokens;
mod validate;
mod wire;

use proc_macro::TokenStream;

use crate::options::Place;

/// Makes an `async fn` a task: its owned arguments become a payload struct that can be enqueued,
/// and the function the handler that a worker runs.
///
/// ```text
/// /// Sends the welcome mail.
/// #[taskq::task(queue = "mail", max_attempts = 5, timeout = "30s")]
/// async fn send_email_welcome(
///     tx: &mut PgConnection,                    // the one `&mut`: this task's transaction
///     mailer: &dyn Mailer,                      // `&T`: worker state, a type or a trait object
///     usr_id: i64,                              // owned: a payload field
///     #[serde(default)] locale: Option<String>, // serde attributes go to the field
/// ) -> anyhow::Result<()> {
///     Ok(())
/// }
/// ```
///
/// The function stays as it is written, and callable. The macro adds
///
/// - `struct SendEmailWelcome { usr_id, locale }`, a serde struct with the function's visibility;
/// - `SendEmailWelcome::enqueue(&mut tx, usr_id, locale)`;
/// - `impl Payload` and `impl Task` for it, and its registration, by which a worker finds it.
///
/// # Arguments
///
/// | argument | is |
/// | --- | --- |
/// | owned: `usr_id: i64` | a payload field; `#[serde(…)]`, `#[garde(…)]`, `#[schemars(…)]` and doc comments go to the field |
/// | `&T`, `&dyn Trait` | worker state; `&taskq::Attempt` is the attempt being made |
/// | the one `&mut T` | the transaction in which the task completes: `PgConnection`, `taskq::Tx` or `sqlx::Transaction<'_, Postgres>` |
/// | `#[inject] x: Arc<T>` | worker state that is shared instead of borrowed |
/// | `#[payload] m: T` | a payload that is declared elsewhere, as a whole |
/// | `#[batch(1000, "50ms")] ms: Vec<T>` | many such payloads in one call: at most so many, and once one is there the worker waits so long for more |
/// | `#[secret] token: String` | a payload field whose value is shown to nobody: see the guide |
/// | `#[encrypted] token: String` | a secret payload field that is stored encrypted: feature `encryption` |
///
/// The shape decides, never the name of a type, so aliases and re-exports work.
///
/// # Options
///
/// | option | default | says |
/// | --- | --- | --- |
/// | `name = "mail.welcome"` | the function's name | the task type, as rows have it |
/// | `alias = "old"`, `alias = ["a", "b"]` | none | further task types that workers accept, never written |
/// | `queue = "mail"` | `default` | the queue that tasks are put in |
/// | `priority = -5` | 0 | smaller runs earlier |
/// | `max_attempts = 5` | 25 | how often a task is attempted at most |
/// | `timeout = "1h30m"` | an hour | how long one attempt may take; units `ms`, `s`, `m`, `h`, `d` |
/// | `timeout = my_timeout` | an hour | a function that says it: `fn my_timeout(payload: &SendEmailWelcome) -> Duration` |
/// | `retry = "linear(10s, 1h)"`, `"fixed(1m)"`, `"10s, 1m, 10m"` | `"exponential(5s, 6h)"` | how long a failed task waits for its next attempt, a fifth more or less |
/// | `retry = my_backoff` | as above | a function that says it: `fn my_backoff(payload: &SendEmailWelcome, attempt: u16, error: &(dyn Error + 'static)) -> Duration` |
/// | `max_snoozes = 100` | any number | how often a task may be snoozed; one more discards it |
/// | `give_up_after = "2d"` | never | for how long after it is due a task is retried and snoozed; then it is discarded |
/// | `on_discard = told` | nothing | what is done in the transaction that discards a task: `async fn told(payload: SendEmailWelcome, discarded: taskq::Discarded<'_>, tx: &mut PgConnection) -> Result<(), E>` |
/// | `order = "random"` | `"oldest"` | chance decides which of the due tasks of one priority runs next |
/// | `expires = "1h"` | never | for how long after it is due a task is worth starting; later it is set aside as `expired` |
/// | `concurrency = 10`, `concurrency(5, key = tenant_id)` | any number | so many run at once over all workers; see `taskq::limit::Concurrency` |
/// | `rate = "100/min"`, `rate("100/min", burst = 20, key = tenant_id)` | any number | so many start in a time over all workers; see `taskq::limit::Rate` |
/// | `unique = "payload"`, `unique(fields(usr_id), until = "started", on_conflict = "replace")` | any number | one task of each key may be there; also `within = "1h"`; see `taskq::unique::Unique` |
/// | `cron = "0 9 * * MON-FRI"` | none | a schedule enqueues the task, with the payload `{}`; feature `cron` |
/// | `timezone = "Europe/Zurich"` | `UTC` | on whose clocks it ticks |
/// | `catch_up = "none"`, `"once"`, `"all"` | `"once"` | what becomes of ticks that were missed |
/// | `catch_up_within = "12h"` | any time; for `"all"` a day | how long ago they may have been |
/// | `overlap = "allow"`, `"skip"`, `"one_waiting"` | `"allow"` | what a tick does while the task of the last one is still there |
/// | `jitter = "30s"` | none | how much later its tasks start at the most |
/// | `keep = "7d"`, `keep(completed = "7d", discarded = "30d")` | completed: nothing; dead: for ever | for how long finished tasks are kept, by outcome; `"none"`: not at all, `"forever"`; see `taskq::handler::Keep` |
/// | `result = "keep"` | nothing is kept | the `T` of the handler's `Result<T, E>` is stored with its completed task, and read back by `taskq::result` |
/// | `version = 2` | 1 | the version of the payload; raise it when rows that wait would not decode |
/// | `upgrade = from_v1`, `upgrade = [from_v1, from_v2]` | none | how payloads of earlier versions become the newest, a step each: `fn from_v1(old: SendEmailWelcomeV1) -> SendEmailWelcome` |
/// | `handles = contracts::SendEmailWelcome` | none | the payload, where it is declared elsewhere with `derive(taskq::Payload)`; see below |
/// | `payload = Name` | the function's name in Pascal case | the name of the payload struct |
/// | `derive(Clone, PartialEq)` | none | further derives of the payload struct |
/// | `crate = ::path` | `::taskq` | where taskq is, if renamed or re-exported |
///
/// # A payload declared elsewhere
///
/// A program that only enqueues should link no handler. Then the payload is declared in a crate of its
/// own, with [`derive(taskq::Payload)`](macro@Payload), and the handler says what it handles:
///
/// ```text
/// #[taskq::task(handles = contracts::SendEmailWelcome, timeout = "30s")]
/// async fn send_email_welcome(mailer: &dyn Mailer, usr_id: i64, locale: Option<String>) { … }
/// ```
///
/// An owned argument is then the field of that name, and `#[payload] m: contracts::SendEmailWelcome` the
/// payload as a whole. Name, queue, priority, attempts and version are the payload's. The task is a type
/// `SendEmailWelcomeHandler`, which is what `.only` takes.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let mut errors = errors::Errors::default();
    let options = options::read([options.into()], Place::Task, &mut errors);
    let expanded = match parse::function(item.clone()) {
        Err(error) => {
            errors.push(error);
            fallback::item(&item, &errors)
        }
        Ok(function) => match validate::task(&function, &options, errors) {
            Err(errors) => fallback::function(&function, &options, &errors),
            Ok(task) => expand::task(&task),
        },
    };
    expanded.into()
}

/// Makes a struct or enum of yours a payload, so that it can be enqueued. Its handler may be in another
/// crate, or in another program.
///
/// ```text
/// #[derive(Serialize, Deserialize, taskq::Payload)]
/// #[taskq(queue = "mail", max_attempts = 5)]
/// pub struct SendEmailWelcome {
///     pub usr_id: i64,
///     pub locale: Option<String>,
/// }
/// ```
///
/// The options, `name`, `queue`, `priority`, `max_attempts`, `unique`, `expires`, `concurrency`, `rate`, `version`, `upgrade` and `crate`, are those
/// of [`task`](macro@task); the name is the type's in snake case unless given. `result = Receipt` says what
/// the handler returns, where it has `result = "keep"`. A struct with named fields
/// gets the short form `SendEmailWelcome::enqueue(&mut tx, usr_id, locale)`, as visible as its fields.
/// Where a field has `#[garde(…)]`, and the struct derives `garde::Validate`, it is checked when it is
/// enqueued and before it is run (feature `garde`). The value of a field with `#[taskq(secret)]` is shown to nobody; its
/// `Debug` is yours, so make the field a `taskq::Secret<T>`.
#[proc_macro_derive(Payload, attributes(taskq))]
pub fn payload(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    let mut errors = errors::Errors::default();
    let options = options::read(
        parse::taskq_attributes(&input, &mut errors),
        Place::Payload,
        &mut errors,
    );
    let expanded = match validate::payload(&input, &options, errors) {
        Err(errors) => fallback::payload(&input, &options, &errors),
        Ok(payload) => expand::derived(&payload),
    };
    expanded.into()
}
