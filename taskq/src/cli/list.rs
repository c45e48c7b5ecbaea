//! `list`: the tasks that match a filter, as a table that fits eighty columns.

use std::fmt::Write as _;

use clap::{Arg, ArgMatches, Command};

use super::said::{json, operator, seconds};
use super::text::cut;
use crate::error::BoxError;
use crate::operate::filter::Filter;
use crate::operate::list::{Cursor, FoundTask, Page};
use crate::worker::WorkerBuilder;

/// As wide as a terminal is at the least.
const WIDTH: usize = 80;

/// Searches look at so many tasks unless somebody says otherwise.
pub(super) const LOOKS: u32 = 100_000;

/// How wide `STATE` is.
const STATE: usize = 11;

/// How wide a time is, to the second.
const TIME: usize = 20;

/// A name of a queue that is longer is cut.
const WIDEST_QUEUE: usize = 14;

pub(crate) fn command() -> Command {
    Command::new("list")
        .about("Lists the tasks that match a filter, the newest first")
        .arg(filter())
        .arg(
            Arg::new("most")
                .long("most")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(u16).range(1..=1_000))
                .default_value("50")
                .help("How many at the most, up to 1000"),
        )
        .arg(
            Arg::new("after")
                .long("after")
                .value_name("NEXT")
                .help("Goes on where another list ended"),
        )
        .arg(looks(
            "Looks at so many tasks of each place before it stops",
        ))
        .arg(json())
}

/// Says how far a search goes.
pub(super) fn looks(help: &'static str) -> Arg {
    Arg::new("looks")
        .long("looks")
        .value_name("NUMBER")
        .value_parser(clap::value_parser!(u32).range(1..))
        .help(format!("{help}; otherwise {LOOKS}"))
}

pub(super) fn filter() -> Arg {
    Arg::new("filter").value_name("FILTER").num_args(0..).help(
        "Which tasks: 'state:dead type:send_* queue:mail payload.usr_id:42 older:1h error:\"timed out\"'",
    )
}

pub(super) fn filter_of(matches: &ArgMatches) -> Result<Filter, BoxError> {
    let words = matches.get_many::<String>("filter").into_iter().flatten();
    let words: Vec<&str> = words.map(String::as_str).collect();
    Ok(words.join(" ").parse()?)
}

pub(crate) async fn execute(builder: &WorkerBuilder, matches: &ArgMatches) -> Result<(), BoxError> {
    let number = |id| matches.get_one(id).copied();
    let mut listing = operator(builder).list(&filter_of(matches)?);
    if let Some(most) = number("most") {
        listing = listing.most(most);
    }
    if let Some(looks) = matches.get_one("looks") {
        listing = listing.looks(*looks);
    }
    if let Some(after) = matches.get_one::<String>("after") {
        listing = listing.after(after.parse::<Cursor>()?);
    }
    let page = listing.await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&page)?);
    } else {
        print!("{}", table(&page)?);
    }
    Ok(())
}

fn table(page: &Page) -> Result<String, BoxError> {
    let mut text = String::new();
    if page.tasks.is_empty() && !page.stopped {
        text.push_str("no task matches\n");
    }
    let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or_default();
    let id = widest(&mut page.tasks.iter().map(|task| task.task_id.to_string().len())).max(2);
    let queues = &mut page.tasks.iter().map(|task| task.queue.chars().count());
    let queue = widest(queues).clamp("QUEUE".len(), WIDEST_QUEUE);
    let task_type = WIDTH.saturating_sub(id + STATE + TIME + queue + 8);
    let line = |cells: [&str; 5]| {
        let [first, state, at, name, last] = cells;
        let (name, last) = (cut(name, task_type), cut(last, queue));
        let line = format!("{first:>id$}  {state:STATE$}  {at:TIME$}  {name:task_type$}  {last}");
        format!("{}\n", line.trim_end())
    };
    if !page.tasks.is_empty() {
        text.push_str(&line(["ID", "STATE", "SINCE", "TYPE", "QUEUE"]));
    }
    for task in &page.tasks {
        let FoundTask {
            task_id,
            state,
            at,
            task_type,
            queue,
            ..
        } = task;
        let (task_id, at) = (task_id.to_string(), seconds(at));
        text.push_str(&line([&task_id, state.name(), &at, task_type, queue]));
        if let Some(error) = &task.error {
            writeln!(text, "  {}", cut(error, WIDTH - 2))?;
        }
    }
    if page.stopped {
        let found = match page.tasks.len() {
            0 => "none that matches".to_owned(),
            found => format!("{found} that match"),
        };
        writeln!(
            text,
            "stopped looking: {found} so far, and there are more to look at"
        )?;
    }
    if let Some(next) = &page.next {
        writeln!(text, "go on: --after {next}")?;
    }
    Ok(text)
}
