//! Running programs, and under which user.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use crate::testing::error::ClusterError;

/// Postgres refuses to run as root; for root it runs as `nobody`, which every system has.
const NOBODY: u32 = 65_534;

/// What a server reads from its environment. Somebody's settings for other servers would move its socket.
const OF_OTHER_SERVERS: [&str; 3] = ["PGPORT", "PGDATESTYLE", "PGCLIENTENCODING"];

/// The user that the server runs as.
pub(crate) fn server_uid() -> u32 {
    match uid() {
        0 => NOBODY,
        uid => uid,
    }
}

pub(super) fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Prepares a program to run as the user of the server.
pub(crate) fn as_server_user(program: impl Into<OsString>) -> Command {
    let mut command = Command::new(program.into());
    if uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    OF_OTHER_SERVERS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.current_dir("/");
    command
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<Output, ClusterError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |output: String| ClusterError::Command {
        command: program,
        output,
    };
    match command.output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
        Err(error) => Err(failed(error.to_string())),
    }
}
