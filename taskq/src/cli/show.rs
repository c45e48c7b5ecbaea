//! `show`: all that is stored of one task.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::said::{json, operator, seconds};
use super::text::{WIDTH, advised, cut, printable};
use super::{attempts, log};
use crate::attempt::batch::MOST;
use crate::attempt::bounds::{GIVES_UP, SNOOZES};
use crate::error::BoxError;
use crate::operate::logs::AttemptLog;
use crate::operate::show::{TaskDetails, TaskEvent};
use crate::worker::WorkerBuilder;

/// A payload that is longer is cut: `--json` shows all of it.
const LONGEST: usize = 4_000;

pub(crate) fn command() -> Command {
    Command::new("show")
        .about("Shows all that is stored of one task, and why it does not run: payload, errors, timeline, result, what operators did")
        .arg(
            Arg::new("id")
                .value_name("ID")
                .value_parser(clap::value_parser!(i64))
                .required(true)
                .help("The id of the task"),
        )
        .arg(
            Arg::new("log")
                .long("log")
                .action(ArgAction::SetTrue)
                .help("Also shows the lines that its attempts have logged, where they are kept"),
        )
        .arg(json())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    task: &'a TaskDetails,
    timeline: Vec<TaskEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<AttemptLog>>,
}

pub(crate) async fn execute(builder: &WorkerBuilder, matches: &ArgMatches) -> Result<(), BoxError> {
    let id = matches.get_one("id").copied().unwrap_or_default();
    let Some(task) = operator(builder).show(id).await? else {
        return Err(operator(builder).gone(id).await?.to_string().into());
    };
    let log = match matches.get_flag("log") {
        true => Some(operator(builder).logs(id).await?),
        false => None,
    };
    if matches.get_flag("json") {
        let timeline = task.timeline();
        let shown = Shown {
            task: &task,
            timeline,
            log,
        };
        println!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        let mut text = text(&task, WIDTH)?;
        if let Some(log) = log {
            log::write(&mut text, id, &log)?;
        }
        print!("{text}");
    }
    Ok(())
}

/// Returns what is stored of a task; what is advised is set in lines of so many characters.
pub(super) fn text(task: &TaskDetails, width: usize) -> Result<String, BoxError> {
    let mut text = format!(
        "task {} of type {} is {}\n\n",
        task.task_id,
        printable(&task.task_type),
        task.state
    );
    let mut line = |name: &str, value: String| writeln!(text, "{name:11}{value}");
    let of = |most: Option<i32>| most.map_or_else(String::new, |most| format!(" of {most}"));
    line("queue", printable(&task.queue))?;
    line("priority", task.priority.to_string())?;
    line("version", task.payload_version.to_string())?;
    line(
        "attempts",
        format!("{}{}", task.attempts, of(task.max_attempts)),
    )?;
    if let Some(snoozes) = bound(task, SNOOZES) {
        line("snoozes", snoozes)?;
    }
    if let Some(at) = bound(task, GIVES_UP) {
        line("gives up", at)?;
    }
    if let Some(group_id) = task.group_id() {
        line("group", group_id.to_string())?;
    }
    if let Some(most) = bound(task, MOST) {
        line(
            "batch of",
            format!("{most} at the most, since a call for more of them failed"),
        )?;
    }
    if task.crashes > 0 {
        line("crashes", task.crashes.to_string())?;
    }
    if let Some(progress) = &task.progress {
        let said = printable(&progress.to_string());
        let (attempt, at) = (progress.attempt, seconds(&progress.said_at));
        line("progress", format!("{said} (attempt {attempt}, at {at})"))?;
    }
    if task.log_lines > 0 {
        let shows = format!("{} lines: show {} --log", task.log_lines, task.task_id);
        line("log", shows)?;
    }
    if let Some(cause) = &task.cause {
        line("cause", cause.clone())?;
    }
    if let Some(key) = &task.limit_key {
        line("key", printable(key))?;
    }
    for held in &task.unique_keys {
        line(
            "unique",
            format!("{} until {}", printable(held.key.get()), held.until),
        )?;
    }
    if let Some(worker_id) = &task.worker_id {
        let place = match &task.worker {
            Some(place) => format!(
                "process {} on {}, seen at {}",
                place.process_id,
                printable(&place.host),
                seconds(&place.seen_at)
            ),
            None => "not heard of any more".to_owned(),
        };
        line("worker", format!("{worker_id}: {place}"))?;
    }
    line("payload", json_text(&task.payload))?;
    if task.metadata.get() != "{}" {
        line("metadata", json_text(&task.metadata))?;
    }
    if let Some(result) = &task.result {
        line("result", json_text(result))?;
    }
    if let Some(refusal) = &task.refusal {
        line("refused", json_text(refusal))?;
    }
    text.push('\n');
    for reason in &task.why {
        let does = reason.command.as_deref().or(reason.statement.as_deref());
        text.push_str(&advised(
            &reason.said,
            reason.advice.as_deref(),
            does,
            width,
        ));
    }
    if !task.why.is_empty() {
        text.push('\n');
    }
    for event in task.timeline() {
        writeln!(text, "{}  {}", seconds(&event.at), printable(&event.text))?;
    }
    attempts::write(&mut text, &task.errors)?;
    Ok(text)
}

/// Returns what a task's type has written down about how far it goes.
fn bound(task: &TaskDetails, name: &str) -> Option<String> {
    let metadata: Value = serde_json::from_str(task.metadata.get()).ok()?;
    match metadata.get(name)? {
        Value::String(text) => Some(printable(text)),
        value => Some(value.to_string()),
    }
}

fn json_text(value: &RawValue) -> String {
    let text = value.get();
    match text.len() > LONGEST {
        true => format!(
            "{} ({} bytes; --json shows all)",
            cut(text, LONGEST),
            text.len()
        ),
        false => printable(text),
    }
}
