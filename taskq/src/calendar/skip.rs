//! Ticks that were left out, and why.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A stretch of ticks of a schedule that enqueued nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Skip {
    /// Why.
    pub why: SkipReason,
    /// How many; absent where nobody has counted them.
    pub number: Option<i64>,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until when.
    pub to: DateTime<Utc>,
    /// The task that was still there.
    pub task_id: Option<i64>,
}

/// Why ticks were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SkipReason {
    /// No worker was there to take them, and the schedule does not make all of them up.
    Missed,
    /// The task of an earlier tick was still there, or another one with its key.
    Overlap,
    /// The schedule was paused.
    Paused,
    /// Another, which a newer version has written.
    #[serde(other)]
    Other,
}

/// `3 ticks left out until 2026-03-01T05:00:00Z: no worker was there`
impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.to.to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(
            f,
            "{} left out until {to}: {}",
            self.ticks(),
            self.because()
        )
    }
}

impl Skip {
    /// `3 ticks`
    pub(crate) fn ticks(&self) -> String {
        match self.number {
            Some(1) => "1 tick".to_owned(),
            Some(number) => format!("{number} ticks"),
            None => "ticks".to_owned(),
        }
    }

    /// Returns why, in words.
    pub(crate) fn because(&self) -> String {
        let of_task = |task_id| format!("task {task_id} was still there");
        match self.why {
            SkipReason::Missed => "no worker was there".to_owned(),
            SkipReason::Overlap => self
                .task_id
                .map_or_else(|| "a task was still there".to_owned(), of_task),
            SkipReason::Paused => "the schedule was paused".to_owned(),
            SkipReason::Other => "a newer version of taskq knows why".to_owned(),
        }
    }
}
