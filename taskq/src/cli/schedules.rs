//! `schedules` and `cron`: what ticks when, and an operator's word about it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::said::{named, reason, time, who_and_why};
use super::{by_hand, missing, schedule_table};
use crate::calendar::{Calendar, CatchUp, Overlap};
use crate::error::BoxError;
use crate::operate::schedules::{Schedules, schedules};
use crate::store::Store;
use crate::worker::WorkerBuilder;

pub(crate) fn command() -> Command {
    let of_one = |verb: &'static str, about: &'static str| {
        who_and_why(Command::new(verb).about(about).arg(named()))
    };
    Command::new("schedules")
        .about(
            "Lists the schedules: when they tick, how far they have come, what is wrong with them",
        )
        .args_conflicts_with_subcommands(true)
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Prints the list as JSON"),
        )
        .subcommand(of_one(
            "pause",
            "Stops a schedule from ticking, until it is resumed",
        ))
        .subcommand(of_one(
            "resume",
            "Lets a schedule tick again; ticks that came meanwhile are not made up",
        ))
        .subcommand(of_one(
            "run",
            "Enqueues a task of a schedule now, even if it is paused",
        ))
        .subcommand(
            of_one(
                "backfill",
                "Enqueues the tasks of all ticks in a span of time that is over",
            )
            .arg(
                a_time("from", "FROM")
                    .required(true)
                    .help("The beginning of the span"),
            )
            .arg(
                a_time("to", "TO")
                    .required(true)
                    .help("Its end, which is excluded"),
            ),
        )
        .subcommand(upsert())
        .subcommand(of_one(
            "remove",
            "Undoes what was said of a schedule by hand: what a program declares holds again",
        ))
}

fn upsert() -> Command {
    let text = |id, name, help| Arg::new(id).value_name(name).required(true).help(help);
    let option = |id, name, help| Arg::new(id).long(id).value_name(name).help(help);
    let command = Command::new("upsert")
        .about("Makes a schedule, or changes it; what is said here holds before what a program declares")
        .arg(named())
        .arg(text("expression", "EXPR", "Five fields, or six with the second first, in quotes"))
        .arg(text("type", "TYPE", "The type of its tasks"));
    by_hand::of_payload(command)
        .arg(timezone())
        .arg(
            option("catch-up", "WHAT", "What becomes of ticks that were missed")
                .value_parser(["none", "once", "all"])
                .default_value("once"),
        )
        .arg(
            option(
                "overlap",
                "WHAT",
                "What a tick does while the last task is there",
            )
            .value_parser(["allow", "skip", "one_waiting"])
            .default_value("allow"),
        )
        .arg(
            option(
                "catch-up-within",
                "AGE",
                "How long ago ticks may have been that are made up, such as 30m, 1h or 2d",
            )
            .value_parser(by_hand::age),
        )
        .arg(
            option(
                "jitter",
                "AGE",
                "How much later its tasks start at the most, such as 90s",
            )
            .value_parser(by_hand::age),
        )
        .arg(option(
            "queue",
            "NAME",
            "The queue, if not that of its type",
        ))
        .arg(
            option(
                "priority",
                "NUMBER",
                "The priority, if not that of its type; smaller runs earlier",
            )
            .value_parser(value_parser!(i16))
            .allow_negative_numbers(true),
        )
}

fn timezone() -> Arg {
    Arg::new("timezone")
        .long("timezone")
        .value_name("ZONE")
        .default_value("UTC")
        .help("On whose clocks, such as Europe/Zurich")
}

pub(crate) fn cron() -> Command {
    Command::new("cron")
        .about("Reads cron expressions")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("next")
                .about("Tells when an expression ticks next")
                .arg(
                    Arg::new("expression")
                        .value_name("EXPR")
                        .required(true)
                        .help("Five fields, or six with the second first, in quotes"),
                )
                .arg(
                    Arg::new("count")
                        .short('n')
                        .value_name("COUNT")
                        .default_value("1")
                        .value_parser(value_parser!(u16).range(1..=1000))
                        .help("How many ticks"),
                )
                .arg(timezone())
                .arg(
                    a_time("from", "TIME").long("from").help(
                        "After which time; otherwise that is now, by the clock of the database",
                    ),
                ),
        )
}

fn a_time(id: &'static str, name: &'static str) -> Arg {
    Arg::new(id).value_name(name).value_parser(time)
}

pub(crate) async fn execute(builder: &WorkerBuilder, matches: &ArgMatches) -> Result<(), BoxError> {
    let mut connection = builder.pool().acquire().await?;
    let mut schedules = schedules(&mut connection).schema(builder.tables());
    let Some((verb, matches)) = matches.subcommand() else {
        return list(&mut schedules, matches.get_flag("json")).await;
    };
    if let Some(user) = matches.get_one::<String>("as-user") {
        schedules = schedules.as_user(user);
    }
    if let Some(reason) = reason(matches) {
        schedules = schedules.because(reason);
    }
    let name: &String = matches.get_one("name").expect("clap requires it");
    match verb {
        "pause" => {
            let former = schedules.pause(name).await?;
            match missing::schedule(name, &schedules.list().await?) {
                Some(missing) => println!("{missing}"),
                None => println!(
                    "schedule {name} is paused: it ticks no more, and what it has enqueued runs"
                ),
            }
            former
                .iter()
                .for_each(|former| println!("before: {former}"));
        }
        "resume" => match schedules.resume(name).await? {
            Some(former) => println!("schedule {name} is resumed\nbefore: {former}"),
            None => println!("schedule {name} was not paused"),
        },
        "upsert" => {
            let text = |id| matches.get_one::<String>(id).map_or("", String::as_str);
            let (task_type, payload) = (text("type"), by_hand::payload(matches)?);
            let registry = builder.registry()?;
            let handler = by_hand::checked(&registry, task_type, &payload, matches)?;
            let declared = handler.map(|handler| &handler.options);
            let texts = [name, text("expression"), text("timezone")];
            let mut upsert = schedules
                .upsert_by_name(texts, (task_type, declared), payload)
                .catch_up(CatchUp::of_word(text("catch-up")))
                .overlap(Overlap::of_word(text("overlap")));
            if let Some(queue) = matches.get_one::<String>("queue") {
                upsert = upsert.queue(queue);
            }
            if let Some(priority) = matches.get_one("priority") {
                upsert = upsert.priority(*priority);
            }
            let age = |id| matches.get_one(id).copied().map(Duration::from_secs);
            if let Some(within) = age("catch-up-within") {
                upsert = upsert.catch_up_within(within);
            }
            if let Some(jitter) = age("jitter") {
                upsert = upsert.jitter(jitter);
            }
            println!("{}", upsert.await?.said(name));
        }
        "run" => {
            let task_id = schedules.run_now(name).await?;
            println!("task {task_id} is enqueued");
        }
        "backfill" => {
            let at = |id| {
                *matches
                    .get_one::<DateTime<Utc>>(id)
                    .expect("clap requires it")
            };
            let task_ids = schedules.backfill(name, at("from")..at("to")).await?;
            match (task_ids.first(), task_ids.last()) {
                (Some(first), Some(last)) => {
                    println!("{} tasks are enqueued, {first} to {last}", task_ids.len());
                }
                _ => println!("schedule {name} has no tick in this span"),
            }
        }
        "remove" => println!("{}", schedules.remove(name).await?.said(name)),
        _ => unreachable!("clap asks for one of the verbs"),
    }
    Ok(())
}

async fn list(schedules: &mut Schedules<'_>, as_json: bool) -> Result<(), BoxError> {
    let all = schedules.list().await?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    match all.as_slice() {
        [] => println!("there is no schedule"),
        all => print!("{}", schedule_table::of(all)),
    }
    Ok(())
}

pub(crate) async fn execute_cron(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let Some(("next", matches)) = matches.subcommand() else {
        unreachable!("clap asks for it");
    };
    let text = |id| {
        let text: Option<&String> = matches.get_one(id);
        text.cloned().unwrap_or_default()
    };
    let count = *matches.get_one::<u16>("count").unwrap_or(&1);
    let zone = text("timezone");
    let calendar = Calendar::parse(&text("expression"), &zone)?;
    let from = match matches.get_one::<DateTime<Utc>>("from") {
        Some(from) => *from,
        None => {
            let mut store = Store::keeping(builder.pool().clone(), builder.tables());
            let now = store.now().await;
            now.map_err(|error| {
                format!("cannot ask the database for the time: {error}; or give --from")
            })?
        }
    };
    let mut after = from;
    for _ in 0..count {
        let Some(tick) = calendar.next_after(after) else {
            println!("never again");
            break;
        };
        println!("{}", calendar.show(tick));
        after = tick;
    }
    Ok(())
}
