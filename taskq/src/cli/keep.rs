//! `keep` and `reset-keep`: for how long finished tasks are kept, in the place of what programs declare.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::said::{speaking, who_and_why};
use crate::error::BoxError;
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
            _ => Err("write none, forever, or a number with s, m, h, d or w, as in 30d".to_owned()),
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
