//! The text that Prometheus reads: one sample a line, the help and the kind of each metric in front.

use std::fmt::Write;
use std::time::Duration;

use super::names::{Metric, MetricKind};
use crate::attempt::spread::Spread;

/// A page of metrics.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// Begins a metric: its samples follow.
    pub(super) fn begin(&mut self, metric: Metric) {
        let Metric { name, help, .. } = metric;
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// Adds a sample, with the values of the metric's labels in their order.
    pub(super) fn sample(&mut self, metric: Metric, values: &[&str], number: f64) {
        let labels = labels(metric.labels, values);
        self.write(format_args!("{}{labels} {number}\n", metric.name));
    }

    /// Adds a histogram. Every second power of two is enough for a graph, and half as much to keep.
    pub(super) fn histogram(
        &mut self,
        metric: Metric,
        values: &[&str],
        spread: &Spread,
        sum: Duration,
    ) {
        let name = metric.name;
        let mut below = 0;
        let last = spread.buckets().count() - 1;
        for (at, (bound, count)) in spread.buckets().enumerate() {
            below += count;
            if at % 2 == 0 && at < last {
                let bound = bound.as_secs_f64();
                let bucket = labelled(metric.labels, values, Some(("le", &bound.to_string())));
                self.write(format_args!("{name}_bucket{bucket} {below}\n"));
            }
        }
        let all = labelled(metric.labels, values, Some(("le", "+Inf")));
        let labels = labels(metric.labels, values);
        let sum = sum.as_secs_f64();
        self.write(format_args!(
            "{name}_bucket{all} {below}\n{name}_sum{labels} {sum}\n{name}_count{labels} {below}\n"
        ));
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = self.text.write_fmt(what);
    }
}

fn labels(names: &[&str], values: &[&str]) -> String {
    labelled(names, values, None)
}

fn labelled(names: &[&str], values: &[&str], more: Option<(&str, &str)>) -> String {
    let given = names.iter().copied().zip(values.iter().copied());
    let parts: Vec<String> = given
        .chain(more)
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", parts.join(",")),
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::names::{LEASES_LOST, RUN, SLOTS};
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        let mut page = Page::default();
        page.begin(SLOTS);
        page.sample(SLOTS, &["a\"} 1\nevil\\"], 3.0);
        page.sample(LEASES_LOST, &[], 0.0);
        let text = page.into_text();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "# TYPE taskq_slots gauge",
                r#"taskq_slots{queue="a\"} 1\nevil\\"} 3"#,
                "taskq_leases_lost_total 0",
            ]
        );
    }

    #[test]
    fn the_buckets_of_a_histogram_count_all_that_is_below() {
        let mut spread = Spread::default();
        for milliseconds in [0, 1, 3, 5, 1_000_000_000] {
            spread.record(Duration::from_millis(milliseconds));
        }
        let mut page = Page::default();
        page.histogram(RUN, &["mail", "send"], &spread, Duration::from_millis(1500));
        let text = page.into_text();
        let kind = r#"queue="mail",task_type="send""#;
        for line in [
            format!(r#"taskq_run_seconds_bucket{{{kind},le="0.001"}} 1"#),
            format!(r#"taskq_run_seconds_bucket{{{kind},le="0.004"}} 3"#),
            format!(r#"taskq_run_seconds_bucket{{{kind},le="0.016"}} 4"#),
            format!(r#"taskq_run_seconds_bucket{{{kind},le="+Inf"}} 5"#),
            format!(r#"taskq_run_seconds_sum{{{kind}}} 1.5"#),
            format!(r#"taskq_run_seconds_count{{{kind}}} 5"#),
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}
