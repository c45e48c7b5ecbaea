//! The command line without task types, for whoever has no worker's binary at hand: see `taskq::cli`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    taskq::cli::alone::main().await
}
