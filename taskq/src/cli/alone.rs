//! The program `taskq`: the command line without task types, for whoever has no worker's binary at hand.

use std::env;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use sqlx::postgres::PgPoolOptions;

use super::dispatch::commands;
use super::face::Face;
use super::{execute_as, parsed};
use crate::error::{BoxError, error_text};
use crate::store::Schema;
use crate::worker::{Worker, WorkerBuilder};

/// A command line makes few calls at a time.
const CONNECTIONS: u32 = 4;

fn whole() -> Command {
    let text = |id, name| Arg::new(id).long(id).value_name(name).global(true);
    commands(Face::Alone)
        .about("Operates the tasks of taskq in a Postgres database")
        .version(env!("CARGO_PKG_VERSION"))
        .arg(
            text("database-url", "URL")
                .help("The database; otherwise what DATABASE_URL in the environment says"),
        )
        .arg(text("schema", "NAME").help("The schema of the tables; otherwise taskq"))
}

/// Does what the program's arguments say. Not public API: it is for the binary.
///
/// # Cancel safety
///
/// As [`main`](super::main).
pub async fn main() -> ExitCode {
    let matches = match parsed(whole()) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    match builder(&matches) {
        Ok(builder) => execute_as(whole(), builder, &matches).await,
        Err(error) => {
            eprintln!("error: {}", error_text(&*error));
            // As arguments that make no sense.
            ExitCode::from(2)
        }
    }
}

/// Connects with the first statement: `migrate print --from 1` and `completions` need no database.
fn builder(matches: &ArgMatches) -> Result<WorkerBuilder, BoxError> {
    let said: Option<&String> = matches.get_one("database-url");
    let needs_none = matches!(matches.subcommand_name(), Some("completions" | "cron"));
    let url = match said.cloned().or_else(|| env::var("DATABASE_URL").ok()) {
        Some(url) => url,
        // The defaults of libpq, which nobody asks.
        None if needs_none => "postgres://".to_owned(),
        None => {
            return Err(
                "say which database: --database-url, or DATABASE_URL in the environment".into(),
            );
        }
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(
            "an address of a database is postgres://USER:PASSWORD@HOST:PORT/DATABASE".into(),
        );
    }
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
    let pool = pool
        .connect_lazy(&url)
        .map_err(|error| format!("this is no address of a database: {error}"))?;
    let builder = Worker::builder(pool);
    Ok(match matches.get_one::<String>("schema") {
        Some(name) => builder.schema(Schema::named(name)?),
        None => builder,
    })
}
