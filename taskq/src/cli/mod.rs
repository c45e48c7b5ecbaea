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
//! | `run` | works until SIGINT or SIGTERM |
//! | `migrate` | makes the tables, or brings them up to date |
//! | `check` | decodes every waiting and running task with this program, changes nothing, and says which it would not run; `--json` for machines |
//! | `tasks` | lists the declared task types, with their options, their versions and, with the feature `schemars`, the JSON Schema of their payloads |
//! | `tasks --lock FILE` | writes that list to a file, to be kept under version control |
//! | `tasks --check FILE` | compares the program with the file, and exits with 1 if the change would strand rows |
//!
//! `--lock` and `--check` need the feature `schemars`, and no database.
//!
//! `check` is for the step before a deploy: it exits with 0 if the program would run all tasks, with 1 if
//! it would not run some, and with 2 if it could not look. What it reads, and what it does not, says
//! [`WorkerBuilder::check`].

mod check;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::attempt::decision::report;
use crate::error::BoxError;
use crate::task::declaration::Delivery;
use crate::task::registry::Registry;
use crate::worker::{WorkerBuilder, shutdown_signal};

/// Does what the program's arguments say, with the worker that `builder` describes.
///
/// What goes wrong is written to standard error, and the exit code is then 1; for arguments that make no
/// sense it is 2, and for a `check` that could not look.
pub async fn main(builder: WorkerBuilder) -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Standard output that is closed leaves nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(builder, &matches).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", report(&*error));
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let tasks = Command::new("tasks").about("Lists the declared task types");
    #[cfg(feature = "schemars")]
    let tasks = tasks.args(lock::arguments());
    Command::new(env!("CARGO_PKG_NAME"))
        .about("A worker of taskq, with the handlers that are linked into this program")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("run").about("Works until SIGINT or SIGTERM"))
        .subcommand(Command::new("migrate").about("Makes the tables, or brings them up to date"))
        .subcommand(check::command())
        .subcommand(tasks)
}

async fn execute(builder: WorkerBuilder, matches: &ArgMatches) -> Result<ExitCode, BoxError> {
    match matches.subcommand() {
        Some(("run", _)) => builder.build().await?.run_until(shutdown_signal()).await?,
        Some(("migrate", _)) => builder.tables().migrate(builder.pool()).await?,
        Some(("check", matches)) => return check::check(&builder, matches).await,
        Some(("tasks", matches)) => return tasks(&builder.registry()?, matches),
        _ => unreachable!("clap asks for one of the commands"),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg_attr(
    not(feature = "schemars"),
    expect(unused_variables, reason = "its options need schemas")
)]
fn tasks(registry: &Registry, matches: &ArgMatches) -> Result<ExitCode, BoxError> {
    #[cfg(feature = "schemars")]
    if let Some(code) = lock::locked(registry, matches)? {
        return Ok(code);
    }
    print!("{}", listed(registry)?);
    Ok(ExitCode::SUCCESS)
}

/// Writes what people want to know of each task type.
fn listed(registry: &Registry) -> Result<String, BoxError> {
    let mut text = String::new();
    for handler in registry.handlers() {
        let (options, declaration) = (&handler.options, &handler.declaration);
        writeln!(text, "{} ({})", handler.task_type, handler.place())?;
        if !declaration.aliases.is_empty() {
            writeln!(text, "  aliases: {}", declaration.aliases.join(", "))?;
        }
        let delivery = match declaration.delivery {
            Delivery::Transactional => "transactional",
            Delivery::AtLeastOnce => "at least once",
        };
        let versions = match (options.oldest_version(), options.version) {
            (oldest, version) if oldest < version => format!("{version}, reads from {oldest}"),
            (_, version) => version.to_string(),
        };
        writeln!(
            text,
            "  queue: {}, priority: {}",
            options.queue, options.priority
        )?;
        writeln!(
            text,
            "  attempts: {}, timeout: {:?}, {delivery}",
            options.max_attempts, declaration.timeout
        )?;
        writeln!(text, "  version: {versions}")?;
        #[cfg(feature = "schemars")]
        match (handler.json_schema)() {
            Some(schema) => writeln!(text, "  payload: {}", schema.as_value())?,
            None => writeln!(text, "  payload: no schema")?,
        }
    }
    Ok(text)
}

#[cfg(feature = "schemars")]
mod lock {
    //! `tasks --lock` and `tasks --check`.

    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;

    use clap::{Arg, ArgMatches, value_parser};

    use crate::error::BoxError;
    use crate::operate::lock::{Lock, Violation};
    use crate::task::registry::Registry;

    pub(crate) fn arguments() -> [Arg; 2] {
        let file = |name: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help(help)
        };
        [
            file(
                "lock",
                "Writes the task types and the form of their payloads to a file",
            )
            .conflicts_with("check"),
            file(
                "check",
                "Refuses a change since that file that would strand rows",
            ),
        ]
    }

    /// Writes or checks a lock, if asked for.
    pub(crate) fn locked(
        registry: &Registry,
        matches: &ArgMatches,
    ) -> Result<Option<ExitCode>, BoxError> {
        let lock = Lock::of(registry.handlers());
        if let Some(path) = matches.get_one::<PathBuf>("lock") {
            return write(&lock, path).map(Some);
        }
        match matches.get_one::<PathBuf>("check") {
            Some(path) => check(&lock, path).map(Some),
            None => Ok(None),
        }
    }

    fn write(lock: &Lock, path: &Path) -> Result<ExitCode, BoxError> {
        if refuses(&lock.unknown()) {
            return Ok(ExitCode::FAILURE);
        }
        let mut text = serde_json::to_string_pretty(lock)?;
        text.push('\n');
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(ExitCode::SUCCESS)
    }

    fn check(lock: &Lock, path: &Path) -> Result<ExitCode, BoxError> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            format!("{shown}: {error}; `tasks --lock {shown}` writes the first one")
        })?;
        let before: Lock = serde_json::from_str(&text)
            .map_err(|error| format!("{shown} is no lock of taskq: {error}"))?;
        let mut violations = before.stranded_by(lock);
        violations.extend(lock.unknown());
        if refuses(&violations) {
            return Ok(ExitCode::FAILURE);
        }
        match before == *lock {
            true => println!("nothing has changed since {shown}"),
            false => println!(
                "no change since {shown} strands rows; write it anew with `tasks --lock {shown}`"
            ),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn refuses(violations: &[Violation]) -> bool {
        for violation in violations {
            eprintln!("{violation}");
        }
        !violations.is_empty()
    }
}
