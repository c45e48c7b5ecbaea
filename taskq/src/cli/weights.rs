//! `weight` and `weights`: how many tasks a turn of a key is, where keys have fair turns.

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use serde_json::Value;

use super::said::{json, operator, seconds, speaking};
use super::table::{self, Table};
use crate::error::BoxError;
use crate::operate::weight::KeyWeight;
use crate::worker::WorkerBuilder;

pub(crate) fn weight() -> Command {
    let text = |id, name| Arg::new(id).long(id).value_name(name);
    Command::new("weight")
        .about("Sets how many tasks a key gets in each turn, where a task type has fair turns")
        .arg(
            Arg::new("name")
                .value_name("TASK_TYPE")
                .required(true)
                .help("The task type, which has fair turns"),
        )
        .arg(
            Arg::new("key")
                .value_name("KEY")
                .required(true)
                .value_parser(key)
                .help("The fields that make the key, as JSON: {\"tenant_id\": 7}"),
        )
        .arg(
            text("set", "NUMBER")
                .value_parser(clap::value_parser!(u32))
                .help("How many, from 1 to 1000, where other keys have one"),
        )
        .arg(
            Arg::new("reset")
                .long("reset")
                .action(ArgAction::SetTrue)
                .help("One task, as other keys have"),
        )
        .group(ArgGroup::new("how").args(["set", "reset"]).required(true))
        .arg(text("because", "WHY").help("Says why; lists show it"))
        .arg(
            text("as-user", "WHO")
                .help("Says who does it; otherwise that is the role that logs in to the database"),
        )
}

pub(crate) fn weights() -> Command {
    Command::new("weights")
        .about("Lists the weights of keys that somebody has set")
        .arg(json())
}

fn key(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(key @ Value::Object(_)) => Ok(key),
        _ => Err("write the fields that make the key as JSON, such as {\"tenant_id\": 7}".into()),
    }
}

pub(crate) async fn execute_weight(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let text = |id| matches.get_one::<String>(id);
    let operator = speaking(builder, matches);
    let name = text("name").cloned().unwrap_or_default();
    let key = matches.get_one::<Value>("key").cloned().unwrap_or_default();
    let weighing = operator.weight(name, key);
    let mut weighing = match matches.get_one("set") {
        Some(weight) => weighing.set(*weight),
        None => weighing.reset(),
    };
    if let Some(reason) = text("because") {
        weighing = weighing.because(reason);
    }
    let former = weighing.await?;
    println!("said; the next claims keep to it");
    if let Some(former) = former {
        println!("before: {former}");
    }
    Ok(())
}

pub(crate) async fn execute_weights(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let weights = operator(builder).weights().await?;
    table::print(matches, &weights, "no key has a weight but 1", list)
}

fn list(weights: &[KeyWeight]) -> Table {
    let mut table = Table::new(&["WEIGHT", "SINCE", "BY", "TYPE", "KEY"]).right(0);
    for weight in weights {
        table.row([
            weight.weight.to_string(),
            seconds(&weight.said_at),
            weight.by.clone(),
            weight.task_type.clone(),
            weight.key.to_string(),
        ]);
        if let Some(reason) = &weight.reason {
            table.below(reason);
        }
    }
    table
}
