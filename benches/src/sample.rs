//! One measurement, and what several of them say together.

use std::time::Duration;

use crate::server::Costs;

/// What one measurement gave. What it did not look at is absent.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub tasks: u64,
    pub per_second: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub wal_bytes_per_task: Option<f64>,
    pub commits_per_task: Option<f64>,
    pub dead_rows: Option<f64>,
}

impl Sample {
    pub fn rate(tasks: u64, time: Duration) -> Self {
        Self {
            tasks,
            per_second: Some(tasks as f64 / time.as_secs_f64()),
            ..Self::default()
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
            p50_ms: None,
            p99_ms: None,
            wal_bytes_per_task: mean(|sample| sample.wal_bytes_per_task),
            commits_per_task: mean(|sample| sample.commits_per_task),
            dead_rows: samples.last().and_then(|sample| sample.dead_rows),
        }
    }

    pub fn with_latencies(mut self, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let part = |part: f64| {
            let at = (latencies.len() as f64 * part) as usize;
            latencies
                .get(at.min(latencies.len().saturating_sub(1)))
                .map(|latency| latency.as_secs_f64() * 1_000.0)
        };
        self.p50_ms = part(0.5);
        self.p99_ms = part(0.99);
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
