//! `stats`, `minutes` and `load`: how much there is, and what was done.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::said::{json, operator};
use super::table::{self, Table};
use super::text::{in_words, up_to};
use crate::error::BoxError;
use crate::operate::filter::Age;
use crate::operate::minutes::{Minute, Spread};
use crate::operate::stats::{KindStats, Stats};
use crate::worker::WorkerBuilder;

pub(crate) fn stats() -> Command {
    Command::new("stats")
        .about("Tells how much of each queue and task type is due, is due later, runs and is dead")
        .arg(json())
}

pub(crate) fn minutes() -> Command {
    Command::new("minutes")
        .about("Tells what workers have done of each queue and task type, and how long it took")
        .arg(
            Arg::new("since")
                .long("since")
                .value_name("AGE")
                .value_parser(|text: &str| {
                    let form = "write a number with s, m, h or d, as in 30m or 1h";
                    Age::read(text).ok_or(form)
                })
                .default_value("1h")
                .help("How far back: 30m, 1h, 2d; what is older than two days is gone"),
        )
        .arg(json())
}

pub(crate) fn load() -> Command {
    Command::new("load")
        .about("Prints how many tasks of a queue could run now if there were workers enough, for autoscalers")
        .arg(
            Arg::new("queue")
                .value_name("QUEUE")
                .required(true)
                .help("The name of the queue"),
        )
}

pub(crate) async fn execute_stats(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let stats = operator(builder).stats().await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&stats)?);
        return Ok(());
    }
    let mut kinds = stats.kinds.clone();
    kinds.sort_by_key(|kind| (kind.oldest_due_at.is_none(), kind.oldest_due_at));
    let nothing = "nothing waits, runs or is dead";
    table::print(matches, &kinds, nothing, |kinds| list(&stats, kinds))?;
    if stats.stopped {
        println!("stopped looking: there are more kinds");
    }
    Ok(())
}

fn list(stats: &Stats, kinds: &[KindStats]) -> Table {
    let head = &[
        "QUEUE", "TYPE", "DUE", "OLDEST", "LATER", "RUNS", "DEAD", "",
    ];
    let mut table = Table::new(head);
    for column in 2..=6 {
        table = table.right(column);
    }
    for kind in kinds {
        let counted = |number| up_to(number, kind.counted_to);
        let oldest = kind.oldest_due_at.map(|at| stats.at - at);
        let oldest = oldest.map_or_else(|| "-".to_owned(), |age| in_words(age.num_seconds()));
        let waits = kind.due + kind.scheduled > 0;
        let trouble = match () {
            () if kind.is_paused => "paused",
            () if waits && !kind.is_served => "no worker",
            () => "",
        };
        table.row([
            kind.queue.clone(),
            kind.task_type.clone(),
            counted(kind.due),
            oldest,
            counted(kind.scheduled),
            kind.running.to_string(),
            counted(kind.dead),
            trouble.to_owned(),
        ]);
    }
    table
}

/// What was done of one kind.
#[derive(Debug, Default)]
struct Done {
    completed: i64,
    failed: i64,
    died: i64,
    wait: Spread,
    run: Spread,
}

pub(crate) async fn execute_minutes(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let age: &Age = matches.get_one("since").ok_or("clap has a default")?;
    let since = Duration::from_secs(age.seconds());
    let minutes = operator(builder).minutes(since).await?;
    let nothing = format!("workers have written nothing in the last {age}");
    table::print(matches, &minutes, &nothing, by_kind)
}

fn by_kind(minutes: &[Minute]) -> Table {
    let mut kinds: BTreeMap<(&str, &str), Done> = BTreeMap::new();
    for minute in minutes {
        let done = kinds.entry((&minute.queue, &minute.task_type)).or_default();
        done.completed += minute.completed;
        done.failed += minute.failed;
        done.died += minute.died;
        done.wait.merge(&minute.wait);
        done.run.merge(&minute.run);
    }
    let head = &[
        "QUEUE",
        "TYPE",
        "DONE",
        "FAILED",
        "DIED",
        "WAIT 50 %",
        "95 %",
        "RUN 50 %",
        "95 %",
    ];
    let mut table = Table::new(head);
    for column in 2..=8 {
        table = table.right(column);
    }
    for ((queue, task_type), done) in kinds {
        let time = |spread: &Spread, part| {
            let time = spread.quantile(part);
            time.map_or_else(|| "-".to_owned(), shown)
        };
        table.row([
            queue.to_owned(),
            task_type.to_owned(),
            done.completed.to_string(),
            done.failed.to_string(),
            done.died.to_string(),
            time(&done.wait, 0.5),
            time(&done.wait, 0.95),
            time(&done.run, 0.5),
            time(&done.run, 0.95),
        ]);
    }
    table
}

fn shown(time: Duration) -> String {
    match time.as_millis() {
        milliseconds @ 0..1_000 => format!("{milliseconds} ms"),
        _ => in_words(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)),
    }
}

pub(crate) async fn execute_load(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let queue: &String = matches.get_one("queue").ok_or("clap asks for it")?;
    println!("{}", operator(builder).load(queue).await?);
    Ok(())
}
