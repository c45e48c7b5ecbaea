//! All that match: `retry --all 'FILTER'` and its like, and `bulk`, which goes on with what was left.

use std::io::{IsTerminal, stderr, stdin};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::said::{json, operator, reason, speaking, who, who_and_why};
use super::text::{printable, quoted};
use crate::error::BoxError;
use crate::operate::bulk::{Bulk, BulkVerb, Freezing};
use crate::operate::filter::Filter;
use crate::operate::pause::Operator;
use crate::worker::WorkerBuilder;

/// Nobody said yes, and there is nobody to ask.
pub(super) const NOT_SAID: u8 = 2;

/// It was done to some, and not to all.
const PARTLY: u8 = 3;

/// How wide the progress is drawn.
const BAR: u64 = 30;

/// So many failures are printed.
const SHOWN_FAILURES: usize = 10;

/// The arguments of a verb that is said of all that match.
pub(super) fn arguments(command: Command) -> Command {
    let flag = |id, help| {
        Arg::new(id)
            .long(id)
            .action(ArgAction::SetTrue)
            .requires("all")
            .help(help)
    };
    command
        .arg(
            Arg::new("all")
                .long("all")
                .value_name("FILTER")
                .value_parser(|text: &str| text.parse::<Filter>())
                .help("All tasks that match a filter, such as 'state:dead type:send_*', and not single ones"),
        )
        .arg(flag("yes", "Does it without asking"))
        .arg(flag("dry-run", "Counts them, and changes nothing"))
        .arg(flag("json", "Prints as JSON how it ended"))
}

pub(crate) fn command() -> Command {
    let id = || {
        Arg::new("id")
            .value_name("ID")
            .value_parser(clap::value_parser!(i64))
            .required(true)
            .help("The id of the operation, as `bulk list` shows it")
    };
    Command::new("bulk")
        .about("Lists what was done to all that matched a filter, stops it, and goes on with it")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("Lists the newest hundred operations, and how far they have come")
                .arg(json()),
        )
        .subcommand(
            Command::new("resume")
                .about("Goes on with one that was stopped or interrupted")
                .arg(id())
                .arg(who())
                .arg(json()),
        )
        .subcommand(who_and_why(
            Command::new("stop")
                .about("Stops one after the part that is being done, whoever runs it")
                .arg(id()),
        ))
        .subcommand(
            Command::new("failures")
                .about("Lists the tasks that failed, and why")
                .arg(id())
                .arg(json()),
        )
        .subcommand(
            Command::new("follow")
                .about("Tells what has become of the tasks that a retry has had run again")
                .arg(id())
                .arg(json()),
        )
}

/// Does a verb to all that match, once somebody has said yes.
pub(super) async fn execute_all(
    operator: &Operator,
    verb: &str,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let default = Filter::default();
    let filter: &Filter = matches.get_one("all").unwrap_or(&default);
    let at: Option<&DateTime<Utc>> = matches.try_get_one("at").ok().flatten();
    let freezing = match (verb, at) {
        ("cancel", _) => operator.cancel_all(filter),
        ("discard", _) => operator.discard_all(filter),
        ("reschedule", Some(at)) => operator.reschedule_all(filter, *at),
        (_, Some(at)) => operator.retry_all(filter).at(*at),
        (_, None) => operator.retry_all(filter),
    };
    treat(operator, freezing, verb, matches).await
}

/// Does it to all that are about to be frozen, once somebody has said yes.
pub(super) async fn treat(
    operator: &Operator,
    freezing: Freezing,
    verb: &str,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let freezing = match matches.get_one::<String>("because") {
        Some(reason) => freezing.because(reason),
        None => freezing,
    };
    if matches.get_flag("dry-run") {
        println!("{verb} would be done to {} tasks", freezing.count().await?);
        return Ok(ExitCode::SUCCESS);
    }
    if !matches.get_flag("yes") && !stdin().is_terminal() {
        return ask_nobody(&freezing, verb).await;
    }
    let frozen = freezing.await?;
    let count = frozen.frozen;
    eprintln!("{verb} {count} tasks in state {}", frozen.states.join(", "));
    if !matches.get_flag("yes") && !says_yes()? {
        operator.drop_bulk(frozen.bulk_id).await?;
        eprintln!("nothing has changed");
        return Ok(ExitCode::SUCCESS);
    }
    run(operator, &frozen, matches.get_flag("json")).await
}

async fn ask_nobody(freezing: &Freezing, verb: &str) -> Result<ExitCode, BoxError> {
    let count = freezing.count().await?;
    let said = std::env::args().map(|word| quoted(&word));
    let said: Vec<String> = said.chain(["--yes".to_owned()]).collect();
    eprintln!(
        "error: this would {verb} {count} tasks, and there is nobody to ask; say so:\n  {}",
        said.join(" ")
    );
    Ok(ExitCode::from(NOT_SAID))
}

pub(super) fn says_yes() -> Result<bool, BoxError> {
    eprint!("go on? [y/N] ");
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Says whose tasks they are. There is no password in it.
pub(super) fn target(builder: &WorkerBuilder) -> String {
    let options = builder.pool().connect_options();
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    let schema = builder.tables().name;
    printable(&format!(
        "database {database} on {place} as {user}, schema {schema}"
    ))
}

async fn run(operator: &Operator, bulk: &Bulk, as_json: bool) -> Result<ExitCode, BoxError> {
    let bulk_id = bulk.bulk_id;
    let shows = stderr().is_terminal();
    let running = operator.run_bulk(bulk_id, |bulk| {
        if shows {
            let gone = bulk.frozen - bulk.left();
            let percent = (gone * 100).checked_div(bulk.frozen).unwrap_or(100);
            let filled = "#".repeat(usize::try_from(percent * BAR / 100).unwrap_or_default());
            let width = usize::try_from(BAR).unwrap_or_default();
            eprint!(
                "\r[{filled:-<width$}] {percent:>3} % of {}: {gone} ",
                bulk.frozen
            );
        }
    });
    tokio::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => ended,
        Ok(()) = tokio::signal::ctrl_c() => {
            operator.stop_bulk(bulk_id).await?;
            running.await
        }
    };
    if shows {
        eprintln!("");
    }
    let ended = ended?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&ended)?);
    } else {
        println!("{ended}");
    }
    if ended.failed > 0 {
        let failures = operator.bulk_failures(bulk_id).await?;
        for failure in failures.iter().take(SHOWN_FAILURES) {
            eprintln!("task {}: {}", failure.task_id, printable(&failure.error));
        }
        if failures.len() > SHOWN_FAILURES {
            eprintln!("all of them: bulk failures {bulk_id}");
        }
    }
    if ended.stopped_at.is_some() {
        eprintln!("to go on: bulk resume {bulk_id}");
    }
    if ended.verb == BulkVerb::Retry && ended.done > 0 {
        eprintln!("what becomes of them: bulk follow {bulk_id}");
    }
    let is_whole = ended.failed == 0 && ended.stopped_at.is_none();
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(PARTLY)
    })
}

pub(crate) async fn execute(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let operator = operator(builder);
    let id = |matches: &ArgMatches| matches.get_one("id").copied().unwrap_or_default();
    let none = |id: i64| format!("there is no operation {id}: `bulk list` has them");
    match matches.subcommand() {
        Some(("list", matches)) => {
            let bulks = operator.bulks().await?;
            if matches.get_flag("json") {
                println!("{}", serde_json::to_string_pretty(&bulks)?);
            } else if bulks.is_empty() {
                println!("nothing was done to all that match a filter");
            }
            for bulk in bulks.iter().filter(|_| !matches.get_flag("json")) {
                println!(
                    "{bulk}\n  {} by {}",
                    printable(&bulk.filter),
                    printable(&bulk.by)
                );
                if let Some(died_of) = &bulk.died_of {
                    println!("  {}", printable(died_of));
                }
            }
        }
        Some(("resume", matches)) => {
            let bulk = operator.bulk(id(matches)).await?;
            let bulk = bulk.ok_or_else(|| none(id(matches)))?;
            if bulk.began_at.is_none() {
                let says = "nobody has said yes to it: say it again";
                return Err(format!("operation {} has not begun; {says}", bulk.bulk_id).into());
            }
            let operator = speaking(builder, matches);
            return run(&operator, &bulk, matches.get_flag("json")).await;
        }
        Some(("stop", matches)) => {
            let stopping = speaking(builder, matches).stop_bulk(id(matches));
            let bulk = stopping.because_if(reason(matches)).await?;
            println!("{}", bulk.ok_or_else(|| none(id(matches)))?);
        }
        Some(("failures", matches)) => {
            let failures = operator.bulk_failures(id(matches)).await?;
            if matches.get_flag("json") {
                println!("{}", serde_json::to_string_pretty(&failures)?);
                return Ok(ExitCode::SUCCESS);
            }
            for failure in failures {
                println!("task {}: {}", failure.task_id, printable(&failure.error));
            }
        }
        Some(("follow", matches)) => {
            let bulk = operator.bulk(id(matches)).await?;
            let bulk = bulk.ok_or_else(|| none(id(matches)))?;
            let retried = operator.follow_bulk(bulk.bulk_id).await?;
            match matches.get_flag("json") {
                true => println!("{}", serde_json::to_string_pretty(&retried)?),
                false => println!("{retried}"),
            }
        }
        _ => unreachable!("clap asks for one of the five"),
    }
    Ok(ExitCode::SUCCESS)
}
