//! `rekey`: encrypts with the newest key what an older one has encrypted.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::said::json;
use crate::error::BoxError;
use crate::operate::rekey::{Rekeyed, rekey};
use crate::worker::WorkerBuilder;

pub(crate) fn command() -> Command {
    Command::new("rekey")
        .about(
            "Encrypts with the newest key of this program what waits or is dead with an older one",
        )
        .arg(json())
}

/// Exits with 1 where something is left that needs an older key.
pub(crate) async fn execute(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let keys = builder.keys_in_force().ok_or(
        "this program has no keys: call `taskq::encryption::install` before its command line",
    )?;
    let rekeyed = rekey(builder.pool(), builder.tables(), &keys).await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string(&rekeyed)?);
    } else {
        tell(&rekeyed, keys.newest_id());
    }
    Ok(match rekeyed.is_complete() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn tell(rekeyed: &Rekeyed, newest: &str) {
    println!(
        "{} payloads rewritten with the key {newest}",
        rekeyed.rewritten
    );
    if rekeyed.busy > 0 {
        println!(
            "{} run or have changed meanwhile: say it again later",
            rekeyed.busy
        );
    }
    for (key, tasks) in &rekeyed.missing_keys {
        println!("{tasks} are encrypted with the key {key}, which this program does not have");
    }
    for owner in &rekeyed.damaged {
        println!("{owner} does not decrypt");
    }
    for (owner, why) in &rekeyed.refused {
        println!("{owner} is not taken by Postgres: {why}");
    }
    if rekeyed.is_complete() {
        println!("no payload needs an older key");
    }
}
