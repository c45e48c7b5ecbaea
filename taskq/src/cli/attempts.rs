//! What is known of the attempts of a task that failed, for `show`.

use std::fmt::{self, Write as _};

use super::said::seconds;
use super::text::printable;
use crate::operate::show::TaskError;

/// Writes what is known of each attempt beside its error, the oldest first. Nothing where nothing is known.
pub(super) fn write(text: &mut String, errors: &[TaskError]) -> fmt::Result {
    for failed in errors {
        let report = &failed.report;
        let Some(worker_id) = &report.worker_id else {
            continue;
        };
        writeln!(text, "\nattempt {}", failed.attempt)?;
        let mut line = |name: &str, value: &str| writeln!(text, "  {name:10}{}", printable(value));
        if let (Some(started), Some(ended)) = (&report.started_at, &report.ended_at) {
            let took = (*ended - *started).as_seconds_f64();
            line("ran", &format!("{took:.3} s, from {}", seconds(started)))?;
        }
        if let Some(claimed) = &report.claimed_at {
            line("claimed", &seconds(claimed))?;
        }
        line("worker", worker_id)?;
        if let Some(at) = &report.panicked_at {
            let thread = report.thread.as_deref().unwrap_or_default();
            line("panicked", &format!("at {at}, on the thread {thread}"))?;
        }
        for (level, said) in report.chain.iter().enumerate() {
            line(if level == 0 { "error" } else { "because" }, said)?;
        }
        if let Some(frames) = &report.backtrace {
            line("backtrace", "")?;
            for frame in frames.lines() {
                writeln!(text, "  {}", printable(frame))?;
            }
        }
    }
    Ok(())
}
