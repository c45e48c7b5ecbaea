//! `tasks --lock` and `tasks --check`: writes the lock file, or compares the program with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, value_parser};

use crate::error::BoxError;
use crate::operate::lock::{LockFile, Violation};
use crate::task::registry::Registry;

pub(crate) fn arguments() -> [Arg; 2] {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(help)
    };
    [
        file(
            "lock",
            "Writes the task types and the forms of their payloads to a file",
        )
        .conflicts_with("check"),
        file(
            "check",
            "Refuses a change since that file that would strand rows",
        ),
    ]
}

/// Does what these arguments ask for, if they were given.
pub(crate) fn execute(
    registry: &Registry,
    matches: &ArgMatches,
) -> Result<Option<ExitCode>, BoxError> {
    let program = LockFile::of(registry.handlers());
    if let Some(path) = matches.get_one::<PathBuf>("lock") {
        write(&program, path).map(Some)
    } else if let Some(path) = matches.get_one::<PathBuf>("check") {
        compare(path, &program).map(Some)
    } else {
        Ok(None)
    }
}

fn write(program: &LockFile, path: &Path) -> Result<ExitCode, BoxError> {
    if refuse(&program.without_schema()) {
        return Ok(ExitCode::FAILURE);
    }
    let mut text = serde_json::to_string_pretty(program)?;
    text.push('\n');
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn compare(path: &Path, program: &LockFile) -> Result<ExitCode, BoxError> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        format!("{shown}: {error}; `tasks --lock {shown}` writes the first one")
    })?;
    let before: LockFile = serde_json::from_str(&text)
        .map_err(|error| format!("{shown} is no lock file of taskq: {error}"))?;
    for change in before.changed_schedules(program) {
        println!("{change}");
    }
    let mut violations = before.stranded_by(program);
    violations.extend(program.without_schema());
    if refuse(&violations) {
        return Ok(ExitCode::FAILURE);
    }
    for changed in before.limited_otherwise(program) {
        println!("{changed}");
    }
    if before == *program {
        println!("nothing has changed since {shown}");
    } else {
        println!("no change since {shown} strands rows; write it anew with `tasks --lock {shown}`");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints violations. Returns whether there are any.
fn refuse(violations: &[Violation]) -> bool {
    for violation in violations {
        eprintln!("{violation}");
    }
    !violations.is_empty()
}
