//! `completions`: what has a shell complete the commands.

use std::env;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell;

use crate::error::BoxError;

pub(crate) fn command() -> Command {
    Command::new("completions")
        .about(
            "Prints what has a shell complete these commands: source <(PROGRAM completions bash)",
        )
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .value_parser(["bash", "zsh", "fish"])
                .required(true)
                .help("Which shell"),
        )
}

/// Prints them for the program that was called, under the name by which it was.
pub(crate) fn execute(mut whole: Command, matches: &ArgMatches) -> Result<(), BoxError> {
    let shell: &String = matches.get_one("shell").ok_or("clap asks for it")?;
    let shell = match shell.as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        _ => Shell::Fish,
    };
    let called = env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name();
    let name = name.map_or_else(|| "taskq".into(), |name| name.to_string_lossy());
    // Into memory first: it panics where nobody reads.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut whole, name, &mut text);
    print!("{}", String::from_utf8_lossy(&text));
    Ok(())
}
