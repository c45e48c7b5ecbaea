//! What can go wrong at each boundary, and what to do about it.

use std::error::Error;
use std::fmt;

/// Any error, as a handler returns it.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Why a payload cannot be written as JSON.
pub use serde_json::Error as EncodeError;

/// A payload in a row does not fit its task type.
#[derive(Debug)]
pub struct DecodeError {
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    /// What stands at the path does not fit.
    Form { path: String, source: BoxError },
    /// It fits, and its values are refused.
    Values(InvalidPayload),
    /// It was written by a program that knows a newer version.
    TooNew { version: u16, known: u16 },
    /// It is of a version that is not read any more.
    TooOld { version: u16, oldest: u16 },
}

impl DecodeError {
    /// Says that what stands at `path`, such as `user.email`, does not fit; `.` is the whole.
    pub fn new(path: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self {
            reason: Reason::Form {
                path: path.into(),
                source: source.into(),
            },
        }
    }

    /// Says that the value to which its path leads is that of a field.
    pub(crate) fn inside(mut self, field: &str) -> Self {
        if let Reason::Form { path, .. } = &mut self.reason {
            *path = match path.as_str() {
                "." => field.into(),
                index if index.starts_with('[') => format!("{field}{index}"),
                inner => format!("{field}.{inner}"),
            };
        }
        self
    }

    pub(crate) fn invalid(invalid: InvalidPayload) -> Self {
        Self {
            reason: Reason::Values(invalid),
        }
    }

    pub(crate) fn too_new(version: u16, known: u16) -> Self {
        Self {
            reason: Reason::TooNew { version, known },
        }
    }

    pub(crate) fn too_old(version: u16, oldest: u16) -> Self {
        Self {
            reason: Reason::TooOld { version, oldest },
        }
    }

    /// Returns where in the payload the first mistake is, such as `user.email`; `.` is the whole.
    pub fn path(&self) -> &str {
        match &self.reason {
            Reason::Form { path, .. } => path,
            Reason::Values(invalid) => invalid.violations().next().map_or(".", |(path, _)| path),
            Reason::TooNew { .. } | Reason::TooOld { .. } => ".",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Form { path, .. } => write!(f, "payload does not decode at `{path}`"),
            Reason::Values(_) => f.write_str("payload is refused"),
            Reason::TooNew { version, known } => write!(
                f,
                "payload has version {version}, and this program knows none after {known}"
            ),
            Reason::TooOld { version, oldest } => write!(
                f,
                "payload has version {version}, and this program reads none before {oldest}"
            ),
        }
    }
}

/// Says of the whole value what serde finds wrong with it.
impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::new(".", problem.to_string())
    }

    // The only mistake that serde finds by a field's name alone.
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let problem = serde::de::value::Error::unknown_field(field, expected);
        Self::new(field, problem.to_string())
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::Form { source, .. } => Some(&**source),
            Reason::Values(invalid) => Some(invalid),
            Reason::TooNew { .. } | Reason::TooOld { .. } => None,
        }
    }
}

/// Values in a payload that may not be enqueued or run, though its form is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPayload {
    violations: Vec<(String, String)>,
}

impl InvalidPayload {
    /// Says what is wrong with the value at `path`, such as `user.email`.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            violations: vec![(path.into(), problem.into())],
        }
    }

    /// Adds what is wrong with another value.
    #[must_use]
    pub fn and(mut self, path: impl Into<String>, problem: impl Into<String>) -> Self {
        self.violations.push((path.into(), problem.into()));
        self
    }

    /// Returns each path with what is wrong there; at least one.
    pub fn violations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.violations
            .iter()
            .map(|(path, problem)| (path.as_str(), problem.as_str()))
    }
}

impl fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (path, problem)) in self.violations().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}`{path}`: {problem}")?;
        }
        Ok(())
    }
}

impl Error for InvalidPayload {}

#[cfg(feature = "garde")]
impl From<garde::Report> for InvalidPayload {
    fn from(report: garde::Report) -> Self {
        let violations = report.iter().map(|(path, error)| {
            let path = path.to_string();
            let path = if path.is_empty() { ".".into() } else { path };
            (path, error.to_string())
        });
        Self {
            violations: violations.collect(),
        }
    }
}

/// A task could not be enqueued. The caller's transaction decides what becomes of the rest.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The payload cannot be written as JSON, such as a map whose keys are no strings.
    Encode {
        /// The task type.
        task_type: &'static str,
        /// What serde_json says.
        source: EncodeError,
    },
    /// The payload has values that its task type refuses.
    Invalid {
        /// The task type.
        task_type: &'static str,
        /// Which values, and why.
        source: InvalidPayload,
    },
    /// An option of the enqueue is out of its range.
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// Postgres refused the insert, or could not be reached.
    Database(sqlx::Error),
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode { task_type, .. } => {
                write!(f, "the payload of `{task_type}` cannot be written as JSON")
            }
            Self::Invalid { task_type, .. } => write!(f, "the payload of `{task_type}` is refused"),
            Self::Option { option, problem } => write!(f, "`{option}` {problem}"),
            Self::Database(error) => match missing_table(error) {
                true => f.write_str(
                    "there is no task table in this database: run `taskq::migrate(&pool)` first",
                ),
                false => f.write_str("the task could not be inserted"),
            },
        }
    }
}

impl Error for EnqueueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode { source, .. } => Some(source),
            Self::Invalid { source, .. } => Some(source),
            Self::Option { .. } => None,
            Self::Database(source) => Some(source),
        }
    }
}

impl From<sqlx::Error> for EnqueueError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// A task's result could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResultError {
    /// What is kept does not fit the type of the result.
    Decode {
        /// The task type.
        task_type: &'static str,
        /// Where in the result, such as `items[0].price`; `.` is the whole.
        path: String,
        /// What does not fit.
        source: BoxError,
    },
    /// Postgres refused, or could not be reached.
    Database(sqlx::Error),
}

impl ResultError {
    pub(crate) fn decode(task_type: &'static str, error: DecodeError) -> Self {
        let path = error.path().to_owned();
        let source = match error.reason {
            Reason::Form { source, .. } => source,
            _ => Box::new(error),
        };
        Self::Decode {
            task_type,
            path,
            source,
        }
    }
}

impl fmt::Display for ResultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode {
                task_type, path, ..
            } => write!(f, "the result of `{task_type}` does not decode at `{path}`"),
            Self::Database(_) => f.write_str("the result could not be read"),
        }
    }
}

impl Error for ResultError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Decode { source, .. } => Some(&**source),
            Self::Database(source) => Some(source),
        }
    }
}

impl From<sqlx::Error> for ResultError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Tells whether Postgres does not know a table or schema that a statement names.
pub(crate) fn missing_table(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| matches!(&*code, "42P01" | "3F000"))
}

/// The tables could not be made, or are not of a version that this binary can work with.
#[derive(Debug)]
#[non_exhaustive]
pub enum MigrateError {
    /// A migration failed, or Postgres could not be reached. Nothing was changed.
    Database {
        /// The migration that failed, if one had begun.
        migration: Option<&'static str>,
        /// What Postgres said.
        source: sqlx::Error,
    },
    /// The tables were made by a newer version of taskq, which this one cannot work with.
    TooNew(SchemaTooNew),
}

/// The tables are newer than this binary can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaTooNew {
    /// The schema.
    pub schema: &'static str,
    /// The version of the tables.
    pub found: i32,
    /// The newest version that this binary knows.
    pub known: i32,
    /// The version that a binary must know to work with these tables.
    pub oldest_binary: i32,
}

impl fmt::Display for SchemaTooNew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "schema `{}` has version {}, which needs a binary that knows version {}; this one knows {}: deploy a newer version of taskq",
            self.schema, self.found, self.oldest_binary, self.known
        )
    }
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database {
                migration: Some(name),
                ..
            } => write!(f, "migration `{name}` failed, and nothing was changed"),
            Self::Database { .. } => f.write_str("the migrations could not be run"),
            Self::TooNew(versions) => versions.fmt(f),
        }
    }
}

impl Error for MigrateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Database { source, .. } => Some(source),
            Self::TooNew(_) => None,
        }
    }
}

/// A worker refused to start, or cannot go on.
///
/// Once started, a worker fails only if its pool is closed: what else goes wrong with the database is logged and tried
/// again, and what goes wrong in a handler is a failed attempt.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkerError {
    /// Two handlers go by one name.
    DuplicateTaskType {
        /// The name.
        name: &'static str,
        /// `file:line` of one handler.
        first: String,
        /// `file:line` of the other.
        second: String,
    },
    /// A task type has a name that no row can carry.
    TaskTypeName {
        /// The name.
        name: &'static str,
        /// `file:line` of the handler.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Handlers borrow state that the worker was not given.
    MissingState(Vec<MissingState>),
    /// A setting of the worker is out of its range.
    Setting {
        /// The setting, as the builder calls it.
        setting: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// The pool has fewer connections than the worker may need at once.
    PoolTooSmall {
        /// How many it may need: see the text of the error.
        needed: u32,
        /// How many of them are for handlers that work in a transaction.
        for_handlers: u32,
        /// How many the pool allows.
        found: u32,
    },
    /// There are no task tables in this schema of the database.
    NoSchema {
        /// The schema.
        schema: &'static str,
    },
    /// The tables are older than this binary needs.
    SchemaTooOld {
        /// The schema.
        schema: &'static str,
        /// The version of the tables.
        found: i32,
        /// The version needed.
        needed: i32,
    },
    /// The tables are newer than this binary can work with.
    SchemaTooNew(SchemaTooNew),
    /// The application closed the pool while the worker was running.
    PoolClosed,
    /// A background part of the worker ended by itself, which is a defect of taskq.
    PartEnded,
    /// Postgres could not be reached, or refused.
    Database(sqlx::Error),
}

/// State that a handler borrows and its worker was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingState {
    /// The task type.
    pub task_type: &'static str,
    /// `file:line` of its handler.
    pub place: String,
    /// The type of the state.
    pub state: &'static str,
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateTaskType {
                name,
                first,
                second,
            } => write!(
                f,
                "two handlers for `{name}`: {first} and {second}; give one of them another `name`"
            ),
            Self::TaskTypeName {
                name,
                place,
                problem,
            } => write!(f, "the task type `{name}` ({place}) {problem}"),
            Self::MissingState(missing) => {
                for (at, it) in missing.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "; " };
                    write!(
                        f,
                        "{separator}task `{}` ({}) needs state `{}`",
                        it.task_type, it.place, it.state
                    )?;
                }
                f.write_str(": give it to the worker with `.state(…)`, or `.state_arc::<dyn …>(…)` for a trait object")
            }
            Self::Setting { setting, problem } => write!(f, "`{setting}` {problem}"),
            Self::PoolTooSmall {
                needed,
                for_handlers,
                found,
            } => write!(
                f,
                "the pool allows {found} connections, but this worker may need {needed} at once: {for_handlers} for handlers with `&mut tx`, one for each unit of concurrency of its queues, and {} of its own; raise `PgPoolOptions::max_connections` or lower the concurrency",
                needed - for_handlers
            ),
            Self::NoSchema { schema } => write!(
                f,
                "there are no task tables in schema `{schema}` of this database: run `taskq::migrate(&pool)` first"
            ),
            Self::SchemaTooOld {
                schema,
                found,
                needed,
            } => write!(
                f,
                "schema `{schema}` has version {found}, this binary needs {needed}: run `taskq::migrate(&pool)` first"
            ),
            Self::SchemaTooNew(versions) => versions.fmt(f),
            Self::PoolClosed => f.write_str(
                "the pool was closed while the worker was running: stop the worker first",
            ),
            Self::PartEnded => f.write_str(
                "a part of the worker ended by itself: this is a defect of taskq, please report it with the log",
            ),
            Self::Database(_) => f.write_str("the worker could not look at its tables"),
        }
    }
}

impl Error for WorkerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Database(source) => Some(source),
            _ => None,
        }
    }
}
