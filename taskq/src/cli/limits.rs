//! `limit`, `reset-limits` and `limits`: how many tasks run at once, and how fast they start.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::said::{json, named, operator, reason, seconds, speaking, time, who_and_why};
use super::table::{self, Table};
use crate::error::BoxError;
use crate::operate::limit::{EachKey, Limit, LimitScope};
use crate::operate::pause::{Queue, TaskType};
use crate::worker::WorkerBuilder;

pub(crate) fn limit() -> Command {
    of_what(
        Command::new("limit")
            .about("Limits how many tasks run at once, or how fast they start, over all workers"),
        |command| {
            let text = |id, name| Arg::new(id).long(id).value_name(name);
            who_and_why(command)
                .arg(
                    text("concurrency", "NUMBER")
                        .value_parser(clap::value_parser!(u32))
                        .help("So many run at once; with 0 nothing starts"),
                )
                .arg(
                    text("rate", "NUMBER/TIME")
                        .value_parser(rate)
                        .help("So many start in a time: 100/min, 5/s, 1000/h, 20/90s"),
                )
                .arg(
                    text("burst", "NUMBER")
                        .value_parser(clap::value_parser!(u32))
                        .requires("rate")
                        .help("So many start at once after a time of quiet; otherwise as many as fit into a second"),
                )
                .arg(
                    Arg::new("unlimited")
                        .long("unlimited")
                        .action(ArgAction::SetTrue)
                        .conflicts_with_all(["concurrency", "rate"])
                        .help("Lifts what the program of the type declares"),
                )
                .arg(
                    text("until", "TIME")
                        .value_parser(time)
                        .help("Has what is declared hold again at a time such as 2026-03-01T07:30:00Z"),
                )
        },
    )
}

pub(crate) fn reset() -> Command {
    of_what(
        Command::new("reset-limits")
            .about("Undoes what was said of limits by hand: what programs declare holds again"),
        who_and_why,
    )
}

pub(crate) fn limits() -> Command {
    Command::new("limits")
        .about("Lists the limits: what holds, who says so, and what programs declare")
        .arg(json())
}

fn of_what(command: Command, with_arguments: impl Fn(Command) -> Command) -> Command {
    let of = |word, about| {
        let command = Command::new(word).about(about);
        with_arguments(command.arg(named()))
    };
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(of("queue", "All tasks of this queue"))
        .subcommand(of("type", "All tasks of this task type, in all queues"))
        .subcommand(of("key", "The tasks of each key of this task type"))
}

fn rate(text: &str) -> Result<(u32, Duration), String> {
    let form = "write a number of starts and a time, such as 100/min, 5/s, 1000/h or 20/90s";
    let (most, time) = text.split_once('/').ok_or(form)?;
    let most = most.trim().parse().map_err(|_| form)?;
    let time = time.trim();
    let digits = time.find(|it: char| !it.is_ascii_digit()).ok_or(form)?;
    let (number, unit) = time.split_at(digits);
    let number: u64 = match number {
        "" => 1,
        number => number.parse().map_err(|_| form)?,
    };
    let seconds = match unit {
        "s" | "sec" | "second" => 1,
        "m" | "min" | "minute" => 60,
        "h" | "hour" => 60 * 60,
        "d" | "day" => 24 * 60 * 60,
        _ => return Err(form.to_owned()),
    };
    let seconds = number.checked_mul(seconds).ok_or(form)?;
    Ok((most, Duration::from_secs(seconds)))
}

pub(crate) async fn execute_limit(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let (scope, matches) = scope_of(matches);
    let operator = speaking(builder, matches);
    let mut limiting = operator.limit(scope);
    if let Some(most) = matches.get_one("concurrency") {
        limiting = limiting.concurrency(*most);
    }
    if let Some((most, time)) = matches.get_one("rate") {
        limiting = limiting.rate(*most, *time);
    }
    if let Some(burst) = matches.get_one("burst") {
        limiting = limiting.burst(*burst);
    }
    if matches.get_flag("unlimited") {
        limiting = limiting.unlimited();
    }
    if let Some(reason) = reason(matches) {
        limiting = limiting.because(reason);
    }
    if let Some(until) = matches.get_one("until") {
        limiting = limiting.until(*until);
    }
    let former = limiting.await?;
    println!("limited; what runs goes on");
    for former in former {
        println!("before: {former}");
    }
    Ok(())
}

pub(crate) async fn execute_reset(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let (scope, matches) = scope_of(matches);
    let resetting = speaking(builder, matches).reset_limits(scope.clone());
    let former = resetting.because_if(reason(matches)).await?;
    if former.is_empty() {
        println!("{scope}: nobody has overridden its limits");
    } else {
        println!("{scope} is limited as programs declare");
    }
    for former in former {
        println!("before: {former}");
    }
    Ok(())
}

pub(crate) async fn execute_limits(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let limits = operator(builder).limits().await?;
    table::print(matches, &limits, "nothing is limited", list)
}

fn list(limits: &[Limit]) -> Table {
    let mut table = Table::new(&["OF", "NAME", "KIND", "HOLDS"]);
    for limit in limits {
        let (word, name) = limit.scope.parts();
        let holds = match limit.in_force {
            Some(bound) => bound.to_string(),
            None => "lifted".to_owned(),
        };
        let word = word.replace("task_", "");
        table.row([word, name.to_owned(), limit.kind.clone(), holds]);
        if let Some(said) = &limit.overridden {
            let until = said.until.as_ref().map(seconds);
            let until = until.map_or_else(String::new, |until| format!(" until {until}"));
            table.below(&format!(
                "by {} since {}{until}",
                said.by,
                seconds(&said.at)
            ));
            if let Some(declared) = limit.declared {
                table.below(&format!("declared: {declared}"));
            }
            if let Some(reason) = &said.reason {
                table.below(reason);
            }
        }
    }
    table
}

fn scope_of(matches: &ArgMatches) -> (LimitScope, &ArgMatches) {
    let name = |matches: &ArgMatches| {
        let name: Option<&String> = matches.get_one("name");
        name.cloned().unwrap_or_default()
    };
    match matches.subcommand() {
        Some(("queue", matches)) => (Queue(&name(matches)).into(), matches),
        Some(("type", matches)) => (TaskType(&name(matches)).into(), matches),
        Some(("key", matches)) => (EachKey(&name(matches)).into(), matches),
        _ => unreachable!("clap asks for one of the three"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_of_starts_and_a_time() {
        let seconds = |text| rate(text).map(|(most, time)| (most, time.as_secs()));
        assert_eq!(seconds("100/min"), Ok((100, 60)));
        assert_eq!(seconds("5/s"), Ok((5, 1)));
        assert_eq!(seconds("20/90s"), Ok((20, 90)));
        for wrong in ["100", "many/min", "5/fortnight", "5/90", "/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
