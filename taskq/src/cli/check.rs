//! `check`: would this program run what is in the tables?

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::said::json;
use crate::error::BoxError;
use crate::error::error_text;
use crate::operate::check::{CheckReport, Finding, Stranded, StrandedSchedule};
use crate::worker::WorkerBuilder;

/// The tables could not be read. They may hold nothing that would be stranded, so the exit code is not 1.
const NOT_CHECKED: u8 = 2;

pub(crate) fn command() -> Command {
    Command::new("check")
        .about("Decodes every waiting and running task with this program, and changes nothing")
        .arg(json())
}

/// Runs the check, and prints its report.
pub(crate) async fn execute(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let report = match builder.check().await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {}", error_text(&error));
            return Ok(ExitCode::from(NOT_CHECKED));
        }
    };
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report)?);
    }
    if report.is_clean() {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

/// Writes a report for people.
fn text(report: &CheckReport) -> Result<String, BoxError> {
    let CheckReport {
        waiting,
        running,
        stranded,
        findings,
        omitted,
        schedules,
    } = report;
    let verdict = match stranded {
        0 => "this program would run them all".to_owned(),
        _ => format!("this program would not run {stranded} of them"),
    };
    let mut text = format!("{waiting} waiting and {running} running tasks: {verdict}\n");
    for finding in findings {
        let Finding {
            task_type,
            reason,
            count,
            task_ids,
        } = finding;
        let (what, way_out) = explained(task_type, reason);
        writeln!(text, "\n{task_type}: {count} {what}")?;
        let ids: Vec<String> = task_ids.iter().map(ToString::to_string).collect();
        let more = if *count > ids.len() as u64 {
            ", …"
        } else {
            ""
        };
        writeln!(text, "  task_id {}{more}", ids.join(", "))?;
        writeln!(text, "  {way_out}")?;
    }
    if *omitted > 0 {
        writeln!(
            text,
            "\n{omitted} more, of further types or with further paths"
        )?;
    }
    for schedule in schedules {
        let StrandedSchedule {
            name,
            task_type,
            problem,
        } = schedule;
        writeln!(text, "\nschedule {name}, of {task_type}: {problem}")?;
        writeln!(
            text,
            "  Say another expression or payload of it, remove it, or have the program take its tasks"
        )?;
    }
    Ok(text)
}

/// Says what is wrong with tasks, to follow their number, and what to do.
fn explained(task_type: &str, reason: &Stranded) -> (String, String) {
    match reason {
        Stranded::UnknownType { similar } => {
            let meant = similar.map(|name| format!("; did you mean `{name}`?"));
            (
                format!(
                    "of a type that is not implemented{}",
                    meant.unwrap_or_default()
                ),
                format!(
                    "They would wait. Link the crate of the handler, write `alias = \"{task_type}\"` in the `#[task]` that is to take them, or leave a worker running that knows the type"
                ),
            )
        }
        Stranded::NewerVersion { version, known } => (
            format!("of version {version}, and this program knows none after {known}"),
            "They would wait for a newer worker. Leave one running, or deploy a program that knows that version".to_owned(),
        ),
        Stranded::Invalid { path, error } => (
            format!("invalid at `{path}`: {error}"),
            "They would be set aside as invalid. Have the program take them, by `#[serde(default)]`, `#[serde(alias = \"…\")]` or a `version` with its `upgrade`, or mend the column `payload` of these rows".to_owned(),
        ),
    }
}
