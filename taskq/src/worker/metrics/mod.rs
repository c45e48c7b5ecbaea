//! Metrics of workers and of the tables: for Prometheus, and for whatever recorder the program has installed.
//!
//! A worker counts its attempts anyway, a few numbers for each kind of tasks, and writes them down with its heartbeats. What
//! is exposed here is made of the same numbers, so a task costs nothing more. The names stand in [`names`].
//!
//! ```no_run
//! # async fn run(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
//! let worker = taskq::Worker::builder(pool).build().await?;
//! let listener = tokio::net::TcpListener::bind(("127.0.0.1", 9464)).await?;
//! // GET /metrics, /live, /ready
//! tokio::spawn(worker.metrics().serve(listener));
//! worker.run_until(taskq::shutdown_signal()).await?;
//! # Ok(()) }
//! ```
//!
//! With a recorder of the crate [`metrics`](::metrics), nothing is to be done: workers publish to it every few seconds. What is
//! about the tables is published only if [`Worker::metrics`](crate::Worker::metrics) was called.
//!
//! # One query for all
//!
//! Of the workers that expose metrics, one asks the tables, once in 15 seconds, and it alone exposes those metrics:
//! [`Metric::of_database`](names::Metric::of_database). So `max by (queue, task_type, state) (taskq_tasks)` is right, however
//! many workers are scraped. If that worker stops, another one follows with its next heartbeat, and if it vanishes, when its
//! registration expires.

mod facade;
pub(crate) mod meters;
pub mod names;
mod numbers;
mod serve;
mod text;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub(super) use self::facade::{describe, publish};
use self::meters::Snapshot;
use self::names::{
    ATTEMPTS, HOOK_FAILURES, LEASES_LOST, OLDEST_DUE_AGE, PRUNED, RUN, SCHEDULE_LATE, SILENCE,
    TASKS, WAIT, WORKER_INFO, WORKERS,
};
use self::numbers::{float, of_queues};
use self::text::Page;
use super::health::Health;
use super::shared::Core;

/// The metrics of a worker: see [`Worker::metrics`](crate::Worker::metrics). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// What a worker has does not outlive it because somebody looks at it.
    core: Weak<Core>,
    health: Health,
}

impl Metrics {
    pub(super) fn of(core: &Arc<Core>) -> Self {
        core.meters.watch();
        Self {
            core: Arc::downgrade(core),
            health: Health::of(core),
        }
    }

    /// Returns all metrics as Prometheus reads them: its text format, version 0.0.4. It asks no database. Nothing is left of
    /// a worker that has ended.
    ///
    /// ```no_run
    /// # fn f(worker: &taskq::Worker) {
    /// let metrics = worker.metrics();
    /// // For an endpoint of your own, as `text/plain; version=0.0.4`:
    /// let page: String = metrics.text();
    /// # }
    /// ```
    pub fn text(&self) -> String {
        let mut page = Page::default();
        if let Some(core) = self.core.upgrade() {
            publish(&core);
            write_worker(&mut page, &core);
            if let Some(tables) = core.meters.tables(Instant::now()) {
                write_tables(&mut page, &tables);
            }
        }
        page.into_text()
    }

    /// Sets how long a loop may be silent that is not stuck: see [`Health::patience`].
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        let health = self.health.patience(patience);
        Self { health, ..self }
    }

    /// Returns what tells whether the worker is alive, and whether it is ready.
    pub fn health(&self) -> Health {
        self.health.clone()
    }
}

fn write_worker(page: &mut Page, core: &Core) {
    let totals = core.counters.totals();
    let name = |queue: usize| &*core.queue_names[queue];
    page.begin(ATTEMPTS);
    for ((queue, task_type), tally) in &totals {
        for (outcome, number) in tally.outcomes() {
            page.sample(ATTEMPTS, &[name(*queue), task_type, outcome], float(number));
        }
    }
    page.begin(WAIT);
    for ((queue, task_type), tally) in &totals {
        page.histogram(
            WAIT,
            &[name(*queue), task_type],
            &tally.wait,
            tally.sums.wait,
        );
    }
    page.begin(RUN);
    for ((queue, task_type), tally) in &totals {
        page.histogram(RUN, &[name(*queue), task_type], &tally.run, tally.sums.run);
    }
    for (metric, numbers) in of_queues(core) {
        page.begin(metric);
        for (queue, number) in numbers.into_iter().enumerate() {
            page.sample(metric, &[name(queue)], number);
        }
    }
    let lost = core.meters.leases_lost.load(Ordering::Relaxed);
    let silence = core.beats.silence(Instant::now()).as_secs_f64();
    for (metric, number) in [(LEASES_LOST, float(lost)), (SILENCE, silence)] {
        page.begin(metric);
        page.sample(metric, &[], number);
    }
    let hooks = core.settings.hooks.counts();
    if !hooks.is_empty() {
        page.begin(HOOK_FAILURES);
    }
    for hook in hooks {
        for (kind, number) in hook.by_word() {
            page.sample(HOOK_FAILURES, &[&hook.name, kind], float(number));
        }
    }
    page.begin(WORKER_INFO);
    page.sample(
        WORKER_INFO,
        &[core.settings.release.as_deref().unwrap_or("")],
        1.0,
    );
}

fn write_tables(page: &mut Page, tables: &Snapshot) {
    page.begin(TASKS);
    for ((queue, task_type), kind) in &tables.kinds {
        for (state, number) in kind.states() {
            page.sample(
                TASKS,
                &[queue, task_type, state],
                float(number.unsigned_abs()),
            );
        }
    }
    page.begin(OLDEST_DUE_AGE);
    for ((queue, task_type), kind) in &tables.kinds {
        let age = kind.oldest_due_age.unwrap_or(0.0);
        page.sample(OLDEST_DUE_AGE, &[queue, task_type], age);
    }
    page.begin(WORKERS);
    page.sample(WORKERS, &[], float(tables.workers.unsigned_abs()));
    page.begin(SCHEDULE_LATE);
    page.sample(SCHEDULE_LATE, &[], tables.schedule_late);
    page.begin(PRUNED);
    for ((task_type, outcome), total) in &tables.pruned {
        page.sample(PRUNED, &[task_type, outcome], float(total.unsigned_abs()));
    }
}
