//! The deploy files and the guide: they name the metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sqlx::AssertSqlSafe;
use taskq::metrics::names::{ALL, Metric, MetricKind};

use crate::support::database;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the words of a text that are named like metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named = words.filter(|word| word.starts_with("taskq_") && *word != "taskq_read");
    named.map(str::to_owned).collect()
}

/// Returns the names under which a metric is exposed: what `it/watch/metrics.rs` finds in a live scrape.
fn exposed(metric: &Metric) -> Vec<String> {
    match metric.kind {
        MetricKind::Histogram => ["_bucket", "_sum", "_count"]
            .map(|suffix| format!("{}{suffix}", metric.name))
            .to_vec(),
        _ => vec![metric.name.to_owned()],
    }
}

#[test]
fn the_deploy_files_name_only_metrics_that_are_exposed() {
    let exposed: BTreeSet<String> = ALL.iter().flat_map(exposed).collect();
    let mut all = BTreeSet::new();
    for file in ["grafana-dashboard.json", "prometheus-alerts.yaml"] {
        let path = root().join("examples/deploy").join(file);
        let names = named(&fs::read_to_string(path).expect("readable"));
        assert!(names.len() > 5, "{file}: {names:?}");
        for name in &names {
            assert!(exposed.contains(name), "{file}: there is no {name}");
        }
        all.extend(names);
    }
    for metric in ALL {
        let shown = all.iter().any(|name| name.starts_with(metric.name));
        assert!(shown, "neither shows {}", metric.name);
    }
}

#[tokio::test]
async fn what_an_autoscaler_asks_is_understood() {
    let (_database, pool) = database().await;
    let path = root().join("examples/deploy/kubernetes.yaml");
    let text = fs::read_to_string(path).expect("readable");
    let (_, rest) = text.split_once("query: \"").expect("a query");
    let query = rest.split('"').next().unwrap_or_default().to_owned();
    let load: i64 = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(&pool)
        .await
        .expect("a number");
    assert_eq!(load, 0);
}

#[test]
fn the_dashboard_asks_by_labels_that_there_are() {
    let path = root().join("examples/deploy/grafana-dashboard.json");
    let text = fs::read_to_string(path).expect("readable");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.len() > 10);
    for panel in panels {
        for target in panel["targets"].as_array().expect("targets") {
            let expr = target["expr"].as_str().expect("an expression");
            for part in expr.split('{').skip(1) {
                let matchers = part.split('}').next().unwrap_or_default();
                let before = expr[..expr.find(part).unwrap_or_default()].trim_end_matches('{');
                let name = before
                    .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .next()
                    .unwrap_or_default();
                let metric = ALL.iter().find(|it| name.starts_with(it.name));
                let metric = metric.unwrap_or_else(|| panic!("{name} in {expr}"));
                for matcher in matchers.split(',') {
                    let label = matcher.split(['=', '!']).next().unwrap_or_default();
                    assert!(
                        metric.labels.contains(&label),
                        "{label} of {name} in {expr}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_guide_has_the_table_of_metrics() {
    let guide = fs::read_to_string(root().join("docs/guide/watch.md")).expect("readable");
    let rows: Vec<(&str, BTreeSet<String>)> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `taskq_"))
        .map(|line| {
            let mut cells = line.split('|');
            let name = cells
                .next()
                .unwrap_or_default()
                .trim()
                .trim_end_matches('`');
            let labels = cells.next().unwrap_or_default().split('`');
            let labels = labels.filter(|label| label.chars().any(char::is_alphabetic));
            (name, labels.map(str::to_owned).collect())
        })
        .collect();
    let there: Vec<(&str, BTreeSet<String>)> = ALL
        .iter()
        .map(|metric| {
            let labels = metric.labels.iter().map(|label| (*label).to_owned());
            (metric.name.trim_start_matches("taskq_"), labels.collect())
        })
        .collect();
    assert_eq!(rows, there);
}
