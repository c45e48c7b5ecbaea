//! `tasks`: which task types does this program declare?

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

#[cfg(feature = "schemars")]
use super::lock;
use crate::attempt::delivery::Delivery;
use crate::error::BoxError;
use crate::task::registry::Registry;

pub(crate) fn command() -> Command {
    let command = Command::new("tasks").about("Lists the declared task types");
    #[cfg(feature = "schemars")]
    let command = command.args(lock::arguments());
    command
}

#[cfg_attr(
    not(feature = "schemars"),
    expect(unused_variables, reason = "its options need schemas")
)]
pub(crate) fn execute(registry: &Registry, matches: &ArgMatches) -> Result<ExitCode, BoxError> {
    #[cfg(feature = "schemars")]
    if let Some(code) = lock::execute(registry, matches)? {
        return Ok(code);
    }
    print!("{}", list(registry)?);
    Ok(ExitCode::SUCCESS)
}

/// Writes a paragraph for each task type.
fn list(registry: &Registry) -> Result<String, BoxError> {
    let mut text = String::new();
    for handler in registry.handlers() {
        let (options, declaration) = (&handler.options, &handler.declaration);
        writeln!(text, "{} ({})", handler.task_type, handler.place())?;
        if !declaration.aliases.is_empty() {
            writeln!(text, "  aliases: {}", declaration.aliases.join(", "))?;
        }
        let delivery = match declaration.delivery {
            Delivery::Transactional => "transactional",
            Delivery::LazilyTransactional => "transactional from `begin` on",
            Delivery::AtLeastOnce => "at least once",
        };
        let timeout = match handler.timeout_by {
            Some(_) => "by the payload".to_owned(),
            None => format!("{:?}", declaration.timeout),
        };
        let versions = match (options.oldest_version(), options.version) {
            (oldest, version) if oldest < version => format!("{version}, reads from {oldest}"),
            (_, version) => version.to_string(),
        };
        writeln!(
            text,
            "  queue: {}, priority: {}",
            options.queue, options.priority
        )?;
        writeln!(
            text,
            "  attempts: {}, timeout: {timeout}, {delivery}",
            options.max_attempts
        )?;
        writeln!(text, "  version: {versions}")?;
        #[cfg(feature = "cron")]
        for schedule in declaration.schedules {
            writeln!(text, "  schedule: {}", schedule.shown())?;
        }
        #[cfg(feature = "schemars")]
        match (handler.json_schema)() {
            Some(schema) => writeln!(text, "  payload: {}", schema.as_value())?,
            None => writeln!(text, "  payload: no schema")?,
        }
    }
    Ok(text)
}
