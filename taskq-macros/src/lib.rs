//! The `#[task]` attribute of taskq. Its reference is the documentation of `taskq::task`.
//!
//! One road: `parse` reads the function and `options` the attribute, both keeping every span;
//! `validate` turns them into a `model::Task` or into all of their mistakes; `expand` writes the code
//! of a valid task, `fallback` what keeps the rest of the user's crate compiling.

mod arguments;
mod duration;
mod errors;
mod expand;
mod fallback;
mod model;
mod names;
mod options;
mod parse;
mod tokens;
mod validate;
mod values;

use proc_macro::TokenStream;

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
/// | owned: `usr_id: i64` | a payload field; `#[serde(…)]` and doc comments go to the field |
/// | `&T`, `&dyn Trait` | worker state; `&taskq::Attempt` is the attempt being made |
/// | the one `&mut T` | the transaction in which the task completes: `PgConnection`, `taskq::Tx` or `sqlx::Transaction<'_, Postgres>` |
/// | `#[inject] x: Arc<T>` | worker state that is shared instead of borrowed |
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
/// | `payload = Name` | the function's name in Pascal case | the name of the payload struct |
/// | `derive(Clone, PartialEq)` | none | further derives of the payload struct |
/// | `crate = ::path` | `::taskq` | where taskq is, if renamed or re-exported |
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let mut errors = errors::Errors::default();
    let options = options::read(options.into(), &mut errors);
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
