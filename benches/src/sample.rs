//! One measurement, and what several of them say together.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::server::Costs;
use crate::why::Why;

/// What one measurement gave. What it did not look at is absent.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub tasks: u64,
    pub per_second: Option<f64>,
    /// The same of what was measured beside it, for a comparison within one measurement.
    pub plain_per_second: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// The same from the commit's return on.
    pub after_commit_p50_ms: Option<f64>,
    pub after_commit_p99_ms: Option<f64>,
    pub wal_bytes_per_task: Option<f64>,
    pub commits_per_task: Option<f64>,
    pub dead_rows: Option<f64>,
    /// What a stream cost as it went on.
    pub stretches: Vec<Stretch>,
    /// What a round trip took, where the server is away.
    pub round_trip_ms: Option<f64>,
    /// Where the time went, if somebody asked.
    pub why: Option<Why>,
}

/// A part of the time that a stream lasted.
#[derive(Debug, Clone, Serialize)]
pub struct Stretch {
    /// How long after the beginning of the stream it ended.
    pub end: Duration,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// The claim, the scan and the completion.
    pub statements: Vec<Statement>,
}

/// How often a statement was made, and how many pages that took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Statement {
    pub calls: i64,
    pub pages: i64,
}

impl Statement {
    pub fn since(self, then: Self) -> Self {
        Self {
            calls: self.calls - then.calls,
            pages: self.pages - then.pages,
        }
    }

    fn pages_a_call(self) -> f64 {
        self.pages as f64 / self.calls.max(1) as f64
    }
}

impl Stretch {
    pub const HEAD: &str =
        "     UNTIL s   P50 MS   P99 MS     CLAIMS  PAGES      SCANS  PAGES  COMPLETIONS  PAGES";

    /// Returns its line of a table.
    pub fn line(&self) -> String {
        let ms = |ms: Option<f64>| ms.unwrap_or(f64::NAN);
        let mut line = format!(
            "{:>12.0} {:>8.1} {:>8.1}",
            self.end.as_secs_f64(),
            ms(self.p50_ms),
            ms(self.p99_ms)
        );
        for (statement, width) in self.statements.iter().zip([10, 10, 12]) {
            let (calls, pages) = (statement.calls, statement.pages_a_call());
            let _ = write!(line, " {calls:>width$} {pages:>6.0}");
        }
        line
    }
}

impl Sample {
    pub fn rate(tasks: u64, time: Duration) -> Self {
        Self {
            tasks,
            per_second: Some(tasks as f64 / time.as_secs_f64()),
            ..Self::default()
        }
    }

    /// Adds the rate of what was measured beside it.
    pub fn beside(self, plain_per_second: f64) -> Self {
        Self {
            plain_per_second: Some(plain_per_second),
            ..self
        }
    }

    /// Returns what several measurements of the same say as one.
    pub fn together(samples: &[Self]) -> Self {
        let tasks: u64 = samples.iter().map(|sample| sample.tasks).sum();
        let time: f64 = samples
            .iter()
            .filter_map(|sample| Some(sample.tasks as f64 / sample.per_second?))
            .sum();
        let mean = |of: fn(&Self) -> Option<f64>| {
            let sum: f64 = samples.iter().filter_map(of).sum();
            Some(sum / samples.len() as f64)
        };
        Self {
            tasks,
            per_second: Some(tasks as f64 / time),
            plain_per_second: None,
            p50_ms: None,
            p99_ms: None,
            after_commit_p50_ms: None,
            after_commit_p99_ms: None,
            wal_bytes_per_task: mean(|sample| sample.wal_bytes_per_task),
            commits_per_task: mean(|sample| sample.commits_per_task),
            stretches: Vec::new(),
            round_trip_ms: None,
            why: None,
            dead_rows: samples.last().and_then(|sample| sample.dead_rows),
        }
    }

    pub fn with_latencies(mut self, latencies: Vec<Duration>) -> Self {
        (self.p50_ms, self.p99_ms) = parts(latencies);
        self
    }

    pub fn with_latencies_after_commit(mut self, latencies: Vec<Duration>) -> Self {
        (self.after_commit_p50_ms, self.after_commit_p99_ms) = parts(latencies);
        self
    }

    pub fn costing(mut self, before: Costs, after: Costs) -> Self {
        let tasks = self.tasks.max(1) as f64;
        self.wal_bytes_per_task = Some((after.wal_bytes - before.wal_bytes) as f64 / tasks);
        self.commits_per_task = Some((after.commits - before.commits) as f64 / tasks);
        self.dead_rows = Some(after.dead_rows as f64);
        self
    }
}

/// Returns the median and the 99th percentile, in milliseconds.
fn parts(mut latencies: Vec<Duration>) -> (Option<f64>, Option<f64>) {
    latencies.sort_unstable();
    let part = |part: f64| {
        let at = (latencies.len() as f64 * part) as usize;
        latencies
            .get(at.min(latencies.len().saturating_sub(1)))
            .map(|latency| latency.as_secs_f64() * 1_000.0)
    };
    (part(0.5), part(0.99))
}

/// The middle of what was measured, and its limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// Returns `None` where nothing was measured.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|it| it.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        Some(Self {
            median: match values.len() % 2 {
                1 => values[middle],
                _ => (values.get(middle)? + values.get(middle.checked_sub(1)?)?) / 2.0,
            },
            least: *values.first()?,
            most: *values.last()?,
        })
    }
}
