//! `take-back` and `end-session`: what mends two troubles that are no task's.

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use super::said::{reason, speaking, who_and_why};
use super::text::printable;
use crate::error::BoxError;
use crate::worker::WorkerBuilder;

pub(crate) fn take_back() -> Command {
    let command = Command::new("take-back")
        .about("Lets tasks wait again whose rows Postgres has refused, once what was in their way is gone")
        .arg(
            Arg::new("ids")
                .value_name("ID")
                .value_parser(value_parser!(i64))
                .num_args(1..)
                .help("The ids of the tasks: see `list state:refused`"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help("Takes all of them"),
        )
        .group(ArgGroup::new("which").args(["ids", "all"]).required(true));
    who_and_why(command)
}

pub(crate) fn end_session() -> Command {
    let command = Command::new("end-session")
        .about("Ends a session of the database that has a transaction open; what it has written is rolled back")
        .arg(
            Arg::new("process-id")
                .value_name("PID")
                .required(true)
                .value_parser(value_parser!(i32))
                .help("The process of the session, as `doctor` shows it"),
        );
    who_and_why(command)
}

pub(crate) async fn execute_take_back(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let operator = speaking(builder, matches);
    if matches.get_flag("all") {
        let because = reason(matches).map(String::as_str);
        let ended = operator.take_back_all(because).await?;
        if !ended.still_refused.is_empty() {
            return Err(printable(&ended.to_string()).into());
        }
        println!("{ended}");
        return Ok(());
    }
    let mut problems = Vec::new();
    for id in matches.get_many::<i64>("ids").into_iter().flatten() {
        match operator.take_back(*id).because_if(reason(matches)).await {
            Ok(Some(waits)) if waits == *id => println!("task {id} waits again"),
            Ok(Some(waits)) => println!("task {id} waits again, as task {waits}: its id was taken"),
            Ok(None) => problems.push(format!("task {id} is not refused")),
            Err(error) => problems.push(error.to_string()),
        }
    }
    failed(&problems)
}

fn failed(problems: &[String]) -> Result<(), BoxError> {
    for problem in problems {
        eprintln!("{}", printable(problem));
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err("a task is as it was".into()),
        number => Err(format!("{number} tasks are as they were").into()),
    }
}

pub(crate) async fn execute_end_session(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let process_id = matches.get_one("process-id").copied().unwrap_or_default();
    let ending = speaking(builder, matches).end_session(process_id);
    let query = ending.because_if(reason(matches)).await?;
    println!(
        "session {process_id} is ended; its last statement: {}",
        printable(&query)
    );
    Ok(())
}
