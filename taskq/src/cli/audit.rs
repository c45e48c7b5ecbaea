//! `audit`: who did what, and why.

use std::fmt::Write as _;

use clap::{Arg, ArgMatches, Command};

use super::said::{json, operator, seconds};
use super::text::printable;
use crate::error::BoxError;
use crate::operate::audit::{AuditPage, Audited};
use crate::worker::WorkerBuilder;

pub(crate) fn command() -> Command {
    Command::new("audit")
        .about("Tells who did what, when and why, the newest first")
        .arg(
            Arg::new("most")
                .long("most")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(u16).range(1..=1_000))
                .default_value("50")
                .help("How many at the most, up to 1000"),
        )
        .arg(
            Arg::new("before")
                .long("before")
                .value_name("NEXT")
                .value_parser(clap::value_parser!(i64))
                .help("Goes on where another page ended"),
        )
        .arg(json())
}

pub(crate) async fn execute(builder: &WorkerBuilder, matches: &ArgMatches) -> Result<(), BoxError> {
    let most = matches.get_one("most").copied().unwrap_or(50);
    let mut audit = operator(builder).audit().most(most);
    if let Some(before) = matches.get_one("before") {
        audit = audit.before(*before);
    }
    let page = audit.await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&page)?);
    } else {
        print!("{}", text(&page)?);
    }
    Ok(())
}

fn text(page: &AuditPage) -> Result<String, BoxError> {
    let mut text = String::new();
    if page.entries.is_empty() {
        text.push_str("nobody has done anything\n");
    }
    for entry in &page.entries {
        writeln!(text, "{}", printable(&line(entry)))?;
    }
    if let Some(next) = page.next {
        writeln!(text, "go on: --before {next}")?;
    }
    Ok(text)
}

/// `2026-03-01T07:30:00Z ada: retry of task 42 (send_card), which was discarded: SMTP works again`
fn line(entry: &Audited) -> String {
    let mut line = format!("{} {}: {}", seconds(&entry.at), entry.by, entry.what());
    let to = entry.to();
    if !to.is_empty() {
        line.push_str(&format!(" of {to}"));
    }
    if let Some(task_type) = &entry.task_type {
        line.push_str(&format!(" ({task_type})"));
    }
    if let Some(before) = entry.before() {
        let which = if before.starts_with("was ") {
            "which "
        } else {
            ""
        };
        line.push_str(&format!(", {which}{before}"));
    }
    if let Some(reason) = &entry.reason {
        line.push_str(&format!(": {reason}"));
    }
    line
}
