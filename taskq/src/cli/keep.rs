//! `keep`, `reset-keep` and `keeps`: for how long finished tasks are kept, and what operators say in the place of programs.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::said::{json, operator, seconds, speaking, who_and_why};
use super::table::{self, Table};
use crate::error::BoxError;
use crate::operate::KeepRule;
use crate::operate::TaskState;
use crate::operate::filter::Age;
use crate::task::keep::KeepFor;
use crate::worker::WorkerBuilder;

const OUTCOMES: [TaskState; 6] = [
    TaskState::Completed,
    TaskState::Discarded,
    TaskState::Cancelled,
    TaskState::Expired,
    TaskState::Invalid,
    TaskState::Quarantined,
];

pub(crate) fn keep() -> Command {
    let command = Command::new("keep")
        .about("Sets for how long finished tasks of a type are kept, whatever programs declare");
    who_and_why(
        of_outcome(command).arg(
            Arg::new("time")
                .value_name("TIME")
                .required(true)
                .value_parser(time)
                .help("For how long: a time such as 12h, 30d or 8w, none, or forever"),
        ),
    )
}

pub(crate) fn reset_keep() -> Command {
    let command = Command::new("reset-keep")
        .about("Has finished tasks of a type be kept for as long as programs declare again");
    who_and_why(of_outcome(command))
}

pub(crate) fn keeps() -> Command {
    Command::new("keeps")
        .about("Lists for how long finished tasks are kept, by type and outcome, and how many were pruned")
        .arg(json())
}

fn of_outcome(command: Command) -> Command {
    command
        .arg(
            Arg::new("type")
                .value_name("TYPE")
                .required(true)
                .help("The task type"),
        )
        .arg(
            Arg::new("outcome")
                .value_name("OUTCOME")
                .required(true)
                .value_parser(outcome)
                .help("How its tasks have ended: completed, discarded, cancelled, expired, invalid or quarantined"),
        )
}

fn outcome(text: &str) -> Result<TaskState, String> {
    let mut outcomes = OUTCOMES.iter();
    let found = outcomes.find(|it| it.to_string() == text);
    found.copied().ok_or_else(|| {
        "write completed, discarded, cancelled, expired, invalid or quarantined".to_owned()
    })
}

fn time(text: &str) -> Result<KeepFor, String> {
    match text {
        "none" => Ok(KeepFor::NotAtAll),
        "forever" => Ok(KeepFor::Forever),
        _ => match Age::read(text).map(Age::seconds) {
            Some(seconds) if seconds > 0 => Ok(KeepFor::Time(Duration::from_secs(seconds))),
            _ => Err("write none, forever, or a number with s, m, h, d or w, as in 30d, of a hundred years \
                      at the most"
                .to_owned()),
        },
    }
}

pub(crate) async fn execute(
    builder: &WorkerBuilder,
    verb: &str,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let text = |id| matches.get_one::<String>(id);
    let operator = speaking(builder, matches);
    let task_type = text("type").cloned().unwrap_or_default();
    let outcome: &TaskState = matches.get_one("outcome").ok_or("clap asks for it")?;
    let reason = text("because");
    if verb == "keep" {
        let time: &KeepFor = matches.get_one("time").ok_or("clap asks for it")?;
        let keeping = operator.keep(task_type, *outcome, *time);
        keeping.because_if(reason).await?;
        println!("said; workers prune by it within about a minute");
        return Ok(());
    }
    let resetting = operator.reset_keep(task_type, *outcome);
    println!(
        "{}",
        match resetting.because_if(reason).await? {
            true => "what programs declare holds again",
            false => "nobody had said another time",
        }
    );
    Ok(())
}

pub(crate) async fn execute_keeps(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let keeps = operator(builder).keeps().await?;
    let nothing = "no program and nobody has said for how long tasks are kept";
    table::print(matches, &keeps, nothing, list)
}

fn list(keeps: &[KeepRule]) -> Table {
    let head = ["TYPE", "OUTCOME", "KEPT", "BY", "SINCE", "PRUNED"];
    let mut table = Table::new(&head).right(5);
    for rule in keeps {
        let others = "(others)".to_owned();
        table.row([
            if rule.task_type.is_empty() {
                others
            } else {
                rule.task_type.clone()
            },
            rule.outcome.clone(),
            rule.seconds.map_or("forever".to_owned(), kept),
            rule.by.clone().unwrap_or_else(|| "(declared)".to_owned()),
            rule.said_at.as_ref().map_or(String::new(), seconds),
            rule.pruned.to_string(),
        ]);
        if let Some(reason) = &rule.reason {
            table.below(reason);
        }
    }
    table
}

/// Says a time in the largest unit of which it is a whole number.
pub(super) fn kept(seconds: f64) -> String {
    for (unit, length) in [("d", 86_400.0), ("h", 3_600.0), ("m", 60.0)] {
        if seconds >= length && seconds % length == 0.0 {
            return format!("{}{unit}", seconds / length);
        }
    }
    match seconds > 0.0 {
        true => format!("{seconds}s"),
        false => "none".into(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_is_said_as_it_is_written() {
        for (seconds, said) in [
            (0.0, "none"),
            (0.5, "0.5s"),
            (90.0, "90s"),
            (5400.0, "90m"),
            (604_800.0, "7d"),
        ] {
            assert_eq!(super::kept(seconds), said);
        }
    }
}
