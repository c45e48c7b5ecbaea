//! taskq beside its peers and beside bare SQL, on one Postgres.
//!
//! The systems take turns, round by round, so that a machine that drifts does so for all of them.
//! See `README.md` for what is measured and how to read it.

mod arguments;
mod chart;
mod machine;
mod meter;
mod modes;
mod pages;
mod process;
mod prune;
mod relay;
mod report;
mod sample;
mod server;
mod sweep;
mod systems;
mod why;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

use self::arguments::{Arguments, HELP};
use self::modes::{Bench, Effort, Mode, Situation};
use self::report::{Outcome, Row};
use self::server::Server;
use self::systems::{Handler, System};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    begin_again_with_settings_of_peers()?;
    let mut given = std::env::args().skip(1).peekable();
    log_as_a_user_would();
    if given.next_if(|it| it == process::COMMAND).is_some() {
        process::work(given).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(arguments) = Arguments::read(given)? else {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let mut effort = match arguments.quick {
        true => Effort::QUICK,
        false => Effort::FULL,
    };
    effort.rounds = arguments.rounds.unwrap_or(effort.rounds);
    let streaming = arguments.stream.map(Duration::from_secs);
    effort.streaming = streaming.unwrap_or(effort.streaming);
    effort.why = arguments.why;
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build; `cargo run --release` is the one to measure.");
    }

    let server = Server::start(arguments.keep.as_deref()).await?;
    if arguments.sweep.is_some() {
        print!("{}", sweep::measure(&server, effort, &arguments).await?);
        println!("\n{}", machine::description(&server).await?.join("\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let systems: Vec<_> = systems::all()
        .into_iter()
        .filter(|system| arguments.wants_system(system.name()))
        .collect();
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut failures = 0;
    for mode in Mode::all() {
        if !arguments.wants_group(mode.group()) || !arguments.wants_situation(&mode.to_string()) {
            continue;
        }
        if arguments.wants_chart_alone() && !chart::shows(mode) {
            continue;
        }
        let outcome = measure(&server, &systems, mode, effort, &outcomes, &mut failures).await;
        match arguments.json {
            true => print!("{}", outcome.json()),
            false => print!("{}", outcome.table(&effort)),
        }
        outcomes.push(outcome);
    }
    if !arguments.json {
        print!("{}", report::network(&outcomes));
    }
    if arguments.wants_pages() {
        match pages::measure(&server, &effort, &arguments).await {
            Ok(text) => print!("{text}"),
            Err(error) => {
                eprintln!("pages FAILED: {error:#}");
                failures += 1;
            }
        }
    }
    if arguments.wants_prune() {
        match prune::measure(&server, &effort, &arguments).await {
            Ok(text) => print!("{text}"),
            Err(error) => {
                eprintln!("prune FAILED: {error:#}");
                failures += 1;
            }
        }
    }
    let machine = machine::description(&server).await?;
    if !arguments.json {
        println!();
        for system in &systems {
            println!("{}: {}", system.name(), system.settings());
        }
        println!("\n{}", machine.join("\n"));
    }
    if let Some(path) = &arguments.chart {
        let svg = chart::svg(&outcomes, &machine).context("a chart needs drains or inserts")?;
        std::fs::write(path, svg).with_context(|| path.clone())?;
    }
    if failures > 0 {
        eprintln!("{failures} measurements failed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures all systems in one mode, each once a round.
async fn measure(
    server: &Server,
    systems: &[Arc<dyn System>],
    mode: Mode,
    effort: Effort,
    earlier: &[Outcome],
    failures: &mut usize,
) -> Outcome {
    let rows_of = |mode: Mode| -> &[Row] {
        let outcome = earlier.iter().find(|outcome| outcome.mode == mode);
        outcome.map_or(&[], |outcome| &outcome.rows)
    };
    let drained = rows_of(Mode::Drain(Handler::Nothing));
    let mut outcome = Outcome {
        mode,
        rows: Vec::new(),
        absent: Vec::new(),
        plain: match mode {
            Mode::Growth(Situation::Processes(2..)) => {
                rows_of(Mode::Growth(Situation::Processes(1))).to_vec()
            }
            Mode::Growth(_) => rows_of(Mode::Growth(Situation::Plain)).to_vec(),
            Mode::Network(it) => rows_of(Mode::Network(it.at_hand())).to_vec(),
            _ => Vec::new(),
        },
    };
    for system in systems {
        match system
            .absent_from(&mode)
            .or(effort.leaves_out(&mode, &**system))
        {
            Some(why) => outcome.absent.push((system.name(), why.to_owned())),
            None => outcome.rows.push(Row {
                system: system.clone(),
                rounds: Vec::new(),
            }),
        }
    }
    for round in 1..=effort.rounds {
        let mut failed = Vec::new();
        for row in &mut outcome.rows {
            let name = row.system.name();
            let bench = Bench {
                server,
                system: &*row.system,
                effort,
                drain_rate: drained
                    .iter()
                    .find(|drained| drained.system.name() == name)
                    .and_then(|row| row.spread(|sample| sample.per_second))
                    .map(|rate| rate.median),
                relay: None,
            };
            let began = Instant::now();
            match mode.measure(&bench).await {
                Ok(sample) => {
                    eprintln!(
                        "{mode}, {name}, round {round}: {} tasks/s, p50 {} ms ({:.1} s)",
                        report::number(sample.per_second, 0),
                        report::number(sample.p50_ms, 2),
                        began.elapsed().as_secs_f64()
                    );
                    row.rounds.push(sample);
                }
                Err(error) => {
                    eprintln!("{mode}, {name}, round {round} FAILED: {error:#}");
                    *failures += 1;
                    failed.push((name, format!("failed: {error:#}")));
                }
            }
        }
        outcome
            .rows
            .retain(|row| failed.iter().all(|(name, _)| *name != row.system.name()));
        outcome.absent.extend(failed);
    }
    outcome
}

/// Some settings of peers are in the environment only. A program cannot set that safely once it has threads, so it
/// begins again with those that nobody has set.
fn begin_again_with_settings_of_peers() -> Result<()> {
    let is_missing = |(name, _): &(&str, &str)| std::env::var_os(name).is_none();
    let missing: Vec<_> = systems::ENVIRONMENT
        .into_iter()
        .filter(is_missing)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let error = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .envs(missing)
        .exec();
    Err(error).context("beginning again")
}

/// Installs what a user of taskq would, so that tracing costs what it costs. Only warnings are
/// shown. The peers' events are off below warnings, which is best for them. Of attempts that fail, as they are to where
/// failures are measured, there would be a line each, and they are off.
fn log_as_a_user_would() {
    let failures = "taskq::worker::slot::handler=error";
    let peers = "graphile_worker=warn,apalis=warn,apalis_core=warn,underway=warn,sqlxmq=warn,\
                 riverqueue=warn,awa=warn";
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!(
            "info,sqlx=error,{failures},{peers}"
        )))
        .with_writer(
            io::stderr
                .with_max_level(Level::WARN)
                .or_else(io::sink.with_min_level(Level::INFO)),
        )
        .init();
}
