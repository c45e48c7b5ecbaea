//! `causes`: of what dead tasks have died.

use std::fmt::Write as _;

use clap::{Arg, ArgMatches, Command};

use super::list::{filter, filter_of, looks};
use super::said::{json, operator, seconds};
use super::text::{cut, printable};
use crate::error::BoxError;
use crate::operate::cause::Causes;
use crate::worker::WorkerBuilder;

pub(crate) fn command() -> Command {
    Command::new("causes")
        .about("Groups dead tasks by what they died of, the most frequent cause first; cancelled ones with state:cancelled")
        .arg(filter())
        .arg(
            Arg::new("most")
                .long("most")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(u16).range(1..=1_000))
                .default_value("50")
                .help("How many at the most, up to 1000"),
        )
        .arg(looks("Counts so many dead tasks, or reads a tenth as many"))
        .arg(json())
}

pub(crate) async fn execute(builder: &WorkerBuilder, matches: &ArgMatches) -> Result<(), BoxError> {
    let most = matches.get_one("most").copied().unwrap_or(50);
    let mut finding = operator(builder).causes(&filter_of(matches)?).most(most);
    if let Some(looks) = matches.get_one("looks") {
        finding = finding.looks(*looks);
    }
    let causes = finding.await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&causes)?);
    } else {
        print!("{}", text(&causes)?);
    }
    Ok(())
}

fn text(causes: &Causes) -> Result<String, BoxError> {
    let mut text = String::new();
    if causes.causes.is_empty() {
        text.push_str("no dead task matches\n");
    } else {
        writeln!(text, "{:>8}  {:16}  {:20}  TYPE", "TASKS", "CAUSE", "LAST")?;
    }
    for cause in &causes.causes {
        let last = seconds(&cause.last_at);
        let task_type = cut(&cause.task_type, 30);
        let more = if cause.and_more { "+" } else { "" };
        let total = format!("{}{more}", cause.total);
        writeln!(text, "{total:>8}  {}  {last}  {task_type}", cause.cause)?;
        let error = cause.error.as_deref().unwrap_or("no error");
        writeln!(
            text,
            "  {}",
            cut(&format!("{}: {}", cause.state, printable(error)), 78)
        )?;
    }
    match causes.read {
        Some(read) => writeln!(
            text,
            "of the newest {read} dead tasks alone, and there may be more: --looks"
        )?,
        None if causes.stopped => writeln!(
            text,
            "there are more than 1000 causes: these are of the newest dead tasks"
        )?,
        None => {}
    }
    Ok(text)
}
