//! What the attempts at a task have logged, as its page shows it.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::dashboard::text::{When, cut, number, when};
use crate::operate::logs::{AttemptLog, LogLine};

/// How many of the newest lines of an attempt are shown at first, and of all attempts together.
pub(super) const SHOWN_OF_LOG: usize = 100;
const SHOWN_OF_ALL: usize = 300;

/// How much of a line is shown at first, in bytes.
const SHOWN_OF_LINE: usize = 1_000;

/// What one call of a handler has logged.
pub(super) struct LogOfAttempt {
    pub(super) attempt: i32,
    pub(super) at: When,
    /// How many lines there are, and of how many tasks.
    pub(super) about: String,
    /// How many lines of each kind of trouble are among those that are shown.
    pub(super) errors: usize,
    pub(super) warnings: usize,
    /// How many lines stand before those that are shown.
    pub(super) earlier: i64,
    /// How many were dropped.
    pub(super) dropped: i64,
    pub(super) lines: Vec<Line>,
}

pub(super) struct Line {
    /// `error`, `warn`, …
    pub(super) class: String,
    pub(super) level: String,
    pub(super) iso: String,
    pub(super) clock: String,
    pub(super) target: String,
    pub(super) text: String,
    pub(super) fields: Vec<(String, String)>,
}

/// The newest first. Only the newest have lines, unless all are asked for.
pub(super) fn logs(logs: Vec<AttemptLog>, now: DateTime<Utc>, is_all: bool) -> Vec<LogOfAttempt> {
    let mut left = if is_all { usize::MAX } else { SHOWN_OF_ALL };
    let newest = logs.into_iter().rev().map(|log| {
        let shown = log.lines.len().min(left);
        left -= shown;
        let lines = &log.lines[log.lines.len() - shown..];
        let of_level = |level| lines.iter().filter(|line| line.level == level).count();
        let s = if log.kept == 1 { "" } else { "s" };
        let mut about = format!("{} line{s}", number(log.kept));
        if log.tasks > 1 {
            about.push_str(&format!(" of one call for {} tasks", number(log.tasks)));
        }
        LogOfAttempt {
            attempt: log.attempt,
            at: when(log.begun_at, now),
            about,
            errors: of_level("ERROR"),
            warnings: of_level("WARN"),
            earlier: log.kept - i64::try_from(shown).unwrap_or(0),
            dropped: log.dropped,
            lines: lines.iter().map(|line| Line::of(line, is_all)).collect(),
        }
    });
    newest.collect()
}

impl Line {
    fn of(line: &LogLine, is_all: bool) -> Self {
        let most = if is_all { usize::MAX } else { SHOWN_OF_LINE };
        let short = |text: &str| match cut(text, most) {
            (text, false) => text.to_owned(),
            (text, true) => format!("{text}…"),
        };
        let fields = line.fields.iter().map(|(name, value)| {
            let value = match value.as_str() {
                Some(text) => short(text),
                None => value.to_string(),
            };
            (name.clone(), value)
        });
        Self {
            class: line.level.to_lowercase(),
            level: line.level.clone(),
            iso: line.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            clock: line.at.format("%H:%M:%S%.3f").to_string(),
            target: line.target.clone(),
            text: short(&line.message),
            fields: fields.collect(),
        }
    }
}
