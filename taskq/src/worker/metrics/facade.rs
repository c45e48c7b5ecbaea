//! Publishing to the recorder of the crate `metrics` that the program has installed, if it has.

use std::time::{Duration, Instant};

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Unit, with_recorder};

use super::names::{
    ALL, ATTEMPTS, CLAIMED_TASKS, CLAIMS, HOOK_FAILURES, LEASES_LOST, Metric, MetricKind,
    OLDEST_DUE_AGE, PRUNED, RUN, SCHEDULE_LATE, SILENCE, TASKS, WAIT, WORKER_INFO, WORKERS,
};
use super::numbers::{float, of_queues};
use crate::attempt::spread::Spread;
use crate::worker::shared::Core;

const METADATA: Metadata<'static> = Metadata::new("taskq", Level::INFO, Some(module_path!()));

/// Says what the metrics mean.
pub(crate) fn describe() {
    with_recorder(|recorder| {
        for metric in ALL {
            let (name, help) = (metric.name.into(), metric.help.into());
            let unit = match metric.name.ends_with("_seconds") {
                true => Unit::Seconds,
                false => Unit::Count,
            };
            match metric.kind {
                MetricKind::Counter => recorder.describe_counter(name, Some(unit), help),
                MetricKind::Gauge => recorder.describe_gauge(name, Some(unit), help),
                MetricKind::Histogram => recorder.describe_histogram(name, Some(unit), help),
            }
        }
    });
}

/// Gathers what attempts have counted since the last time, and publishes it, and what is.
pub(crate) fn publish(core: &Core) {
    for ((queue, task_type), tally) in core.counters.gather() {
        let queue = &*core.queue_names[queue];
        for (outcome, number) in tally.outcomes() {
            counter(ATTEMPTS, &[queue, task_type, outcome]).increment(number);
        }
        record(WAIT, &[queue, task_type], &tally.wait);
        record(RUN, &[queue, task_type], &tally.run);
    }
    for (metric, numbers) in of_queues(core) {
        for (queue, number) in core.queue_names.iter().zip(numbers) {
            match metric {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it was a count"
                )]
                CLAIMS | CLAIMED_TASKS => counter(metric, &[queue]).absolute(number as u64),
                _ => gauge(metric, &[queue]).set(number),
            }
        }
    }
    let lost = core
        .meters
        .leases_lost
        .load(std::sync::atomic::Ordering::Relaxed);
    counter(LEASES_LOST, &[]).absolute(lost);
    for hook in core.settings.hooks.counts() {
        for (kind, number) in hook.by_word() {
            counter(HOOK_FAILURES, &[&hook.name, kind]).absolute(number);
        }
    }
    let release = core.settings.release.as_deref().unwrap_or("");
    gauge(WORKER_INFO, &[release]).set(1.0);
    let silence = core.beats.silence(Instant::now()).as_secs_f64();
    gauge(SILENCE, &[]).set(silence);
    publish_tables(core);
}

/// Publishes what the tables answered, if this worker asks them.
fn publish_tables(core: &Core) {
    let Some(tables) = core.meters.tables(Instant::now()) else {
        return;
    };
    for ((queue, task_type), kind) in &tables.kinds {
        for (state, number) in kind.states() {
            gauge(TASKS, &[queue, task_type, state]).set(float(number.unsigned_abs()));
        }
        let age = kind.oldest_due_age.unwrap_or(0.0);
        gauge(OLDEST_DUE_AGE, &[queue, task_type]).set(age);
    }
    gauge(WORKERS, &[]).set(float(tables.workers.unsigned_abs()));
    gauge(SCHEDULE_LATE, &[]).set(tables.schedule_late);
    for ((task_type, outcome), total) in &tables.pruned {
        counter(PRUNED, &[task_type, outcome]).absolute(total.unsigned_abs());
    }
}

/// Records the times of a spread: each as the middle of its bucket.
fn record(metric: Metric, values: &[&str], spread: &Spread) {
    let key = key(metric, values);
    let histogram: Histogram = with_recorder(|it| it.register_histogram(&key, &METADATA));
    let mut from = Duration::ZERO;
    for (to, count) in spread.buckets() {
        if count > 0 {
            let middle = from + (to - from) / 2;
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            histogram.record_many(middle.as_secs_f64(), count);
        }
        from = to;
    }
}

fn counter(metric: Metric, values: &[&str]) -> Counter {
    let key = key(metric, values);
    with_recorder(|it| it.register_counter(&key, &METADATA))
}

fn gauge(metric: Metric, values: &[&str]) -> Gauge {
    let key = key(metric, values);
    with_recorder(|it| it.register_gauge(&key, &METADATA))
}

fn key(metric: Metric, values: &[&str]) -> Key {
    let labels = metric.labels.iter().zip(values);
    let labels: Vec<Label> = labels
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}
