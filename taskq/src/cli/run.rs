//! `run`: works until SIGINT or SIGTERM, and then ends the process.

use std::process::{ExitCode, exit};
use std::thread;
use std::time::Duration;

use crate::error::BoxError;
use crate::worker::{WorkerBuilder, shutdown_signal};

/// How long the process may go on once its worker has stopped: for the program to end by itself, and to write what
/// it has left to write.
const LAST_MOMENTS: Duration = Duration::from_secs(3);

pub(crate) async fn execute(builder: WorkerBuilder) -> Result<ExitCode, BoxError> {
    let ended = builder.build().await?.run_until(shutdown_signal()).await;
    end_soon(if ended.is_ok() { 0 } else { 1 });
    ended?;
    Ok(ExitCode::SUCCESS)
}

// A runtime that ends waits for the threads of `spawn_blocking`, which nobody can stop. Their tasks were handed
// back, and may be running elsewhere by now.
fn end_soon(code: i32) {
    let end = move || {
        thread::sleep(LAST_MOMENTS);
        tracing::warn!(
            "the worker has stopped, and something of this program still runs, such as a thread of `spawn_blocking`; ending the process"
        );
        exit(code);
    };
    // Without a thread to spare the program ends by itself, if later.
    let _ = thread::Builder::new().name("taskq-end".into()).spawn(end);
}
