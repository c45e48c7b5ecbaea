//! What a schedule does beside ticking: with ticks that were missed, and with tasks that are still there.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::ScheduleError;

/// How long ago ticks may have been that `CatchUp::All` catches up, unless something else is said.
const ALL_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// The furthest that anything of a schedule may reach: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// What a schedule does beside ticking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    pub(crate) catch_up: CatchUp,
    pub(crate) catch_up_within: Option<Duration>,
    pub(crate) overlap: Overlap,
    pub(crate) jitter: Duration,
}

/// What becomes of ticks that were missed: that were more than a minute ago when a worker came to take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CatchUp {
    /// They are left out.
    None,
    /// The latest of them runs, unless the next tick has come meanwhile.
    #[default]
    Once,
    /// All run, in order: those of the last day, or of
    /// [`catch_up_within`](crate::schedule::Schedule::catch_up_within), and at most the latest thousand.
    All,
}

/// What a tick does while the task of the last one still waits or runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overlap {
    /// It enqueues its task all the same.
    #[default]
    Allow,
    /// It enqueues nothing. A task that waits for its next attempt is still there.
    Skip,
    /// It enqueues its task, unless one of the schedule waits already: so one may run and one wait.
    OneWaiting,
}

impl Rules {
    pub(crate) fn check(&self) -> Result<(), ScheduleError> {
        let problem = match self.catch_up_within {
            Some(_) if self.catch_up == CatchUp::None => {
                "`catch_up_within` says what is caught up, and `CatchUp::None` catches nothing up"
            }
            Some(within) if within.is_zero() || within > LONGEST => {
                "`catch_up_within` must be longer than nothing and at most a hundred years"
            }
            _ if self.jitter > LONGEST => "`jitter` must be at most a hundred years",
            _ => return Ok(()),
        };
        Err(ScheduleError::Option {
            problem: problem.to_owned(),
        })
    }

    /// Returns how long ago ticks may have been that are caught up; `None` for any time.
    pub(crate) fn within(&self) -> Option<Duration> {
        match self.catch_up {
            CatchUp::None => None,
            CatchUp::Once => self.catch_up_within,
            CatchUp::All => Some(self.catch_up_within.unwrap_or(ALL_WITHIN)),
        }
    }

    /// Adds it to the options of a schedule that is said by hand.
    pub(crate) fn add_to(&self, options: &mut Map<String, Value>) {
        options.insert("catch_up".into(), self.catch_up.word().into());
        if let Some(within) = self.within() {
            options.insert("catch_up_within".into(), within.as_secs_f64().into());
        }
        options.insert("overlap".into(), self.overlap.word().into());
        options.insert("jitter".into(), self.jitter.as_secs_f64().into());
    }
}

impl CatchUp {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Once => "once",
            Self::All => "all",
        }
    }

    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "none" => Self::None,
            "all" => Self::All,
            _ => Self::Once,
        }
    }
}

impl Overlap {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Skip => "skip",
            Self::OneWaiting => "one_waiting",
        }
    }

    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "skip" => Self::Skip,
            "one_waiting" => Self::OneWaiting,
            _ => Self::Allow,
        }
    }
}
