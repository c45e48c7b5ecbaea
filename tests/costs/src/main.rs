//! Counts what a task costs, beside what it cost when that was last recorded.
//!
//! What is counted repeats to a percent whatever else the machine does: instructions of the worker and of a client, what they say
//! to the server, and there the pages touched and the bytes written to the log. A figure a tenth above its record fails.

mod figures;
mod program;
mod server;
mod statements;
mod wire;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use self::figures::{Counts, Figures, Often, Record, compare};
use self::server::Server;

const HELP: &str = "\
Counts what a task costs, beside what is recorded in tests/costs/limits.json.

  --only WHAT        `worker`: what the worker and a client cost; `server`: what statements cost
  --record           write what is counted into the record
  --profiles FOLDER  keep the profiles of callgrind there";

fn main() -> Result<ExitCode> {
    let mut given = std::env::args().skip(1).peekable();
    if given.next_if(|it| it == program::COMMAND).is_some() {
        let (program, times) = (given.next(), given.next());
        let url = std::env::var("DATABASE_URL")?;
        let program: taskq_costs::Program = program.context("which?")?.parse()?;
        program.run(&url, times.context("how often?")?.parse()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut arguments = Arguments::default();
    while let Some(name) = given.next() {
        match name.as_str() {
            "--only" => arguments.only = Some(given.next().context("--only needs a value")?),
            "--record" => arguments.records = true,
            "--profiles" => {
                let folder = given.next().context("--profiles needs a value")?;
                std::fs::create_dir_all(&folder)?;
                arguments.profiles = Some(std::fs::canonicalize(folder)?);
            }
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            other => bail!("unknown argument `{other}`\n\n{HELP}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(count(&arguments))
}

#[derive(Default)]
struct Arguments {
    only: Option<String>,
    records: bool,
    profiles: Option<PathBuf>,
}

impl Arguments {
    fn often<'a, const N: usize>(
        &self,
        limits: [Option<&'a Figures>; N],
        counts: Counts,
    ) -> Often<'a, N> {
        Often {
            limits: (!self.records).then_some(limits),
            counts,
        }
    }
}

async fn count(arguments: &Arguments) -> Result<ExitCode> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("limits.json");
    let record = Record::read(&path)?;
    let server = Server::start().await?;
    let wants = |what: &str| arguments.only.as_deref().is_none_or(|only| only == what);
    let mut counted: Vec<(String, Figures)> = Vec::new();
    if wants("worker") {
        let scopes = [
            format!("instructions, {}", compiler()?),
            "traffic".to_owned(),
        ];
        let limits = scopes.each_ref().map(|scope| record.of(scope));
        let profiles = arguments.profiles.as_deref();
        let often = arguments.often(limits, Counts::Middle);
        let figures = program::count(&server, profiles, &often).await;
        counted.extend(scopes.into_iter().zip(figures?));
    }
    if wants("server") && !server.keeps_comments() {
        println!(
            "statements: not counted, because Postgres {} counts them without the comments that name them\n",
            server.major
        );
    } else if wants("server") {
        let scopes = [format!("statements, Postgres {}", server.major)];
        let limits = scopes.each_ref().map(|scope| record.of(scope));
        let figures = statements::count(&server, &arguments.often(limits, Counts::Least)).await;
        counted.extend(scopes.into_iter().zip(figures?));
    }
    let fails = counted.iter().fold(false, |fails, (scope, figures)| {
        fails | say(scope, figures, &record)
    });
    if arguments.records {
        record.with(counted).write(&path)?;
    } else if fails {
        eprintln!(
            "A task costs a tenth more than it did, or something else is counted. If that is meant,\n  \
             cargo run --release -p taskq-costs -- --record\nrecords it anew, and the commit says why."
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints figures beside what is recorded for the same. Returns whether one fails.
fn say(scope: &str, figures: &Figures, record: &Record) -> bool {
    let recorded = record.of(scope);
    let comparison = compare(figures, recorded);
    println!("{scope}: now, recorded\n{}", comparison.lines);
    if recorded.is_none() {
        println!("  Nothing is recorded for it, and nothing fails: `--record` records it.\n");
    } else if comparison.is_old {
        println!("  A tenth less than recorded: `--record` makes that the limit.\n");
    }
    comparison.fails
}

/// Names what instructions depend on: `rustc 1.95 on x86_64`.
fn compiler() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output()?;
    let version = String::from_utf8(output.stdout)?;
    let number = version.split(' ').nth(1).context("rustc has a version")?;
    let minor: Vec<&str> = number.split('.').take(2).collect();
    Ok(format!(
        "rustc {} on {}",
        minor.join("."),
        std::env::consts::ARCH
    ))
}
