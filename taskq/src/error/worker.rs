//! What keeps a worker from starting, and what ends it.

use std::error::Error;
use std::fmt;

use super::{SchemaTooNew, advice, cause};

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
    /// A handler declares a schedule that cannot be followed.
    Schedule {
        /// The name of the schedule.
        name: String,
        /// `file:line` of the handler.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The fields of a payload are encrypted, and cannot be decrypted here.
    #[cfg(feature = "encryption")]
    Encryption {
        /// The task type.
        task_type: &'static str,
        /// `file:line` of the handler.
        place: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A handler declares a limit that cannot be kept.
    Limit {
        /// The task type.
        task_type: &'static str,
        /// `file:line` of the handler.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
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
    /// A foreign key refers to waiting tasks, and a claim, which deletes them, would delete or change rows of
    /// yours.
    ForeignKey {
        /// The constraint.
        constraint: String,
        /// The table that it is on.
        table: String,
        /// What it does when a task is claimed.
        action: String,
    },
    /// The server is a standby: it can only be read.
    Standby,
    /// The application closed the pool while the worker was running.
    PoolClosed,
    /// A background loop of the worker stopped by itself, which is a defect of taskq.
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
    /// Why there is none, if no worker could give it.
    pub(crate) why_none: Option<&'static str>,
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateTaskType {
                name,
                first,
                second,
            } if first == second => write!(
                f,
                "the handler for `{name}` ({first}) is given twice: name it once in `.only::<(…)>()`"
            ),
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
            Self::Schedule {
                name,
                place,
                problem,
            } => write!(f, "the schedule `{name}` ({place}) cannot be followed: {problem}"),
            #[cfg(feature = "encryption")]
            Self::Encryption {
                task_type,
                place,
                problem,
            } => write!(f, "the encrypted fields of `{task_type}` ({place}): {problem}"),
            Self::Limit {
                task_type,
                place,
                problem,
            } => write!(f, "the limit of `{task_type}` ({place}) cannot be kept: {problem}"),
            Self::MissingState(missing) => {
                for (at, it) in missing.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "; " };
                    write!(
                        f,
                        "{separator}task `{}` ({}) needs state `{}`",
                        it.task_type, it.place, it.state
                    )?;
                    if let Some(why) = it.why_none {
                        f.write_str(why)?;
                    }
                }
                match missing.iter().any(|it| it.why_none.is_none()) {
                    true => f.write_str(": give it to the worker with `.state(…)`, or `.state_arc::<dyn …>(…)` for a trait object"),
                    false => Ok(()), // No worker can give it.
                }
            }
            Self::Setting { setting, problem } => write!(f, "`{setting}` {problem}"),
            Self::PoolTooSmall {
                needed,
                for_handlers,
                found,
            } => write!(
                f,
                "this worker may need {needed} connections at once, and the pool allows {found}: {for_handlers} for handlers with `&mut tx` (the concurrency of the queues that they declare, and one for their tasks in other queues) and {} of its own; raise `PgPoolOptions::max_connections`, or lower the concurrency",
                needed - for_handlers
            ),
            Self::NoSchema { schema } => write!(
                f,
                "schema `{schema}` of this database has no task tables: run `taskq::migrate(&pool)` first (for another schema than `taskq`: `schema.migrate(&pool)`)"
            ),
            Self::SchemaTooOld {
                schema,
                found,
                needed,
            } => write!(
                f,
                "the tables in schema `{schema}` have version {found}, and this program needs {needed}: run `taskq::migrate(&pool)` first"
            ),
            Self::SchemaTooNew(versions) => versions.fmt(f),
            Self::Standby => f.write_str(
                "this server is a standby, which can only be read: connect the pool to the primary, for instance with `target_session_attrs` of your connection pooler or by its own host name",
            ),
            Self::ForeignKey {
                constraint,
                table,
                action,
            } => write!(
                f,
                "the foreign key `{constraint}` of {table} refers to waiting tasks `{action}`: a claim deletes the rows of the tasks that it takes, and with them it would change rows of {table}; drop the constraint and keep the column"
            ),
            Self::PoolClosed => f.write_str(
                "the pool was closed while the worker ran: stop the worker before you close its pool",
            ),
            Self::PartEnded => f.write_str(
                "internal error: a background loop of the worker stopped; please report this with the log",
            ),
            Self::Database(error) => write!(f, "cannot read the task tables{}", advice(error)),
        }
    }
}

impl Error for WorkerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Database(error) => cause(error),
            _ => None,
        }
    }
}
