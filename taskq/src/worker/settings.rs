//! The settings of a worker, and which values are allowed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::drain::Drain;
use super::hooks::Hooks;
#[cfg(feature = "otel")]
use crate::attempt::trace::Trace;
#[cfg(feature = "encryption")]
use crate::cipher::Keys;
use crate::defaults;
use crate::error::WorkerError;
use crate::store::Schema;
use crate::task::options::name_problem;

/// The most tasks that run at once in one queue of a worker.
const MAX_CONCURRENCY: usize = 10_000;

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) schema: Schema,
    pub(crate) queues: Vec<(String, usize)>,
    pub(crate) lease: Duration,
    pub(crate) poll_interval: Duration,
    pub(crate) listen: bool,
    pub(crate) grace_period: Duration,
    pub(crate) census_interval: Duration,
    /// How attempts go on with the traces of enqueues.
    #[cfg(feature = "otel")]
    pub(crate) trace: Trace,
    pub(crate) keep_completed: bool,
    pub(crate) history_retention: Duration,
    pub(crate) priority_ageing: Option<Duration>,
    pub(crate) release: Option<String>,
    /// Those that decrypt, if not those of the process.
    #[cfg(feature = "encryption")]
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) hooks: Hooks,
    /// What a worker of a test knows that ends once nothing is due.
    pub(crate) drain: Option<Arc<Drain>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schema: Schema::default(),
            queues: Vec::new(),
            lease: defaults::LEASE,
            poll_interval: defaults::POLL_INTERVAL,
            listen: true,
            grace_period: defaults::GRACE_PERIOD,
            census_interval: defaults::CENSUS_INTERVAL,
            #[cfg(feature = "otel")]
            trace: Trace::default(),
            keep_completed: false,
            history_retention: defaults::HISTORY_RETENTION,
            priority_ageing: None,
            release: None,
            #[cfg(feature = "encryption")]
            keys: None,
            hooks: Hooks::default(),
            drain: None,
        }
    }
}

impl Settings {
    /// Fills in what was not said, and refuses what cannot work. Without a queue the worker serves those that
    /// its handlers have declared.
    pub(crate) fn validated<'a>(
        mut self,
        declared_queues: impl Iterator<Item = &'a str>,
    ) -> Result<Self, WorkerError> {
        if self.queues.is_empty() {
            let queues: BTreeSet<&str> = declared_queues.chain([defaults::QUEUE]).collect();
            let queues = queues.into_iter();
            self.queues = queues
                .map(|queue| (queue.to_owned(), defaults::CONCURRENCY))
                .collect();
        }
        for (at, (queue, concurrency)) in self.queues.iter().enumerate() {
            if let Some(problem) = name_problem(queue) {
                return Err(refuse("queue", problem));
            }
            if self.queues[..at].iter().any(|(other, _)| other == queue) {
                return Err(refuse("queue", format!("`{queue}` is given twice")));
            }
            if !(1..=MAX_CONCURRENCY).contains(concurrency) {
                return Err(refuse(
                    "queue",
                    format!(
                        "`{queue}` must run between 1 and {MAX_CONCURRENCY} tasks at once, not {concurrency}"
                    ),
                ));
            }
        }
        between(
            "lease",
            self.lease,
            Duration::from_millis(500),
            Duration::from_secs(60 * 60),
        )?;
        between(
            "poll_interval",
            self.poll_interval,
            Duration::from_millis(5),
            Duration::from_secs(60 * 60),
        )?;
        between(
            "grace_period",
            self.grace_period,
            Duration::ZERO,
            Duration::from_secs(24 * 60 * 60),
        )?;
        between(
            "census_interval",
            self.census_interval,
            Duration::from_secs(1),
            Duration::from_secs(24 * 60 * 60),
        )?;
        between(
            "history_retention",
            self.history_retention,
            Duration::from_secs(60 * 60),
            Duration::from_secs(100 * 365 * 24 * 60 * 60),
        )?;
        if let Some(step) = self.priority_ageing {
            between(
                "priority_ageing",
                step,
                Duration::from_millis(1),
                Duration::from_secs(365 * 24 * 60 * 60),
            )?;
        }
        if let Some(release) = &self.release
            && let Some(problem) = name_problem(release)
        {
            return Err(refuse("release", problem));
        }
        Ok(self)
    }

    /// Returns how many tasks the worker runs at once, of all its queues.
    pub(crate) fn slots(&self) -> i32 {
        let slots = self
            .queues
            .iter()
            .map(|(_, concurrency)| concurrency)
            .sum::<usize>();
        i32::try_from(slots).unwrap_or(i32::MAX)
    }

    pub(crate) fn queue_names(&self) -> Vec<String> {
        self.queues.iter().map(|(queue, _)| queue.clone()).collect()
    }
}

fn between(
    setting: &'static str,
    value: Duration,
    least: Duration,
    most: Duration,
) -> Result<(), WorkerError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(refuse(
        setting,
        format!("must be between {least:?} and {most:?}, not {value:?}"),
    ))
}

fn refuse(setting: &'static str, problem: String) -> WorkerError {
    WorkerError::Setting { setting, problem }
}
