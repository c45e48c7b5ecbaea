//! Something that is wrong, and how bad it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that is wrong: see [`Operator::doctor`](super::super::Operator::doctor).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ailment {
    /// How bad it is.
    pub severity: Severity,
    /// Of which kind it is: `unserved`, `paused`, `dead`, … The guide lists them.
    pub problem: String,
    /// What it is about: a task type, a queue, a worker, a session.
    pub subject: String,
    /// What is wrong, in plain words.
    pub said: String,
    /// What to do, in words.
    pub advice: String,
    /// What mends it on the command line, where one command does: `resume queue mail`.
    pub command: Option<String>,
    /// What mends it in SQL, where one statement does: `select taskq.resume_queue('mail')`.
    pub statement: Option<String>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Tasks do not run or have died, or claims become slower and slower.
    Error,
    /// Somebody may have meant it so, or it becomes worse.
    Warning,
}

impl Ailment {
    /// Returns a warning that says nothing yet.
    pub(super) fn warning(problem: &str, subject: &str) -> Self {
        Self {
            severity: Severity::Warning,
            problem: problem.to_owned(),
            subject: subject.to_owned(),
            said: String::new(),
            advice: String::new(),
            command: None,
            statement: None,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// What is wrong, without the advice.
impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.said)
    }
}
