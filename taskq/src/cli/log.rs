//! What attempts have logged, for `show --log`.

use std::fmt::{self, Write as _};

use super::said::seconds;
use super::text::printable;
use crate::operate::logs::AttemptLog;

/// Writes the lines of each attempt, the oldest first.
pub(super) fn write(text: &mut String, logs: &[AttemptLog]) -> fmt::Result {
    for log in logs {
        write!(text, "\nlog of attempt {}", log.attempt)?;
        if log.tasks > 1 {
            write!(text, ", one call for {} tasks", log.tasks)?;
        }
        writeln!(text, ", from {}", seconds(&log.begun_at))?;
        if log.dropped > 0 {
            writeln!(text, "  … {} earlier lines were dropped", log.dropped)?;
        }
        for line in &log.lines {
            writeln!(text, "  {}", printable(&line.to_string()))?;
        }
    }
    if logs.is_empty() {
        text.push_str(
            "\nno log lines are kept: the worker's program adds `taskq::LogLayer` to its tracing subscriber to keep them\n",
        );
    }
    Ok(())
}
