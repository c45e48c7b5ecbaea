//! What several commands say: whose word it is, and the arguments and times that are written alike.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Arg, ArgAction, ArgMatches};

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

pub(super) fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Prints it as JSON")
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
