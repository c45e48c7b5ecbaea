//! `blocked` and `skip-dead`: which sequences wait at a dead task, and having them go on.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::pause::operator;
use crate::error::BoxError;
use crate::operate::sequence::Blocked;
use crate::worker::WorkerBuilder;

pub(crate) fn blocked() -> Command {
    Command::new("blocked")
        .about("Lists the dead tasks at which sequences wait, and how many tasks wait behind each")
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Prints the list as JSON"),
        )
}

pub(crate) fn skip_dead() -> Command {
    Command::new("skip-dead")
        .about("Has a sequence go on without the dead task at which it waits")
        .arg(
            Arg::new("task-id")
                .value_name("TASK_ID")
                .required(true)
                .value_parser(clap::value_parser!(i64)),
        )
        .arg(
            Arg::new("frees")
                .long("frees")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(i64))
                .help("So many waiting tasks may go on; without it, or if there are more, nothing changes and this tells how many there are"),
        )
}

pub(crate) async fn execute_blocked(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let blocked = operator(builder).blocked().await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&blocked)?);
    } else {
        print!("{}", list(&blocked)?);
    }
    Ok(())
}

pub(crate) async fn execute_skip_dead(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let task_id = matches.get_one("task-id").copied().unwrap_or_default();
    let mut skipping = operator(builder).skip_dead(task_id);
    if let Some(frees) = matches.get_one("frees") {
        skipping = skipping.frees(*frees);
    }
    println!("goes on: {}", skipping.await?);
    Ok(())
}

fn list(blocked: &[Blocked]) -> Result<String, BoxError> {
    let mut text = String::new();
    for blocked in blocked {
        writeln!(text, "{blocked}")?;
    }
    if text.is_empty() {
        text.push_str("no sequence waits at a dead task\n");
    }
    Ok(text)
}
