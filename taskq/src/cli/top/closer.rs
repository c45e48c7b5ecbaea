//! What is told of a row that somebody looks at more closely.

use std::fmt::Write as _;
use std::time::Duration;

use super::rates::Rate;
use super::seen::Seen;
use crate::cli::said::seconds;
use crate::cli::text::{in_words, printable, up_to};
use crate::operate::minutes::Spread;
use crate::operate::stats::KindStats;
use crate::operate::workers::WorkerStatus;

/// Tells of a kind how much there is, how fast it goes, and who runs it.
pub(super) fn of_kind(kind: &KindStats, rate: Rate, seen: &Seen) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| _ = writeln!(text, "{name:14}{value}");
    line("due", up_to(kind.due, kind.counted_to));
    if let Some(at) = kind.oldest_due_at {
        let age = in_words((seen.at().unwrap_or_default() - at).num_seconds());
        line("the oldest", format!("{age}, since {}", seconds(&at)));
    }
    line("due later", up_to(kind.scheduled, kind.counted_to));
    line("running", kind.running.to_string());
    line("dead", up_to(kind.dead, kind.counted_to));
    line("come", per_minute(rate.come));
    line("go", per_minute(Some(rate.go)));
    let (mut wait, mut run) = (Spread::default(), Spread::default());
    let of_kind = |it: &&crate::operate::minutes::Minute| {
        it.queue == kind.queue && it.task_type == kind.task_type
    };
    for minute in seen.minutes.iter().filter(of_kind) {
        wait.merge(&minute.wait);
        run.merge(&minute.run);
    }
    line("waited", quantiles(&wait));
    line("ran", quantiles(&run));
    if kind.is_paused {
        line("paused", "`pauses` says by whom and why".to_owned());
    }
    let serves = |worker: &&WorkerStatus| {
        worker.is_alive
            && worker.queues.contains(&kind.queue)
            && worker.task_types.contains(&kind.task_type)
    };
    let number = seen.workers.iter().filter(serves).count();
    line(
        "workers",
        match number {
            0 => "none that lives serves the queue and knows the type".to_owned(),
            number => number.to_string(),
        },
    );
    text
}

fn quantiles(spread: &Spread) -> String {
    let part = |part| spread.quantile(part).unwrap_or_default();
    match spread.count() {
        0 => "nobody in the last minutes".to_owned(),
        _ => format!(
            "half within {}, 95 % within {}, in the last minutes",
            shown(part(0.5)),
            shown(part(0.95))
        ),
    }
}

fn shown(time: Duration) -> String {
    match time.as_millis() {
        milliseconds @ 0..1_000 => format!("{milliseconds} ms"),
        _ => in_words(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)),
    }
}

fn per_minute(rate: Option<f64>) -> String {
    match rate {
        Some(rate) => format!("{rate:.0} a minute"),
        None => "not known yet, or too many to be counted".to_owned(),
    }
}

/// Tells of a worker what it serves and how it is.
pub(super) fn of_worker(worker: &WorkerStatus) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| _ = writeln!(text, "{name:14}{}", printable(&value));
    line("host", worker.host.clone());
    line("process", worker.process_id.to_string());
    if let Some(release) = &worker.release {
        line("release", release.clone());
    }
    line("started", seconds(&worker.started_at));
    line("seen", seconds(&worker.seen_at));
    line("alive until", seconds(&worker.expires_at));
    if let Some(at) = &worker.stop_asked_at {
        line("asked to stop", seconds(at));
    }
    line("running", worker.running.to_string());
    line("leases", worker.leases.to_string());
    line("queues", worker.queues.join(", "));
    line("task types", worker.task_types.join(", "));
    text
}
