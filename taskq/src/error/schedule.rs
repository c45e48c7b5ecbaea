//! What can be wrong with a schedule.

use std::error::Error;
use std::fmt;

/// A schedule cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The cron expression is none.
    Expression {
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// This program knows no such time zone.
    TimeZone {
        /// The name that was given.
        name: String,
        /// The known name that it looks most like.
        similar: Option<&'static str>,
    },
    /// Something else that it says cannot be.
    Option {
        /// What is wrong.
        problem: String,
    },
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expression { problem } => write!(f, "cannot read the cron expression: {problem}"),
            Self::Option { problem } => f.write_str(problem),
            Self::TimeZone { name, similar } => {
                write!(f, "this program knows no time zone `{name}`")?;
                match similar {
                    Some(similar) => write!(f, ": did you mean `{similar}`?"),
                    None => f.write_str(
                        ": write its name in the tz database, such as `Europe/Zurich` or `UTC`",
                    ),
                }
            }
        }
    }
}

impl Error for ScheduleError {}
