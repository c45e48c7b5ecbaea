//! The command line of a worker's binary: the program that has the handlers is the tool that knows them.
//!
//! ```no_run
//! # macro_rules! on_one_thread { (#[tokio::main] $($main:tt)*) => { #[tokio::main(flavor = "current_thread")] $($main)* } }
//! use std::process::ExitCode;
//!
//! use sqlx::postgres::PgPoolOptions;
//! use taskq::Worker;
//! // use my_tasks as _;   // links the crate whose handlers are registered
//!
//! # on_one_thread! {
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     let url = std::env::var("DATABASE_URL").unwrap_or_default();
//!     // Lazily, so that `tasks` works without a database.
//!     let pool = match PgPoolOptions::new().max_connections(20).connect_lazy(&url) {
//!         Ok(pool) => pool,
//!         Err(error) => {
//!             eprintln!("DATABASE_URL: {error}");
//!             return ExitCode::FAILURE;
//!         }
//!     };
//!     taskq::cli::main(Worker::builder(pool)).await
//! }
//! # }
//! ```
//!
//! | command | does |
//! | --- | --- |
//! | `run` | works until SIGINT or SIGTERM, and ends the process at most 3 seconds after its worker has stopped |
//! | `migrate` | makes the tables, or brings them up to date |
//! | `check` | decodes every waiting and running task with this program, changes nothing, and says which it would not run; `--json` for machines |
//! | `cancel ID…` | cancels tasks that wait or run: [`Operator::cancel`](crate::operate::Operator::cancel); `--because WHY`, `--as-user WHO` |
//! | `retry ID…` | has dead tasks run again, and waiting ones now: [`Operator::retry`](crate::operate::Operator::retry); `--at TIME`, `--because WHY`, `--as-user WHO` |
//! | `discard ID…` | deletes dead tasks: [`Operator::discard`](crate::operate::Operator::discard); `--because WHY`, `--as-user WHO` |
//! | `cancel --all FILTER`, and `retry`, `discard` | does it to all tasks that match a [`Filter`](crate::operate::Filter), once somebody has said yes; `--yes`, `--dry-run`, `--json` |
//! | `reschedule --all FILTER --at TIME` | has all that match and wait be due at another time; `--yes`, `--dry-run`, `--json` |
//! | `edit ID JSON` | gives a dead task another payload, and has it run again; `--at TIME`, `--unchecked`, `--because WHY`, `--as-user WHO` |
//! | `enqueue TYPE JSON` | enqueues a task by the name of its type; `--at TIME`, `--delay AGE`, `--queue NAME`, `--priority NUMBER`, `--unchecked`, `--because WHY`, `--as-user WHO` |
//! | `bulk list`, `bulk resume ID`, `bulk stop ID`, `bulk failures ID` | lists what was done to all that matched, goes on with it, stops it, and lists which tasks have failed; `--json`, but for `stop` |
//! | `list FILTER` | lists the tasks that match: [`Operator::list`](crate::operate::Operator::list); `--most NUMBER`, `--after NEXT`, `--looks NUMBER`, `--json` |
//! | `show ID` | shows all that is stored of a task: [`Operator::show`](crate::operate::Operator::show); `--json` |
//! | `causes FILTER` | tells of what dead tasks have died: [`Operator::causes`](crate::operate::Operator::causes); `--most NUMBER`, `--looks NUMBER`, `--json` |
//! | `doctor` | says in plain words what is wrong and what to do: [`Operator::doctor`](crate::operate::Operator::doctor); `--json` |
//! | `dashboard` | serves the pages of [`dashboard`](crate::dashboard), with the feature of that name; `--listen ADDRESS`, `--password-env NAME`, `--user NAME` |
//! | `audit` | tells what operators did to tasks, the newest first: [`Operator::audit`](crate::operate::Operator::audit); `--most NUMBER`, `--before NEXT`, `--json` |
//! | `pause queue NAME`, `pause type NAME` | has nothing more start of a queue or a task type: [`Operator::pause`](crate::operate::Operator::pause); `--because WHY`, `--until TIME`, `--as-user WHO` |
//! | `resume queue NAME`, `resume type NAME` | has their tasks start again |
//! | `pauses` | lists what is paused; `--json` for machines |
//! | `schedules` | lists the schedules, when they tick, and what is wrong with them; `--json` for machines; with the feature `cron` |
//! | `schedules pause NAME`, `resume NAME`, `run NAME`, `backfill NAME FROM TO`, `remove NAME` | an operator's word about one: [`Schedules`](crate::operate::Schedules) |
//! | `cron next EXPR -n 5 --timezone Europe/Zurich` | tells when an expression ticks next |
//! | `limit queue NAME`, `limit type NAME`, `limit key NAME` | limits how many tasks of a queue, of a task type or of each key of one run at once, or how fast they start: [`Operator::limit`](crate::operate::Operator::limit); `--concurrency NUMBER`, `--rate 100/min`, `--burst NUMBER`, `--unlimited`, `--because WHY`, `--until TIME`, `--as-user WHO` |
//! | `reset-limits queue NAME`, and `type`, `key` | has what programs declare hold again |
//! | `limits` | lists the limits: declared, overridden, and in force; `--json` for machines |
//! | `blocked` | lists the dead tasks at which sequences wait; `--json` for machines |
//! | `skip-dead TASK_ID --frees NUMBER` | has the sequence go on without it: [`Operator::skip_dead`](crate::operate::Operator::skip_dead) |
//! | `weight TASK_TYPE KEY --set NUMBER`, or `--reset` | says how many tasks a turn of a key is: [`Operator::weight`](crate::operate::Operator::weight); `--because WHY`, `--as-user WHO` |
//! | `weights` | lists the weights that somebody has said; `--json` for machines |
//! | `tasks` | lists the declared task types, with their options, their versions and, with the feature `schemars`, the JSON Schema of their payloads |
//! | `tasks --lock FILE` | writes that list to a file, to be kept under version control |
//! | `tasks --check FILE` | compares the program with the file, and exits with 1 if the change would strand rows |
//!
//! `--lock` and `--check` need the feature `schemars`, and no database.
//!
//! Before a command changes something it says on standard error whose tasks they are: database, host, role and schema.
//! With `--read-only`, or `TASKQ_READ_ONLY=1` in the environment, it is refused, and what only reads does so in sessions
//! that cannot write. Lists are tables for people, with colours on a terminal unless `NO_COLOR` is set; scripts read
//! `--json`, whose form is that of the types in [`operate`](crate::operate).
//!
//! `check` is for the step before a deploy. It exits with 0 if the program would run all tasks, with 1 if
//! it would not run some, and with 2 if it could not read the tables. [`WorkerBuilder::check`] says what
//! it reads, and what it does not.

mod act;
mod audit;
mod bulk;
mod by_hand;
mod causes;
mod change;
mod check;
#[cfg(feature = "dashboard")]
mod dashboard;
mod doctor;
mod limits;
mod list;
#[cfg(feature = "schemars")]
mod lock;
#[cfg(feature = "cron")]
mod missing;
mod pause;
mod run;
#[cfg(feature = "cron")]
mod schedule_table;
#[cfg(feature = "cron")]
mod schedules;
mod sequences;
mod show;
mod table;
mod tasks;
mod text;
mod weights;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::error::{BoxError, error_text};
use crate::worker::WorkerBuilder;

/// Does what the program's arguments say, with the worker that `builder` describes.
///
/// Writes errors to standard error. The exit code is
///
/// - 1 if the command failed, `check` or `tasks --check` found something, or `doctor` found an error;
/// - 2 if the arguments make no sense, `check` could not read the tables, a change of all that match needs `--yes`
///   because there is nobody to ask, or nothing may change (`--read-only`);
/// - 3 if a change of all that match was made in part: some tasks have failed, or somebody stopped it.
///
/// After `run` the program has 3 seconds to end by itself. Then the process is ended, since a runtime waits
/// for threads of `spawn_blocking` for as long as they run.
///
/// # Cancel safety
///
/// Dropping the future ends the command as dropping the future of its verb does: that of `run` is
/// [`Worker::run_until`](crate::Worker::run_until).
pub async fn main(builder: WorkerBuilder) -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // If standard output is closed, there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(builder, &matches).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", error_text(&*error));
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let command = Command::new(env!("CARGO_PKG_NAME"))
        .about("A worker of taskq, with the handlers that are linked into this program")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(change::argument())
        .subcommand(Command::new("run").about("Works until SIGINT or SIGTERM"))
        .subcommand(Command::new("migrate").about("Makes the tables, or brings them up to date"))
        .subcommand(check::command())
        .subcommand(act::cancel())
        .subcommand(act::retry())
        .subcommand(act::discard())
        .subcommand(act::reschedule())
        .subcommand(by_hand::edit())
        .subcommand(by_hand::enqueue())
        .subcommand(list::command())
        .subcommand(show::command())
        .subcommand(causes::command())
        .subcommand(doctor::command())
        .subcommand(audit::command())
        .subcommand(bulk::command())
        .subcommand(pause::pause())
        .subcommand(pause::resume())
        .subcommand(pause::pauses())
        .subcommand(limits::limit())
        .subcommand(limits::reset())
        .subcommand(limits::limits())
        .subcommand(sequences::blocked())
        .subcommand(sequences::skip_dead())
        .subcommand(weights::weight())
        .subcommand(weights::weights())
        .subcommand(tasks::command());
    #[cfg(feature = "dashboard")]
    let command = command.subcommand(dashboard::command());
    #[cfg(feature = "cron")]
    let command = command
        .subcommand(schedules::command())
        .subcommand(schedules::cron());
    command
}

async fn execute(builder: WorkerBuilder, matches: &ArgMatches) -> Result<ExitCode, BoxError> {
    if let Some(refused) = change::announce(&builder, matches) {
        return Ok(refused);
    }
    let builder = match change::is_read_only(matches) {
        true => change::read_only(builder),
        false => builder,
    };
    match matches.subcommand() {
        Some(("run", _)) => return run::execute(builder).await,
        Some(("migrate", _)) => builder.tables().migrate(builder.pool()).await?,
        Some(("check", matches)) => return check::execute(&builder, matches).await,
        Some((verb @ ("cancel" | "retry" | "discard" | "reschedule"), matches)) => {
            return act::execute(&builder, verb, matches).await;
        }
        Some(("edit", matches)) => by_hand::execute_edit(&builder, matches).await?,
        Some(("enqueue", matches)) => by_hand::execute_enqueue(&builder, matches).await?,
        Some(("list", matches)) => list::execute(&builder, matches).await?,
        Some(("show", matches)) => show::execute(&builder, matches).await?,
        Some(("causes", matches)) => causes::execute(&builder, matches).await?,
        #[cfg(feature = "dashboard")]
        Some(("dashboard", matches)) => dashboard::execute(&builder, matches).await?,
        Some(("audit", matches)) => audit::execute(&builder, matches).await?,
        Some(("doctor", matches)) => return doctor::execute(&builder, matches).await,
        Some(("bulk", matches)) => return bulk::execute(&builder, matches).await,
        Some(("pause", matches)) => pause::execute_pause(&builder, matches).await?,
        Some(("resume", matches)) => pause::execute_resume(&builder, matches).await?,
        Some(("pauses", matches)) => pause::execute_pauses(&builder, matches).await?,
        #[cfg(feature = "cron")]
        Some(("schedules", matches)) => schedules::execute(&builder, matches).await?,
        #[cfg(feature = "cron")]
        Some(("cron", matches)) => schedules::execute_cron(&builder, matches).await?,
        Some(("limit", matches)) => limits::execute_limit(&builder, matches).await?,
        Some(("reset-limits", matches)) => limits::execute_reset(&builder, matches).await?,
        Some(("limits", matches)) => limits::execute_limits(&builder, matches).await?,
        Some(("blocked", matches)) => sequences::execute_blocked(&builder, matches).await?,
        Some(("skip-dead", matches)) => sequences::execute_skip_dead(&builder, matches).await?,
        Some(("weight", matches)) => weights::execute_weight(&builder, matches).await?,
        Some(("weights", matches)) => weights::execute_weights(&builder, matches).await?,
        Some(("tasks", matches)) => return tasks::execute(&builder.registry()?, matches),
        _ => unreachable!("clap asks for one of the commands"),
    }
    Ok(ExitCode::SUCCESS)
}
