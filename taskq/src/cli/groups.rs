//! `groups` and `seal-group`: which groups there are, how their members ended, and sealing one that nobody seals.

use clap::{Arg, ArgMatches, Command};

use super::said::{json, operator, reason, seconds, speaking, who_and_why};
use super::table::{self, Table};
use crate::error::BoxError;
use crate::operate::group::GroupStatus;
use crate::worker::WorkerBuilder;

pub(crate) fn groups() -> Command {
    Command::new("groups")
        .about("Lists groups, those that are open first, with how many of their members are left and how the others ended")
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(u32))
                .default_value("50")
                .help("How many at the most"),
        )
        .arg(json())
}

pub(crate) fn seal_group() -> Command {
    let command = Command::new("seal-group")
        .about("Says that all members of a group are there, where whoever added them has died before: it ends when they have")
        .arg(
            Arg::new("group-id")
                .value_name("GROUP_ID")
                .required(true)
                .value_parser(clap::value_parser!(i64))
                .help("The group, as `groups` shows it"),
        );
    who_and_why(command)
}

pub(crate) async fn execute_groups(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let most = matches.get_one("limit").copied().unwrap_or_default();
    let groups = operator(builder).groups(most).await?;
    table::print(matches, &groups, "there are no groups", list)
}

pub(crate) async fn execute_seal_group(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let group_id = matches.get_one("group-id").copied().unwrap_or_default();
    let sealing = speaking(builder, matches).seal_group(group_id);
    sealing.because_if(reason(matches)).await?;
    println!("sealed: group {group_id}");
    Ok(())
}

fn list(groups: &[GroupStatus]) -> Table {
    let head = &[
        "GROUP", "STATE", "BEGUN", "MEMBERS", "LEFT", "ENDED", "TYPE",
    ];
    let mut table = Table::new(head).right(0).right(3).right(4);
    for group in groups {
        let outcomes = group.outcomes();
        let outcomes = outcomes
            .iter()
            .map(|(word, number)| format!("{number} {word}"));
        table.row([
            group.group_id.to_string(),
            group.state().to_owned(),
            seconds(&group.created_at),
            group.members.to_string(),
            group.remaining.to_string(),
            outcomes.collect::<Vec<_>>().join(", "),
            group.task_type.clone(),
        ]);
        if let Some(problem) = &group.problem {
            table.below(&format!("Postgres refuses its task: {problem}"));
        }
        if let Some(task_id) = group.task_id {
            table.below(&format!("its task is {task_id}"));
        }
    }
    table
}
