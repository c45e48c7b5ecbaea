//! `cancel`, `retry`, `discard` and `reschedule`: an operator's word about tasks, single ones or all that match.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Arg, ArgGroup, ArgMatches, Command};

use super::bulk;
use super::said::{reason, speaking, time, who_and_why};
use crate::error::{BoxError, error_text};
use crate::operate::filter::Filter;
use crate::operate::task::TaskState;
use crate::worker::WorkerBuilder;

pub(crate) fn cancel() -> Command {
    of_tasks(Command::new("cancel").about(
        "Cancels tasks that wait or run; whatever a running handler has written is rolled back",
    ))
}

pub(crate) fn retry() -> Command {
    of_tasks(Command::new("retry").about("Lets dead tasks run again, and waiting ones run now"))
        .arg(
            Arg::new("one")
                .long("one")
                .value_name("FILTER")
                .value_parser(|text: &str| text.parse::<Filter>())
                .conflicts_with_all(["all", "ids", "yes", "dry-run", "json"])
                .help("Retries one that matches, the newest dead one, to see what becomes of it before the others"),
        )
        .mut_group("which", |which| which.arg("one"))
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("TIME")
                .value_parser(time)
                .help("Runs them at a time such as 2026-03-01T07:30:00Z, and not now"),
        )
}

pub(crate) fn reschedule() -> Command {
    let command =
        Command::new("reschedule").about("Makes all waiting tasks that match due at another time");
    let command = bulk::arguments(command).mut_arg("all", |all| all.required(true));
    who_and_why(command).arg(
        Arg::new("at")
            .long("at")
            .value_name("TIME")
            .value_parser(time)
            .required(true)
            .help("When they are due: a time such as 2026-03-01T07:30:00Z"),
    )
}

pub(crate) fn discard() -> Command {
    of_tasks(Command::new("discard").about("Deletes dead tasks for good"))
}

fn of_tasks(command: Command) -> Command {
    let command = bulk::arguments(command).arg(
        Arg::new("ids")
            .value_name("ID")
            .value_parser(clap::value_parser!(i64))
            .num_args(1..)
            .help("The ids of the tasks"),
    );
    let which = ArgGroup::new("which").args(["ids", "all"]).required(true);
    ["yes", "dry-run", "json"]
        .into_iter()
        .fold(who_and_why(command).group(which), |command, flag| {
            command.mut_arg(flag, |flag| flag.conflicts_with("ids"))
        })
}

/// Does it to each task by itself, in the order of their ids, or to all that match. Fails if one was refused, once all
/// have had their turn.
pub(crate) async fn execute(
    builder: &WorkerBuilder,
    verb: &str,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let operator = speaking(builder, matches);
    if matches.contains_id("all") {
        return bulk::execute_all(&operator, verb, matches).await;
    }
    let ids = matches.get_many::<i64>("ids").into_iter().flatten();
    let mut ids: Vec<i64> = ids.copied().collect();
    if verb == "retry"
        && let Some(filter) = matches.get_one("one")
    {
        ids.push(operator.newest_dead(filter).await?);
    }
    ids.sort_unstable();
    ids.dedup();
    let mut refused = 0;
    for id in &ids {
        let acting = match verb {
            "cancel" => operator.cancel(*id),
            "discard" => operator.discard(*id),
            _ => match matches.get_one::<DateTime<Utc>>("at") {
                Some(at) => operator.retry_at(*id, *at),
                None => operator.retry(*id),
            },
        };
        match acting.because_if(reason(matches)).await {
            Ok(state) => println!("{}", said(verb, *id, state)),
            Err(error) => {
                refused += 1;
                eprintln!("{}", error_text(&error));
            }
        }
    }
    match refused {
        0 => Ok(ExitCode::SUCCESS),
        _ => Err(format!("{refused} of {} tasks are as they were", ids.len()).into()),
    }
}

fn said(verb: &str, id: i64, was: TaskState) -> String {
    match (verb, was) {
        ("cancel", TaskState::Cancelled) => format!("task {id} was cancelled already"),
        ("cancel", _) => format!("task {id} is cancelled: it was {was}"),
        ("discard", _) => format!("task {id} is deleted: it was {was}"),
        ("retry", _) => format!("task {id} waits to run: it was {was}"),
        _ => unreachable!("clap knows three verbs"),
    }
}
