//! `pause`, `resume` and `pauses`: an operator's word about a queue or a task type.

use clap::{Arg, ArgMatches, Command};

#[cfg(feature = "cron")]
use super::missing;
use super::said::{json, named, operator, reason, seconds, speaking, time, who_and_why};
use super::table::{self, Table};
use crate::error::BoxError;
use crate::operate::pause::{Pause, Queue, Schedule, Scope, TaskType};
#[cfg(feature = "cron")]
use crate::operate::schedules::schedules;
use crate::worker::WorkerBuilder;

pub(crate) fn pause() -> Command {
    let command = |command: Command| {
        who_and_why(command.arg(named())).arg(
            Arg::new("until")
                .long("until")
                .value_name("TIME")
                .value_parser(time)
                .help("Ends the pause by itself at a time such as 2026-03-01T07:30:00Z"),
        )
    };
    of_what(
        Command::new("pause")
            .about("Pauses a queue, a task type or a schedule: nothing more of it starts, and what runs goes on"),
        command,
    )
}

pub(crate) fn resume() -> Command {
    of_what(
        Command::new("resume").about("Ends the pause of a queue, a task type or a schedule"),
        |command| who_and_why(command.arg(named())),
    )
}

pub(crate) fn pauses() -> Command {
    Command::new("pauses")
        .about("Lists what is paused: since when, by whom, why and until when")
        .arg(json())
}

fn of_what(command: Command, with_arguments: impl Fn(Command) -> Command) -> Command {
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_arguments(
            Command::new("queue").about("All tasks of this queue"),
        ))
        .subcommand(with_arguments(
            Command::new("type").about("All tasks of this task type, in all queues"),
        ))
        .subcommand(with_arguments(
            Command::new("schedule").about("The ticks of this schedule"),
        ))
}

pub(crate) async fn execute_pause(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let (scope, matches) = scope_of(matches);
    let operator = speaking(builder, matches);
    let mut pausing = operator.pause(scope.clone());
    if let Some(reason) = reason(matches) {
        pausing = pausing.because(reason);
    }
    if let Some(until) = matches.get_one("until") {
        pausing = pausing.until(*until);
    }
    let former = pausing.await?;
    match missing_schedule(builder, &scope).await? {
        Some(missing) => println!("{missing}"),
        None => println!("{scope} is paused: nothing more starts, and what runs goes on"),
    }
    let running = operator.running(scope).await?;
    if running > 0 {
        println!("up to {running} of its tasks still run");
    }
    if let Some(former) = former {
        println!("before: {former}");
    }
    Ok(())
}

/// Says of a schedule that there is none of its name. Queues and task types are known to nobody before their first task.
#[cfg(feature = "cron")]
async fn missing_schedule(
    builder: &WorkerBuilder,
    scope: &Scope,
) -> Result<Option<String>, BoxError> {
    let Scope::Schedule(name) = scope else {
        return Ok(None);
    };
    let mut connection = builder.pool().acquire().await?;
    let mut schedules = schedules(&mut connection).schema(builder.tables());
    Ok(missing::schedule(name, &schedules.list().await?))
}

#[cfg(not(feature = "cron"))]
async fn missing_schedule(
    _builder: &WorkerBuilder,
    _scope: &Scope,
) -> Result<Option<String>, BoxError> {
    Ok(None)
}

pub(crate) async fn execute_resume(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let (scope, matches) = scope_of(matches);
    let resuming = speaking(builder, matches).resume(scope.clone());
    match resuming.because_if(reason(matches)).await? {
        Some(former) => println!("{scope} is resumed\nbefore: {former}"),
        None => println!("{scope} was not paused"),
    }
    Ok(())
}

pub(crate) async fn execute_pauses(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let pauses = operator(builder).pauses().await?;
    table::print(matches, &pauses, "nothing is paused", list)
}

fn list(pauses: &[Pause]) -> Table {
    let mut table = Table::new(&["WHAT", "NAME", "SINCE", "UNTIL", "BY"]);
    for pause in pauses {
        let (word, name) = pause.scope.parts();
        let until = pause.until.as_ref().map_or_else(|| "-".to_owned(), seconds);
        table.row([
            word.replace("task_", ""),
            name.to_owned(),
            seconds(&pause.since),
            until,
            pause.by.clone(),
        ]);
        if let Some(reason) = &pause.reason {
            table.below(reason);
        }
    }
    table
}

fn scope_of(matches: &ArgMatches) -> (Scope, &ArgMatches) {
    let name = |matches: &ArgMatches| {
        let name: Option<&String> = matches.get_one("name");
        name.cloned().unwrap_or_default()
    };
    match matches.subcommand() {
        Some(("queue", matches)) => (Queue(&name(matches)).into(), matches),
        Some(("type", matches)) => (TaskType(&name(matches)).into(), matches),
        Some(("schedule", matches)) => (Schedule(&name(matches)).into(), matches),
        _ => unreachable!("clap asks for one of the three"),
    }
}
