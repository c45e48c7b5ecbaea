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
//! | `migrate`, `migrate up` | makes the tables, or brings them up to date |
//! | `migrate list`, `migrate check` | lists the migrations, and when each was applied: [`Operator::migrations`](crate::operate::Operator::migrations), `--json`; exits with 1 if one is missing |
//! | `migrate print` | prints those that are missing as one script of SQL; `--from VERSION` |
//! | `check` | decodes every waiting and running task with this program, changes nothing, and says which it would not run; `--json` for machines |
//! | `cancel ID…` | cancels tasks that wait or run: [`Operator::cancel`](crate::operate::Operator::cancel); `--because WHY`, `--as-user WHO` |
//! | `retry ID…` | has dead tasks run again, and waiting ones now: [`Operator::retry`](crate::operate::Operator::retry); `--at TIME`, `--because WHY`, `--as-user WHO` |
//! | `discard ID…` | deletes dead tasks: [`Operator::discard`](crate::operate::Operator::discard); `--because WHY`, `--as-user WHO` |
//! | `take-back ID…`, `take-back --all` | has Postgres take refused tasks back: [`Operator::take_back`](crate::operate::Operator::take_back); `--because WHY`, `--as-user WHO` |
//! | `cancel --all FILTER`, and `retry`, `discard` | does it to all tasks that match a [`Filter`](crate::operate::Filter), once somebody has said yes; `--yes`, `--dry-run`, `--json` |
//! | `reschedule --all FILTER --at TIME` | has all that match and wait be due at another time; `--yes`, `--dry-run`, `--json` |
//! | `prune` | deletes finished tasks that are kept no longer, by what their types say; `--yes`, `--dry-run`, `--json` |
//! | `prune --history AGE`, `prune --dead AGE` | deletes completed or dead tasks that finished longer ago: `discard --all`; `--yes`, `--dry-run`, `--json`, `--because WHY`, `--as-user WHO` |
//! | `keep TYPE OUTCOME TIME`, `reset-keep TYPE OUTCOME` | says for how long finished tasks are kept, whatever programs declare, or has that hold again: [`Operator::keep`](crate::operate::Operator::keep); `--because WHY`, `--as-user WHO` |
//! | `keeps` | lists for how long finished tasks are kept, who has said so, and how many were pruned; `--json` for machines |
//! | `edit ID JSON` | gives a dead task another payload, and has it run again; `--at TIME`, `--unchecked`, `--because WHY`, `--as-user WHO` |
//! | `enqueue TYPE JSON` | enqueues a task by the name of its type; `--at TIME`, `--delay AGE`, `--queue NAME`, `--priority NUMBER`, `--unchecked`, `--because WHY`, `--as-user WHO` |
//! | `bulk list`, `bulk resume ID`, `bulk stop ID`, `bulk failures ID`, `bulk follow ID` | lists what was done to all that matched, goes on with it, stops it, lists which tasks have failed, and tells what has become of those that were retried; `--json`, but for `stop` |
//! | `list FILTER` | lists the tasks that match: [`Operator::list`](crate::operate::Operator::list); `--most NUMBER`, `--after NEXT`, `--looks NUMBER`, `--json` |
//! | `show ID` | shows all that is stored of a task: [`Operator::show`](crate::operate::Operator::show); `--json` |
//! | `causes FILTER` | tells of what dead tasks have died: [`Operator::causes`](crate::operate::Operator::causes); `--most NUMBER`, `--looks NUMBER`, `--json` |
//! | `doctor` | says in plain words what is wrong and what to do: [`Operator::doctor`](crate::operate::Operator::doctor); `--patience AGE`, `--json` |
//! | `acknowledge PROBLEM SUBJECT`, `unacknowledge PROBLEM SUBJECT` | says that a trouble is known and stays as it is, or has it count again: [`Operator::acknowledge`](crate::operate::Operator::acknowledge); `--until TIME`, `--because WHY`, `--as-user WHO` |
//! | `top` | shows in the terminal what goes on, as it happens; with the feature `top`; `--patience AGE`, `--as-user WHO` |
//! | `stats` | tells how much of each kind is due, is due later, runs and is dead: [`Operator::stats`](crate::operate::Operator::stats); `--json` |
//! | `minutes` | tells what workers have done of each kind, and how long it took: [`Operator::minutes`](crate::operate::Operator::minutes); `--since AGE`, `--json` for each minute |
//! | `load QUEUE` | prints how many tasks could run now: [`Operator::load`](crate::operate::Operator::load) |
//! | `workers` | lists the workers: [`Operator::workers`](crate::operate::Operator::workers); `--json` |
//! | `stop-worker WORKER` | asks one to stop: [`Operator::stop_worker`](crate::operate::Operator::stop_worker); `--because WHY`, `--as-user WHO` |
//! | `forget-worker WORKER` | forgets one that vanished: [`Operator::forget_worker`](crate::operate::Operator::forget_worker); `--because WHY`, `--as-user WHO` |
//! | `end-session PID` | ends a session that has a transaction open: [`Operator::end_session`](crate::operate::Operator::end_session); `--because WHY`, `--as-user WHO` |
//! | `dashboard` | serves the pages of [`dashboard`](crate::dashboard), with the feature of that name; `--listen ADDRESS`, `--password-env NAME`, `--user NAME`, `--patience AGE` |
//! | `audit` | tells what operators did, the newest first: [`Operator::audit`](crate::operate::Operator::audit); `--most NUMBER`, `--before NEXT`, `--json` |
//! | `pause queue NAME`, `pause type NAME` | has nothing more start of a queue or a task type: [`Operator::pause`](crate::operate::Operator::pause); `--because WHY`, `--until TIME`, `--as-user WHO` |
//! | `resume queue NAME`, `resume type NAME` | has their tasks start again: [`Operator::resume`](crate::operate::Operator::resume); `--because WHY`, `--as-user WHO` |
//! | `pauses` | lists what is paused; `--json` for machines |
//! | `schedules` | lists the schedules, when they tick, and what is wrong with them; `--json` for machines; with the feature `cron` |
//! | `schedules pause NAME`, `resume NAME`, `run NAME`, `backfill NAME FROM TO`, `remove NAME` | an operator's word about one: [`Schedules`](crate::operate::Schedules); `--because WHY`, `--as-user WHO` |
//! | `schedules upsert NAME EXPR TYPE JSON` | makes a schedule, or changes it: [`Schedules::upsert`](crate::operate::Schedules::upsert); `--timezone ZONE`, `--catch-up WHAT`, `--overlap WHAT`, `--queue NAME`, `--unchecked`, `--because WHY`, `--as-user WHO` |
//! | `cron next EXPR -n 5 --timezone Europe/Zurich` | tells when an expression ticks next |
//! | `limit queue NAME`, `limit type NAME`, `limit key NAME` | limits how many tasks of a queue, of a task type or of each key of one run at once, or how fast they start: [`Operator::limit`](crate::operate::Operator::limit); `--concurrency NUMBER`, `--rate 100/min`, `--burst NUMBER`, `--unlimited`, `--because WHY`, `--until TIME`, `--as-user WHO` |
//! | `reset-limits queue NAME`, and `type`, `key` | has what programs declare hold again: [`Operator::reset_limits`](crate::operate::Operator::reset_limits); `--because WHY`, `--as-user WHO` |
//! | `limits` | lists the limits: declared, overridden, and in force; `--json` for machines |
//! | `groups` | lists groups: how many of their members are left, and how the others ended; `--json` for machines |
//! | `seal-group ID` | says that all members of a group are there, where nobody else does |
//! | `blocked` | lists the dead tasks at which sequences wait; `--json` for machines |
//! | `skip-dead TASK_ID --frees NUMBER` | has the sequence go on without it: [`Operator::skip_dead`](crate::operate::Operator::skip_dead); `--because WHY`, `--as-user WHO` |
//! | `weight TASK_TYPE KEY --set NUMBER`, or `--reset` | says how many tasks a turn of a key is: [`Operator::weight`](crate::operate::Operator::weight); `--because WHY`, `--as-user WHO` |
//! | `weights` | lists the weights that somebody has said; `--json` for machines |
//! | `bench` | measures this database with plain tasks of its own, and removes them; `--tasks NUMBER`, `--yes`, `--json` |
//! | `completions SHELL` | prints what has bash, zsh or fish complete these commands |
//! | `rekey` | encrypts with the newest key what waits or is dead with an older one: [`rekey`](crate::encryption::rekey); `--json`; exits with 1 if some is left; with the feature `encryption` |
//! | `tasks` | lists the declared task types, with their options, their versions and, with the feature `schemars`, the JSON Schema of their payloads |
//! | `tasks --lock FILE` | writes that list to a file, to be kept under version control |
//! | `tasks --check FILE` | compares the program with the file, and exits with 1 if the change would strand rows |
//!
//! # A program with arguments of its own
//!
//! [`command`] returns these commands as a [`clap::Command`], to be mounted under any name, and [`execute`] does what
//! was said:
//!
//! ```no_run
//! # macro_rules! on_one_thread { (#[tokio::main] $($main:tt)*) => { #[tokio::main(flavor = "current_thread")] $($main)* } }
//! use std::process::ExitCode;
//!
//! use clap::Command;
//! use sqlx::postgres::PgPoolOptions;
//! use taskq::Worker;
//!
//! # on_one_thread! {
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     let shop = Command::new("shop")
//!         .subcommand_required(true)
//!         .subcommand(Command::new("serve").about("Serves the shop"))
//!         .subcommand(taskq::cli::command().name("tasks"));
//!     let matches = shop.get_matches();
//!     match matches.subcommand() {
//!         // shop tasks doctor
//!         Some(("tasks", matches)) => {
//!             let url = std::env::var("DATABASE_URL").unwrap_or_default();
//!             let pool = PgPoolOptions::new().connect_lazy(&url).expect("DATABASE_URL is an address");
//!             taskq::cli::execute(Worker::builder(pool), matches).await
//!         }
//!         _ => ExitCode::SUCCESS, // serve
//!     }
//! }
//! # }
//! ```
//!
//! # Without a program
//!
//! `cargo install taskq --features cli,tls-rustls-ring-native-roots` installs these commands as the program `taskq`, for
//! whoever has no worker's binary at hand. It reads `DATABASE_URL` or `--database-url`, and `--schema`. It has no task
//! types, and so neither `run` nor `check` nor `tasks`, and `edit` and `enqueue` take payloads with `--unchecked` alone. A
//! database that asks for TLS needs one of the [features](crate#features) that begin with `tls-`.
//!
//! # More
//!
//! `--lock` and `--check` need the feature `schemars`, and no database.
//!
//! Before a command changes something it says on standard error whose tasks they are: database, host, role and schema.
//! With `--read-only`, or `TASKQ_READ_ONLY=1` in the environment, it is refused, and what only reads does so in sessions
//! that cannot write. Lists are tables for people, with colours on a terminal unless `NO_COLOR` is set; scripts read
//! `--json`, whose form is that of the types in [`operate`](mod@crate::operate).
//!
//! `check` is for the step before a deploy. It exits with 0 if the program would run all tasks, with 1 if
//! it would not run some, and with 2 if it could not read the tables. [`WorkerBuilder::check`] says what
//! it reads, and what it does not.

#[macro_use]
mod out;

mod act;
#[doc(hidden)]
pub mod alone;
mod attempts;
mod audit;
mod bench;
mod bulk;
mod by_hand;
mod causes;
mod change;
mod check;
mod completions;
#[cfg(feature = "dashboard")]
mod dashboard;
mod dispatch;
mod doctor;
mod face;
mod groups;
mod keep;
mod limits;
mod list;
#[cfg(feature = "schemars")]
mod lock;
mod log;
mod mend;
mod migrate;
#[cfg(feature = "cron")]
mod missing;
mod pause;
mod prune;
#[cfg(feature = "encryption")]
mod rekey;
mod run;
mod said;
#[cfg(feature = "cron")]
mod schedule_table;
#[cfg(feature = "cron")]
mod schedules;
mod sequences;
mod show;
mod stats;
mod table;
mod tasks;
mod text;
#[cfg(feature = "top")]
mod top;
mod weights;
mod workers;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use self::dispatch::commands;
use self::face::Face;
use crate::error::error_text;
use crate::worker::WorkerBuilder;

/// Does what the program's arguments say, with the worker that `builder` describes.
///
/// Writes errors to standard error. The exit code is
///
/// - 1 if the command failed, what it printed cannot be written, `check`, `migrate check` or `tasks --check` found
///   something, or `doctor` found an error; that nobody reads what is printed any more, as in `list | head`, is no failure;
/// - 2 if the arguments make no sense, `check` or `migrate check` could not read the tables, a change of all that match
///   needs `--yes` because there is nobody to ask, so does `bench` where workers live, or nothing may change
///   (`--read-only`);
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
    let whole = || commands(Face::Worker);
    match parsed(whole()) {
        Ok(matches) => execute_as(whole(), builder, &matches).await,
        Err(code) => code,
    }
}

/// Returns the commands as one [`clap::Command`], for a program that has others too: see
/// [above](self#a-program-with-arguments-of-its-own). It is named `taskq`; [`clap::Command::name`] gives it another name.
/// `completions` is not among them: those of the whole program are made of its whole command.
pub fn command() -> Command {
    commands(Face::Mounted)
}

/// Does what was said, with the worker that `builder` describes. The matches are those of [`command`], mounted or not.
///
/// Errors and exit codes are those of [`main`].
///
/// # Cancel safety
///
/// As [`main`].
pub async fn execute(builder: WorkerBuilder, matches: &ArgMatches) -> ExitCode {
    execute_as(command(), builder, matches).await
}

fn parsed(command: Command) -> Result<ArgMatches, ExitCode> {
    command.try_get_matches().map_err(|error| {
        // If standard output is closed, there is nobody to tell.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

async fn execute_as(whole: Command, builder: WorkerBuilder, matches: &ArgMatches) -> ExitCode {
    let code = match dispatch::execute(whole, builder, matches).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", error_text(&*error));
            ExitCode::FAILURE
        }
    };
    match out::lost() {
        Some(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        None => code,
    }
}
