//! `edit` and `enqueue`: payloads that an operator writes, decoded by this program before they are written.

use chrono::{DateTime, Utc};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::value::RawValue;

use super::said::{speaking, time, who_and_why};
use super::text::printable;
use crate::error::{BoxError, error_text};
use crate::operate::filter::Age;
use crate::task::registration::Registration;
use crate::task::registry::Registry;
use crate::task::unique::EnqueueOutcome;
use crate::worker::WorkerBuilder;

pub(crate) fn edit() -> Command {
    let command = Command::new("edit")
        .about("Gives a dead task another payload, and lets it run again")
        .arg(
            Arg::new("id")
                .value_name("ID")
                .value_parser(clap::value_parser!(i64))
                .required(true)
                .help("The id of the task"),
        );
    of_payload(command).arg(at())
}

pub(crate) fn enqueue() -> Command {
    let text = |id, name| Arg::new(id).long(id).value_name(name);
    let command = Command::new("enqueue")
        .about("Enqueues a task by the name of its type")
        .arg(
            Arg::new("type")
                .value_name("TYPE")
                .required(true)
                .help("The task type"),
        );
    of_payload(command)
        .arg(at().conflicts_with("delay"))
        .arg(
            text("delay", "AGE")
                .value_parser(age)
                .help("Starts it after a time such as 90s, 30m, 1h or 2d"),
        )
        .arg(text("queue", "NAME").help("The queue, if not that of its type"))
        .arg(
            text("priority", "NUMBER")
                .value_parser(clap::value_parser!(i16))
                .allow_negative_numbers(true)
                .help("The priority, if not that of its type; smaller runs earlier"),
        )
}

pub(super) fn of_payload(command: Command) -> Command {
    let command = command
        .arg(
            Arg::new("payload")
                .value_name("JSON")
                .value_parser(|text: &str| RawValue::from_string(text.to_owned()))
                .required(true)
                .help("The payload, as JSON"),
        )
        .arg(
            Arg::new("unchecked")
                .long("unchecked")
                .action(ArgAction::SetTrue)
                .help("Takes the payload of a task type that this program does not have, or cannot decode"),
        );
    who_and_why(command)
}

fn at() -> Arg {
    Arg::new("at")
        .long("at")
        .value_name("TIME")
        .value_parser(time)
        .help("Runs it at a time such as 2026-03-01T07:30:00Z, and not now")
}

pub(super) fn age(text: &str) -> Result<u64, String> {
    let age = Age::read(text).map(Age::seconds);
    age.ok_or_else(|| "write a number with s, m, h, d or w, as in 90s or 1h".to_owned())
}

pub(crate) async fn execute_edit(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let operator = speaking(builder, matches);
    let id = matches.get_one("id").copied().unwrap_or_default();
    let payload = payload(matches)?;
    let Some(task) = operator.show(id).await? else {
        return Err(operator.gone(id).await?.to_string().into());
    };
    let registry = builder.registry()?;
    let mut editing = operator.edit(id, payload.clone());
    // For its handler to read: nothing of it is printed.
    let edited = operator.edited_payload(id, &payload).await?;
    if let Some(handler) = checked(&registry, &task.task_type, &edited, matches)? {
        editing = editing.version(handler.options.version);
    }
    if let Some(at) = matches.get_one::<DateTime<Utc>>("at") {
        editing = editing.at(*at);
    }
    if let Some(reason) = matches.get_one::<String>("because") {
        editing = editing.because(reason);
    }
    let was = editing.await?;
    println!("task {id} waits to run with its new payload: it was {was}");
    Ok(())
}

pub(crate) async fn execute_enqueue(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let text = |id| matches.get_one::<String>(id);
    let operator = speaking(builder, matches);
    let payload = payload(matches)?;
    let name = text("type").map(String::as_str).unwrap_or_default();
    let registry = builder.registry()?;
    let mut task = operator.enqueue(name, payload.clone());
    if let Some(handler) = checked(&registry, name, &payload, matches)? {
        task = task.declared(&handler.options);
    }
    if let Some(queue) = text("queue") {
        task = task.queue(queue);
    }
    if let Some(priority) = matches.get_one("priority") {
        task = task.priority(*priority);
    }
    if let Some(at) = matches.get_one::<DateTime<Utc>>("at") {
        task = task.at(*at);
    }
    if let Some(seconds) = matches.get_one("delay") {
        task = task.delay(*seconds);
    }
    if let Some(reason) = text("because") {
        task = task.because(reason);
    }
    let (id, outcome) = task.await?;
    match outcome {
        EnqueueOutcome::Created => println!("task {id} waits"),
        EnqueueOutcome::Existing => println!("task {id} has the key already, and stays as it is"),
        EnqueueOutcome::Replaced => {
            println!("task {id} had the key already, and has got this payload")
        }
    }
    Ok(())
}

pub(super) fn payload(matches: &ArgMatches) -> Result<Box<RawValue>, BoxError> {
    let payload: Option<&Box<RawValue>> = matches.get_one("payload");
    Ok(payload.cloned().ok_or("clap asks for it")?)
}

/// Decodes a payload as the handler of its type would, and returns that; `None` if nobody asked for that.
pub(super) fn checked<'a>(
    registry: &'a Registry,
    task_type: &str,
    payload: &RawValue,
    matches: &ArgMatches,
) -> Result<Option<&'a Registration>, BoxError> {
    if matches.get_flag("unchecked") {
        return Ok(None);
    }
    let name = printable(task_type);
    let Some(handler) = registry.find(task_type) else {
        let similar = registry.similar_to(task_type);
        let similar = similar.map_or_else(String::new, |similar| {
            format!("; did you mean `{similar}`?")
        });
        let way_out = "--unchecked takes the payload as it is";
        return Err(format!("this program has no task type `{name}`{similar} ({way_out})").into());
    };
    match handler.reads(task_type, payload, Some(handler.options.version)) {
        Ok(()) => Ok(Some(handler)),
        Err(error) => {
            let why = error_text(&error);
            Err(format!("of task type `{name}`: {why}").into())
        }
    }
}
