//! The names of all metrics, with what they mean: the one place where they stand.

/// A metric, as it is exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name. Of a histogram, `_bucket`, `_sum` and `_count` follow.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What it tells.
    pub help: &'static str,
    /// Its labels. Their values are names that programs declare, words of this crate, or [`OTHER`]: never an id, a key or a
    /// text of an error.
    pub labels: &'static [&'static str],
    /// Whether it is about all of the tables, and not about one worker: then one worker at a time exposes it.
    pub of_database: bool,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A number that only grows while a worker runs.
    Counter,
    /// A number that is what it is.
    Gauge,
    /// How many took how long.
    Histogram,
}

/// What stands for a queue or a task type that no living worker declares: anybody may write rows with any name.
pub const OTHER: &str = "_other";

const fn metric(
    name: &'static str,
    kind: MetricKind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        help,
        labels,
        of_database: false,
    }
}

const fn of_database(metric: Metric) -> Metric {
    Metric {
        of_database: true,
        ..metric
    }
}

/// Attempts that ended, by how: `completed`, `retry`, `snooze`, `hand_back`, `discarded`, `cancelled`, `invalid`, `expired`.
pub const ATTEMPTS: Metric = metric(
    "taskq_attempts_total",
    MetricKind::Counter,
    &["queue", "task_type", "outcome"],
    "Attempts that ended, by outcome.",
);

/// How long tasks had been due when their handlers started, of attempts that completed or failed.
pub const WAIT: Metric = metric(
    "taskq_wait_seconds",
    MetricKind::Histogram,
    &["queue", "task_type"],
    "How long tasks had been due when their handlers started, in seconds.",
);

/// How long handlers ran, of attempts that completed or failed.
pub const RUN: Metric = metric(
    "taskq_run_seconds",
    MetricKind::Histogram,
    &["queue", "task_type"],
    "How long handlers ran, in seconds.",
);

/// Claims that brought tasks.
pub const CLAIMS: Metric = metric(
    "taskq_claims_total",
    MetricKind::Counter,
    &["queue"],
    "Claims that brought tasks.",
);

/// Tasks that claims brought.
pub const CLAIMED_TASKS: Metric = metric(
    "taskq_claimed_tasks_total",
    MetricKind::Counter,
    &["queue"],
    "Tasks that claims brought.",
);

/// Leases that this worker lost, or gave up because no heartbeat came through. Their tasks run again.
pub const LEASES_LOST: Metric = metric(
    "taskq_leases_lost_total",
    MetricKind::Counter,
    &[],
    "Leases that were lost, or given up because no heartbeat came through: their tasks run again.",
);

/// How many tasks of a queue this worker runs at once.
pub const SLOTS: Metric = metric(
    "taskq_slots",
    MetricKind::Gauge,
    &["queue"],
    "How many tasks the worker runs at once.",
);

/// How many of them run.
pub const SLOTS_BUSY: Metric = metric(
    "taskq_slots_busy",
    MetricKind::Gauge,
    &["queue"],
    "How many tasks the worker runs now.",
);

/// For how long the loop of this worker has been silent that has been so for longest: see
/// [`Health::silence`](crate::Health::silence).
pub const SILENCE: Metric = metric(
    "taskq_loop_silence_seconds",
    MetricKind::Gauge,
    &[],
    "For how long the quietest loop of the worker has been silent, in seconds.",
);

/// Calls of [hooks](crate::Hook) that failed, by how: `veto`, `failure`, `panic`; and `dropped`, attempts of which a hook was
/// not told. Only of a worker that has hooks.
pub const HOOK_FAILURES: Metric = metric(
    "taskq_hook_failures_total",
    MetricKind::Counter,
    &["hook", "kind"],
    "Calls of hooks that refused or failed, and attempts of which a hook was not told.",
);

/// Always 1: the release of this worker, where its program [says one](crate::WorkerBuilder::release).
pub const WORKER_INFO: Metric = metric(
    "taskq_worker_info",
    MetricKind::Gauge,
    &["release"],
    "Always 1: the release of the worker.",
);

/// How many tasks there are, by where they are: `due`, `scheduled`, `running`, `dead`. Counted up to some thousands of each.
pub const TASKS: Metric = of_database(metric(
    "taskq_tasks",
    MetricKind::Gauge,
    &["queue", "task_type", "state"],
    "Tasks that are due, scheduled, running or dead, counted up to some thousands of each.",
));

/// For how long the oldest task has been due; zero where none is, or where a pause holds it back.
pub const OLDEST_DUE_AGE: Metric = of_database(metric(
    "taskq_oldest_due_age_seconds",
    MetricKind::Gauge,
    &["queue", "task_type"],
    "For how long the oldest task has been due, in seconds; zero where none is, or it is paused.",
));

/// Workers that live.
pub const WORKERS: Metric = of_database(metric(
    "taskq_workers",
    MetricKind::Gauge,
    &[],
    "Workers that live.",
));

/// How late the schedule is that is late by most; zero where none is. A paused one is not late.
pub const SCHEDULE_LATE: Metric = of_database(metric(
    "taskq_schedule_late_seconds",
    MetricKind::Gauge,
    &[],
    "How late the latest schedule is, in seconds; zero where none is.",
));

/// Tasks that were deleted because they are kept no longer, by how they had ended. It grows also while no worker exposes it.
pub const PRUNED: Metric = of_database(metric(
    "taskq_pruned_tasks_total",
    MetricKind::Counter,
    &["task_type", "outcome"],
    "Tasks that were deleted because they are kept no longer, by how they had ended.",
));

/// All metrics.
pub const ALL: &[Metric] = &[
    ATTEMPTS,
    WAIT,
    RUN,
    CLAIMS,
    CLAIMED_TASKS,
    LEASES_LOST,
    SLOTS,
    SLOTS_BUSY,
    SILENCE,
    HOOK_FAILURES,
    WORKER_INFO,
    TASKS,
    OLDEST_DUE_AGE,
    WORKERS,
    SCHEDULE_LATE,
    PRUNED,
];
