//! `migrate`: makes the tables, tells what they lack, and prints that for people who run their own migrations.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use super::said::{json, operator, seconds};
use super::table::{self, Table};
use crate::error::{BoxError, error_text};
use crate::operate::migrate::script;
use crate::operate::migration_status::MigrationStatus;
use crate::worker::WorkerBuilder;

/// The tables could not be read.
const NOT_CHECKED: u8 = 2;

pub(crate) fn command() -> Command {
    Command::new("migrate")
        .about("Makes the tables, or brings them up to date")
        .subcommand(Command::new("up").about("Makes the tables, or brings them up to date, as `migrate` alone does"))
        .subcommand(
            Command::new("list")
                .about("Lists the migrations, and when each was applied")
                .arg(json()),
        )
        .subcommand(
            Command::new("print")
                .about("Prints the migrations that are missing as one script of SQL, and runs nothing")
                .arg(
                    Arg::new("from")
                        .long("from")
                        .value_name("VERSION")
                        .value_parser(clap::value_parser!(i32).range(1..))
                        .help("Prints those from this version on, and asks no database; 1 is all"),
                ),
        )
        .subcommand(Command::new("check").about(
            "Tells whether the tables are up to date; exits with 1 if not, and with 2 if they cannot be read",
        ))
}

pub(crate) async fn execute(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    match matches.subcommand() {
        None | Some(("up", _)) => builder.tables().migrate(builder.pool()).await?,
        Some(("list", matches)) => {
            let all = operator(builder).migrations().await?;
            table::print(matches, &all, "there is no migration", list)?;
        }
        Some(("print", matches)) => print(builder, matches).await?,
        Some(("check", _)) => return Ok(check(builder).await),
        _ => unreachable!("clap asks for one of the four"),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(migrations: &[MigrationStatus]) -> Table {
    let head = &["VERSION", "APPLIED", "NAME"];
    let mut table = Table::new(head).right(0);
    for migration in migrations {
        let applied = migration.applied_at.as_ref();
        table.row([
            migration.version.to_string(),
            applied.map_or_else(|| "missing".to_owned(), seconds),
            migration.name.clone(),
        ]);
        if !migration.is_known {
            table.below("newer than this program, which does not know it");
        }
    }
    table
}

async fn print(builder: &WorkerBuilder, matches: &ArgMatches) -> Result<(), BoxError> {
    let from: i32 = match matches.get_one("from") {
        Some(from) => *from,
        None => {
            let all = operator(builder).migrations().await?;
            match first_missing(&all) {
                Some(missing) => missing,
                None => {
                    eprintln!("nothing is missing: the tables are up to date");
                    return Ok(());
                }
            }
        }
    };
    let script = script(builder.tables(), from);
    let script =
        script.ok_or_else(|| format!("this program has no migration {from}, nor a later one"))?;
    print!("{script}");
    Ok(())
}

async fn check(builder: &WorkerBuilder) -> ExitCode {
    let all = match operator(builder).migrations().await {
        Ok(all) => all,
        Err(error) => {
            eprintln!("error: {}", error_text(&error));
            return ExitCode::from(NOT_CHECKED);
        }
    };
    let missing = all.iter().filter(|it| it.applied_at.is_none());
    let missing: Vec<String> = missing
        .map(|it| format!("{} {}", it.version, it.name))
        .collect();
    if missing.is_empty() {
        println!("the tables are up to date");
        return ExitCode::SUCCESS;
    }
    println!("missing: {}", missing.join(", "));
    ExitCode::FAILURE
}

/// Migrations are applied in their order: from the first that is missing on, all are.
fn first_missing(all: &[MigrationStatus]) -> Option<i32> {
    let missing = all.iter().find(|it| it.applied_at.is_none());
    missing.map(|it| it.version)
}
