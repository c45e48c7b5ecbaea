//! `blocked` and `skip-dead`: which sequences wait at a dead task, and having them go on.

use clap::{Arg, ArgMatches, Command};

use super::said::{json, operator, reason, seconds, speaking, who_and_why};
use super::table::{self, Table};
use crate::error::BoxError;
use crate::operate::sequence::Blocked;
use crate::worker::WorkerBuilder;

pub(crate) fn blocked() -> Command {
    Command::new("blocked")
        .about("Lists the dead tasks at which sequences wait, and how many tasks wait behind each")
        .arg(json())
}

pub(crate) fn skip_dead() -> Command {
    let command = Command::new("skip-dead")
        .about("Lets a sequence go on without the dead task at which it waits")
        .arg(
            Arg::new("task-id")
                .value_name("TASK_ID")
                .required(true)
                .value_parser(clap::value_parser!(i64))
                .help("The dead task at which the sequence waits, as `blocked` shows it"),
        )
        .arg(
            Arg::new("frees")
                .long("frees")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(i64))
                .help("How many waiting tasks may go on; without it nothing changes, and it says how many there are"),
        );
    who_and_why(command)
}

pub(crate) async fn execute_blocked(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let blocked = operator(builder).blocked().await?;
    let nothing = "no sequence waits at a dead task";
    table::print(matches, &blocked, nothing, list)
}

pub(crate) async fn execute_skip_dead(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let task_id = matches.get_one("task-id").copied().unwrap_or_default();
    let mut skipping = speaking(builder, matches).skip_dead(task_id);
    if let Some(reason) = reason(matches) {
        skipping = skipping.because(reason);
    }
    if let Some(frees) = matches.get_one("frees") {
        skipping = skipping.frees(*frees);
    }
    println!("goes on: {}", skipping.await?);
    Ok(())
}

fn list(blocked: &[Blocked]) -> Table {
    let head = &["TASK", "STATE", "SINCE", "BEHIND", "TYPE", "KEY"];
    let mut table = Table::new(head).right(0).right(3);
    for it in blocked {
        table.row([
            it.task_id.to_string(),
            it.state.clone(),
            seconds(&it.since),
            it.waiting.to_string(),
            it.task_type.clone(),
            it.key.clone(),
        ]);
        if !it.is_kept {
            table.below("deleted from the dead tasks; the sequence waits nevertheless");
        }
        if let Some(error) = &it.error {
            table.below(error);
        }
    }
    table
}
