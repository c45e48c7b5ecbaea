//! What several commands say: whose word it is, and the arguments and times that are written alike.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::operate::filter::Age;
use crate::operate::pause::{Operator, operate};
use crate::worker::WorkerBuilder;

pub(super) fn operator(builder: &WorkerBuilder) -> Operator {
    operate(builder.pool()).schema(builder.tables())
}

/// Returns the operator with the name that was said.
pub(super) fn speaking(builder: &WorkerBuilder, matches: &ArgMatches) -> Operator {
    let operator = operator(builder);
    match matches.get_one::<String>("as-user") {
        Some(user) => operator.as_user(user),
        None => operator,
    }
}

/// Adds who does it, and why.
pub(super) fn who_and_why(command: Command) -> Command {
    let text = |id, name| Arg::new(id).long(id).value_name(name);
    command
        .arg(text("because", "WHY").help("Says why; the audit shows it"))
        .arg(who())
}

pub(super) fn who() -> Arg {
    Arg::new("as-user")
        .long("as-user")
        .value_name("WHO")
        .help("Says who does it; otherwise that is the role that logs in to the database")
}

/// Returns the reason that was said.
pub(super) fn reason(matches: &ArgMatches) -> Option<&String> {
    matches.get_one("because")
}

/// For how long a transaction may be open.
pub(super) fn patience() -> Arg {
    Arg::new("patience")
        .long("patience")
        .value_name("AGE")
        .value_parser(|text: &str| {
            Age::read(text).ok_or("write a number with s, m or h, as in 30s or 5m")
        })
        .default_value("5m")
        .help("How long a transaction may be open before it counts as trouble")
}

/// Returns the operator with the patience that was said.
pub(super) fn patient(operator: Operator, matches: &ArgMatches) -> Operator {
    match matches.get_one::<Age>("patience") {
        Some(patience) => operator.patience(Duration::from_secs(patience.seconds())),
        None => operator,
    }
}

pub(super) fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Prints JSON")
}

pub(super) fn named() -> Arg {
    Arg::new("name")
        .value_name("NAME")
        .required(true)
        .help("Its name")
}

pub(super) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(time.to_utc()),
        Err(error) => Err(format!(
            "{error}; write it with its zone, as in 2026-03-01T07:30:00Z or 2026-03-01T08:30:00+01:00"
        )),
    }
}

pub(super) fn seconds(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
