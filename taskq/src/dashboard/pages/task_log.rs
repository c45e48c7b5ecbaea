//! What the attempts at a task have logged, as its page shows it.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::dashboard::text::{When, cut, link, number, when};
use crate::operate::logs::{AttemptLog, LogLine};

/// How many of the newest lines of an attempt are shown at first, and of all attempts together.
pub(super) const SHOWN_OF_LOG: usize = 100;
const SHOWN_OF_ALL: usize = 300;

/// How much of a line is shown at first, in bytes.
const SHOWN_OF_LINE: usize = 1_000;

/// What one call of a handler has logged.
pub(super) struct LogOfAttempt {
    /// Its place on the page, the same whatever other calls there are.
    pub(super) id: String,
    pub(super) attempt: i32,
    pub(super) at: When,
    /// The same time, as its lines have it.
    pub(super) clock: String,
    /// How many lines there are, and of how many tasks.
    pub(super) about: String,
    /// How many lines of each kind of trouble there are, as far as is known.
    pub(super) troubles: Vec<(&'static str, String)>,
    /// What is not shown, and the page that shows it.
    pub(super) rest: Option<String>,
    pub(super) all: String,
    /// Whether that page was asked for.
    pub(super) is_open: bool,
    /// That lines were dropped, and how many.
    pub(super) dropped: Option<String>,
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
    /// Whether not all of it is shown.
    is_cut: bool,
}

/// The newest first. Only the newest have lines, unless all are asked for: then with the id of those to be unfolded, or none.
pub(super) fn logs(
    task_id: i64,
    logs: Vec<AttemptLog>,
    now: DateTime<Utc>,
    all: Option<&str>,
) -> Vec<LogOfAttempt> {
    let mut left = if all.is_some() {
        usize::MAX
    } else {
        SHOWN_OF_ALL
    };
    let newest = logs.into_iter().rev().map(|log| {
        let shown = log.lines.len().min(left);
        left -= shown;
        let lines = &log.lines[log.lines.len() - shown..];
        let lines: Vec<_> = lines.iter().map(|it| Line::of(it, all.is_some())).collect();
        let earlier = log.kept - i64::try_from(shown).unwrap_or(0);
        let is_cut = lines.iter().any(|line| line.is_cut);
        let mut about = lines_of(log.kept, "");
        if log.tasks > 1 {
            about.push_str(&format!(" of one call for {} tasks", number(log.tasks)));
        }
        let id = format!("log-{}-{}", log.attempt, log.begun_at.timestamp_micros());
        let whole = [("id", &*task_id.to_string()), ("all", &id)];
        LogOfAttempt {
            attempt: log.attempt,
            at: when(log.begun_at, now),
            clock: log.begun_at.format("%H:%M:%SZ").to_string(),
            about,
            troubles: troubles(&lines, earlier > 0),
            rest: match (earlier, lines.is_empty()) {
                (0, _) => is_cut.then(|| "Show long lines whole".to_owned()),
                (_, true) => Some(format!("Show {}", lines_of(earlier, ""))),
                (_, false) => Some(format!("Show {}", lines_of(earlier, "earlier "))),
            },
            all: format!("{}#{id}", link("task", &whole)),
            is_open: all == Some(&*id),
            dropped: (log.dropped > 0).then(|| {
                let (which, before) = match earlier {
                    0 => ("earlier ", ""),
                    _ => ("", " before those"),
                };
                let lines = lines_of(log.dropped, which);
                let were = if log.dropped == 1 { "was" } else { "were" };
                format!("{lines}{before} {were} dropped: the newest are kept.")
            }),
            lines,
            id,
        }
    });
    newest.collect()
}

fn lines_of(count: i64, which: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {which}line{s}", number(count))
}

/// Counts the errors and the warnings among lines. If there are lines before these, there may be more.
fn troubles(lines: &[Line], is_cut: bool) -> Vec<(&'static str, String)> {
    let more = if is_cut { "+" } else { "" };
    let count = |class, tag, name| {
        let count = lines.iter().filter(|line| line.class == class).count();
        let s = if count == 1 && !is_cut { "" } else { "s" };
        (count > 0).then(|| (tag, format!("{count}{more} {name}{s}")))
    };
    [
        count("error", "bad", "error"),
        count("warn", "warn", "warning"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Line {
    fn of(line: &LogLine, is_all: bool) -> Self {
        let most = if is_all { usize::MAX } else { SHOWN_OF_LINE };
        let mut is_cut = false;
        let mut short = |text: &str| match cut(text, most) {
            (text, false) => text.to_owned(),
            (text, true) => {
                is_cut = true;
                format!("{text}…")
            }
        };
        let text = short(&line.message);
        let fields = line.fields.iter().map(|(name, value)| {
            let value = match value.as_str() {
                Some(text) => short(text),
                None => value.to_string(),
            };
            (name.clone(), value)
        });
        let fields = fields.collect();
        Self {
            class: line.level.to_lowercase(),
            level: line.level.clone(),
            iso: line.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            clock: line.at.format("%H:%M:%S%.3fZ").to_string(),
            target: line.target.clone(),
            text,
            fields,
            is_cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(attempt: i32, kept: i64, lines: &[(&str, usize)]) -> AttemptLog {
        let at = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(i64::from(attempt));
        let line = |(level, length): &(&str, usize)| LogLine {
            at,
            level: (*level).to_owned(),
            target: "shop".to_owned(),
            message: "x".repeat(*length),
            fields: serde_json::Map::new(),
        };
        AttemptLog {
            attempt,
            worker_id: String::new(),
            begun_at: at,
            tasks: 1,
            kept,
            dropped: 0,
            lines: lines.iter().map(line).collect(),
        }
    }

    fn shown(log: AttemptLog, all: Option<&str>) -> LogOfAttempt {
        logs(7, vec![log], DateTime::UNIX_EPOCH, all).remove(0)
    }

    #[test]
    fn what_is_not_shown_is_told_and_a_link_unfolds_it() {
        let whole = shown(log(1, 1, &[("INFO", 9)]), None);
        assert_eq!((whole.rest.as_deref(), whole.is_open), (None, false));
        let cut = shown(log(1, 1, &[("INFO", SHOWN_OF_LINE + 1)]), None);
        assert_eq!(cut.rest.as_deref(), Some("Show long lines whole"));
        let earlier = shown(log(1, 2, &[("INFO", 9)]), None);
        assert_eq!(earlier.rest.as_deref(), Some("Show 1 earlier line"));
        assert_eq!(earlier.all, "task?id=7&all=log-1-1000000#log-1-1000000");
        let none = shown(log(1, 2_000, &[]), None);
        assert_eq!(none.rest.as_deref(), Some("Show 2,000 lines"));
        let all = shown(log(1, 1, &[("INFO", SHOWN_OF_LINE + 1)]), Some(&cut.id));
        assert_eq!((all.rest.as_deref(), all.is_open), (None, true));
        assert!(!shown(log(2, 1, &[("INFO", 9)]), Some(&cut.id)).is_open);
    }

    #[test]
    fn lines_that_were_dropped_are_told_with_their_place() {
        let dropped = |dropped, kept| {
            let log = AttemptLog {
                dropped,
                ..log(1, kept, &[("INFO", 9)])
            };
            shown(log, None).dropped
        };
        assert_eq!(dropped(0, 1), None);
        let one = "1 earlier line was dropped: the newest are kept.";
        assert_eq!(dropped(1, 1).as_deref(), Some(one));
        let before = "1,200 lines before those were dropped: the newest are kept.";
        assert_eq!(dropped(1_200, 9).as_deref(), Some(before));
    }

    #[test]
    fn troubles_are_counted_as_far_as_lines_are_known() {
        let of = |kept| {
            let lines = [("ERROR", 1), ("WARN", 1), ("WARN", 1), ("INFO", 1)];
            let troubles = shown(log(1, kept, &lines), None).troubles;
            troubles
                .into_iter()
                .map(|(_, text)| text)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(4), ["1 error", "2 warnings"]);
        assert_eq!(of(5), ["1+ errors", "2+ warnings"]);
    }
}
