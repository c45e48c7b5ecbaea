//! Something that is wrong, and how bad it is.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Something that is wrong: see [`Operator::doctor`](super::super::Operator::doctor).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ailment {
    /// How bad it is.
    pub severity: Severity,
    /// Of which kind it is: `unserved`, `paused`, `dead`, … The guide lists them.
    pub problem: String,
    /// What it is about: a task type, a queue, a worker, a session. Of one problem no two have the same.
    pub subject: String,
    /// What is wrong, in plain words.
    pub said: String,
    /// What to do, in words.
    pub advice: String,
    /// What mends it on the command line, where one command does: `resume queue mail`.
    pub command: Option<String>,
    /// What mends it in SQL, where one statement does: `select taskq.resume_queue('mail')`.
    pub statement: Option<String>,
    /// Who knows of it and leaves it as it is, if somebody has [said so](super::super::Operator::acknowledge).
    pub acknowledged: Option<Acknowledged>,
}

/// Who knows of a trouble and leaves it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Acknowledged {
    /// Who said so.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// Until when; `None`: for good.
    pub until: Option<DateTime<Utc>>,
}

/// `acknowledged by ada until 2026-03-01T07:30:00Z (the disk comes on Monday)`
impl fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acknowledged by {}", self.by)?;
        if let Some(until) = self.until {
            let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
            write!(f, " until {until}")?;
        }
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
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
            acknowledged: None,
        }
    }
}

impl Severity {
    /// Returns its name: `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong, without the advice.
impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.said)
    }
}
