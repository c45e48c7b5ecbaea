//! What an enqueue may say about a task, and which values are allowed.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::EnqueueError;
use crate::task::payload::Payload;

/// The longest name of a queue or a task type, in bytes. The tables have the same limit.
pub(crate) const MAX_NAME_LENGTH: usize = 200;

/// The furthest a task may be put off: a hundred years. More is a mistake of units.
const MAX_DELAY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// When a task may start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Now,
    After(Duration),
    At(DateTime<Utc>),
}

impl Start {
    /// Returns the time asked for, if one was, and the seconds to wait if none was.
    pub(crate) fn run_at_and_delay(self) -> (Option<DateTime<Utc>>, f64) {
        match self {
            Self::Now => (None, 0.0),
            Self::After(delay) => (None, delay.as_secs_f64()),
            Self::At(run_at) => (Some(run_at), 0.0),
        }
    }
}

/// What is written beside a payload.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) task_type: &'static str,
    pub(crate) payload_version: u16,
    pub(crate) queue: Cow<'static, str>,
    pub(crate) priority: i16,
    pub(crate) max_attempts: u16,
    pub(crate) start: Start,
}

impl Options {
    /// Returns what the task type says of itself.
    pub(crate) const fn of<P: Payload>() -> Self {
        Self {
            task_type: P::TASK_TYPE,
            payload_version: P::VERSION,
            queue: Cow::Borrowed(P::QUEUE),
            priority: P::PRIORITY,
            max_attempts: P::MAX_ATTEMPTS,
            start: Start::Now,
        }
    }

    pub(crate) fn check(&self) -> Result<(), EnqueueError> {
        if let Some(problem) = name_problem(&self.queue) {
            return Err(refuse("queue", problem));
        }
        if self.max_attempts == 0 {
            return Err(refuse("max_attempts", "must be at least 1".into()));
        }
        if matches!(self.start, Start::After(delay) if delay > MAX_DELAY) {
            return Err(refuse("delay", "must be at most a hundred years".into()));
        }
        Ok(())
    }
}

/// Says what is wrong with the name of a queue or task type, if anything.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("must not be empty".into())
    } else if name.len() > MAX_NAME_LENGTH {
        Some(format!(
            "must be at most {MAX_NAME_LENGTH} bytes long, not {}",
            name.len()
        ))
    } else if name.chars().any(char::is_control) {
        Some("must not contain control characters".into())
    } else {
        None
    }
}

fn refuse(option: &'static str, problem: String) -> EnqueueError {
    EnqueueError::Option { option, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_neither_empty_nor_long_nor_unprintable() {
        assert_eq!(name_problem("mail"), None);
        assert_eq!(name_problem("e-mail.send/välkommen"), None);
        assert!(name_problem("").is_some());
        assert!(name_problem(&"x".repeat(201)).is_some());
        assert!(name_problem("mail\n").is_some());
    }
}
