//! What attempts have logged, for `show --log` and `top`.

use std::fmt::{self, Write as _};

use super::said::seconds;
use super::text::printable;
use crate::operate::logs::AttemptLog;

/// Writes the lines of each attempt, the oldest first. The other lines of a message that has several are moved in.
pub(super) fn write(text: &mut String, task_id: i64, logs: &[AttemptLog]) -> fmt::Result {
    for log in logs {
        write!(text, "\nlog of attempt {}", log.attempt)?;
        if log.tasks > 1 {
            write!(text, ", one call for {} tasks", log.tasks)?;
        }
        writeln!(text, ", from {}", seconds(&log.begun_at))?;
        if log.dropped > 0 {
            writeln!(text, "  … {} earlier lines were dropped", log.dropped)?;
        }
        let earlier = log.kept - i64::try_from(log.lines.len()).unwrap_or(0);
        if earlier > 0 {
            writeln!(text, "  … {earlier} more: show {task_id} --log")?;
        }
        for line in &log.lines {
            for (index, part) in line.to_string().lines().enumerate() {
                let indent = if index == 0 { "" } else { "    " };
                writeln!(text, "  {indent}{}", printable(part))?;
            }
        }
    }
    if logs.is_empty() {
        text.push_str(
            "\nno log lines are kept: the worker's program adds `taskq::LogLayer` to its tracing subscriber to keep them\n",
        );
    }
    Ok(())
}
