//! `prune`: deletes what is kept of tasks that ended long ago, as an operation on all that match.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::bulk;
use super::said::who_and_why;
use super::said::{json, speaking};
use crate::error::BoxError;
use crate::operate::filter::{Age, Filter};
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
        .about("Deletes what is kept of tasks that ended long ago; counts them first, and asks")
        .arg(age(
            "history",
            "Completed tasks that finished longer ago: 90s, 30m, 1h, 2d, 8w",
        ))
        .arg(age("dead", "Dead tasks that finished longer ago"))
        .group(
            ArgGroup::new("which")
                .args(["history", "dead"])
                .required(true),
        )
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
        (None, None) => return Err("say --history or --dead".into()),
    };
    let operator = speaking(builder, matches);
    let freezing = operator.discard_all(&filter.parse::<Filter>()?);
    bulk::treat(&operator, freezing, "discard", matches).await
}
