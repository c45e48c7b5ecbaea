//! The errors of finding and starting a server.

use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

use crate::error::veiled;

/// Why there is no Postgres server, or none that can be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClusterError {
    /// No Postgres was found on this machine, and none could be fetched.
    NotFound {
        /// What was tried, a line each.
        tried: Vec<String>,
    },
    /// An environment variable does not say what it may say.
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// A program that is needed could not be run, or failed.
    Command {
        /// What was run.
        command: String,
        /// What it printed, or why it did not start.
        output: String,
    },
    /// The server did not start, or not in time.
    Start {
        /// The end of its log.
        log: String,
    },
    /// A file or directory is in the way, or cannot be made.
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server of `DATABASE_URL` is not ours to stop or restart.
    NotOurs,
    /// The server refused.
    Database(sqlx::Error),
    /// The tables could not be made.
    Migrate(crate::MigrateError),
}

/// The one command that installs a server here.
fn install_command() -> &'static str {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@18";
    }
    let has = |path: &str| std::path::Path::new(path).exists();
    if has("/etc/debian_version") {
        "apt-get install -y postgresql"
    } else if has("/etc/fedora-release") || has("/etc/redhat-release") {
        "dnf install -y postgresql-server postgresql-contrib"
    } else if has("/etc/alpine-release") {
        "apk add postgresql postgresql-contrib"
    } else if has("/etc/arch-release") {
        "pacman -S --noconfirm postgresql"
    } else {
        "python3 -m ensurepip"
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { tried } => write!(
                f,
                "no Postgres was found. Install one with `{}`, or set `DATABASE_URL` to a running server. Tried: {}",
                install_command(),
                tried.join("; ")
            ),
            Self::Variable { name, problem } => write!(f, "`{name}` {problem}"),
            Self::Command { command, output } => write!(f, "`{command}` failed: {output}"),
            Self::Start { log } => write!(f, "Postgres did not start; its log ends with:\n{log}"),
            Self::File { path, .. } => write!(f, "`{}` cannot be used", path.display()),
            Self::NotOurs => f.write_str(
                "taskq did not start the server of `DATABASE_URL`, so it does not stop it: use `Cluster::private`",
            ),
            Self::Database(_) => f.write_str("Postgres refused, or could not be reached"),
            Self::Migrate(_) => f.write_str("cannot make the task tables"),
        }
    }
}

impl Error for ClusterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Database(source) => Some(source),
            Self::Migrate(source) => Some(source),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for ClusterError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(veiled(error))
    }
}

impl From<crate::MigrateError> for ClusterError {
    fn from(error: crate::MigrateError) -> Self {
        Self::Migrate(error)
    }
}

/// Names the file with the error.
pub(super) fn at<T>(path: &std::path::Path, result: io::Result<T>) -> Result<T, ClusterError> {
    result.map_err(|source| ClusterError::File {
        path: path.to_owned(),
        source,
    })
}
