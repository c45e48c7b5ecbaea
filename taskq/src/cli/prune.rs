//! `prune`: deletes finished tasks that are kept no longer; or those that ended long ago, as an operation on all that match.

use std::io::{IsTerminal, stdin};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::bulk;
use super::keep::kept;
use super::said::{json, seconds, speaking, who_and_why};
use super::table::{self, Table};
use crate::error::BoxError;
use crate::operate::filter::{Age, Filter};
use crate::operate::prune::Prunable;
use crate::worker::WorkerBuilder;

pub(crate) fn command() -> Command {
    let flag = |id, help| Arg::new(id).long(id).action(ArgAction::SetTrue).help(help);
    let age = |id, help| {
        Arg::new(id)
            .long(id)
            .value_name("AGE")
            .value_parser(age)
            .help(help)
    };
    let command = Command::new("prune")
        .about("Deletes finished tasks that are kept no longer, or that ended long ago; counts them first, and asks")
        .arg(age(
            "history",
            "Completed tasks that finished longer ago, however long they are kept: 90s, 30m, 1h, 2d, 8w",
        ))
        .arg(age("dead", "Dead tasks that finished longer ago"))
        .group(ArgGroup::new("which").args(["history", "dead"]))
        .arg(flag("yes", "Does it without asking"))
        .arg(flag("dry-run", "Counts them, and changes nothing"))
        .arg(json());
    who_and_why(command)
}

fn age(text: &str) -> Result<Age, String> {
    let form = "write a number with s, m, h, d or w, as in 90s, 1h or 30d";
    Age::read(text).ok_or_else(|| form.to_owned())
}

pub(crate) async fn execute(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let filter = match (
        matches.get_one::<Age>("history"),
        matches.get_one::<Age>("dead"),
    ) {
        (Some(age), _) => format!("state:completed older:{age}"),
        (None, Some(age)) => format!("state:dead older:{age}"),
        (None, None) => return prune(builder, matches).await,
    };
    let operator = speaking(builder, matches);
    let freezing = operator.discard_all(&filter.parse::<Filter>()?);
    bulk::treat(&operator, freezing, "discard", matches).await
}

/// Does at once what workers do about once a minute.
async fn prune(builder: &WorkerBuilder, matches: &ArgMatches) -> Result<ExitCode, BoxError> {
    let operator = speaking(builder, matches);
    let prunable = operator.prunable().await?;
    table::print(
        matches,
        &prunable,
        "nothing is kept longer than it should be",
        list,
    )?;
    if matches.get_flag("dry-run") || prunable.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !matches.get_flag("yes") {
        if !stdin().is_terminal() {
            eprintln!("nothing is deleted: say --yes, since there is nobody to ask");
            return Ok(ExitCode::from(bulk::NOT_SAID));
        }
        eprintln!("this deletes them");
        if !bulk::says_yes()? {
            eprintln!("nothing has changed");
            return Ok(ExitCode::SUCCESS);
        }
    }
    operator.prune().await?;
    let left = operator.prunable().await?;
    let count = |all: &[Prunable]| all.iter().map(|it| it.tasks).sum::<u64>();
    let left = count(&left);
    let pruned = count(&prunable).saturating_sub(left);
    eprintln!("{pruned} pruned");
    if left > 0 {
        eprintln!("{left} are left: somebody has locked them, or another one is deleting them");
    }
    Ok(ExitCode::SUCCESS)
}

fn list(prunable: &[Prunable]) -> Table {
    let mut table = Table::new(&["TASKS", "TYPE", "OUTCOME", "KEPT", "OLDEST"]).right(0);
    for it in prunable {
        table.row([
            it.tasks.to_string(),
            it.task_type.clone(),
            it.outcome.clone(),
            kept(it.seconds),
            seconds(&it.oldest_at),
        ]);
    }
    table
}
