//! What changes something: whose tasks they are is said before, and `--read-only` refuses it.

use std::env;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches};

use super::bulk::target;
use crate::operate::verbs::VERBS;
use crate::worker::WorkerBuilder;

/// Nothing was done, because nothing may change.
const REFUSED: u8 = 2;

/// Has the same effect as `--read-only`.
const VARIABLE: &str = "TASKQ_READ_ONLY";

/// Commands that are no verbs of an operator, and change something.
const OTHERS: [&str; 5] = ["run", "migrate", "migrate up", "bench", "rekey"];

/// Commands of those that change nothing.
const HARMLESS: [&str; 3] = ["migrate list", "migrate print", "migrate check"];

pub(super) fn argument() -> Arg {
    Arg::new("read-only")
        .long("read-only")
        .global(true)
        .action(ArgAction::SetTrue)
        .display_order(1_000)
        .help("Refuses whatever changes something, as TASKQ_READ_ONLY=1 does")
}

/// Tells whether nothing may change.
pub(super) fn is_read_only(matches: &ArgMatches) -> bool {
    let said = env::var_os(VARIABLE).is_some_and(|said| !said.is_empty() && said != "0");
    said || matches.get_flag("read-only")
}

/// Says whose tasks are to change, or refuses that; does nothing for a command that only reads.
pub(super) fn announce(builder: &WorkerBuilder, matches: &ArgMatches) -> Option<ExitCode> {
    let said = words(matches);
    if !changes(&said) {
        return None;
    }
    if is_read_only(matches) && !has_dry_run(matches) {
        eprintln!(
            "error: `{}` changes something, and nothing may change here: --read-only was said, or {VARIABLE} is set",
            said.join(" ")
        );
        return Some(ExitCode::from(REFUSED));
    }
    // It ends by itself and says in its log where it works.
    if said.first() != Some(&"run") {
        eprintln!("{}", target(builder));
    }
    None
}

/// Has each session of the worker's pool refuse to write: a bug of the command line cannot either.
pub(super) fn read_only(builder: WorkerBuilder) -> WorkerBuilder {
    let pool = builder.pool();
    let options = pool.connect_options().as_ref().clone();
    let options = options.options([("default_transaction_read_only", "on")]);
    let pool = pool.options().clone().connect_lazy_with(options);
    builder.with_pool(pool)
}

/// Returns the command that was said: `["bulk", "resume"]`.
fn words(matches: &ArgMatches) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = matches;
    while let Some((word, under)) = rest.subcommand() {
        words.push(word);
        rest = under;
    }
    words
}

fn has_dry_run(matches: &ArgMatches) -> bool {
    let mut last = matches;
    while let Some((_, under)) = last.subcommand() {
        last = under;
    }
    matches!(last.try_get_one("dry-run"), Ok(Some(true)))
}

/// Tells whether a command changes something, as the table of verbs says: by what it says of the longest command that
/// this one begins with.
fn changes(said: &[&str]) -> bool {
    let of_verbs = VERBS.iter().flat_map(|verb| {
        let commands = verb.commands.iter();
        commands.map(|command| (*command, verb.changes))
    });
    let others = OTHERS.iter().map(|command| (*command, true));
    let harmless = HARMLESS.iter().map(|command| (*command, false));
    let known = of_verbs.chain(others).chain(harmless);
    let mut longest = 0;
    let mut changes = false;
    for (command, it_changes) in known {
        let words = command.split(' ').take_while(|word| !word.starts_with('-'));
        let words: Vec<&str> = words.collect();
        if !said.starts_with(&words) || words.len() < longest {
            continue;
        }
        changes = it_changes || (changes && words.len() == longest);
        longest = words.len();
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_of_verbs_says_of_the_longest_command_holds() {
        for changing in [
            &["cancel"][..],
            &["retry"],
            &["pause", "queue"],
            &["bulk", "resume"],
            &["bulk", "stop"],
            &["schedules", "run"],
            &["schedules", "pause"],
            &["migrate"],
            &["migrate", "up"],
            &["run"],
        ] {
            assert!(changes(changing), "{changing:?}");
        }
        for reading in [
            &["list"][..],
            &["bulk", "list"],
            &["bulk", "failures"],
            &["schedules"],
            &["pauses"],
            &["migrate", "print"],
            &["doctor"],
            &["tasks"],
            &["check"],
        ] {
            assert!(!changes(reading), "{reading:?}");
        }
    }
}
