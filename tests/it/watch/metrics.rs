//! What metrics tell, of how many workers, and at what cost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use sqlx::PgPool;
use taskq::error::BoxError;
use taskq::hooks::Wants;
use taskq::metrics::names::{ALL, MetricKind, OTHER};
use taskq::{Hook, task};

use super::{Watched, get, request};
use crate::support::{database, drain, execute, one, until, while_working, worker};

const CANARY: &str = "canary";

#[task(queue = "mail", max_attempts = 1)]
async fn send_card(name: String) -> Result<(), BoxError> {
    match name.as_str() {
        "ada" => Ok(()),
        _ => Err(format!("no {name}").into()),
    }
}

/// A hook that wants nothing.
struct Nothing;

impl Hook for Nothing {
    fn name(&self) -> &str {
        "nothing"
    }

    fn wants(&self, _: &str) -> Wants {
        Wants::NOTHING
    }
}

/// Returns the samples of a page: what each line is called, with its labels, and its number.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let mut samples = BTreeMap::new();
    for line in lines {
        let (name, number) = line.rsplit_once(' ').expect("a sample");
        let number = number.parse().expect("a number");
        let twice = samples.insert(name.to_owned(), number);
        assert!(twice.is_none(), "{name} stands there twice");
    }
    samples
}

async fn enqueue(pool: &PgPool) {
    execute(
        pool,
        r#"insert into taskq.task (task_type, queue, payload, run_at, created_at)
           select 'send_card', 'mail', '{"name": "ada"}', now() - interval '3 seconds', now() - interval '1 hour' from generate_series(1, 5);
           insert into taskq.task (task_type, queue, payload) values ('send_card', 'mail', '{"name": "canary"}');
           insert into taskq.task (task_type, queue, payload)
           values ('canary_1', 'mail', '{}'), ('canary_2', 'canary_3', '{}'), ('canary_4', 'mail', '{}');
           insert into taskq.pruned (task_type, outcome, total, last_at)
           values ('send_card', 'discarded', 7, now()), ('canary_5', 'completed', 2, now()), ('canary_6', 'completed', 3, now())"#,
    )
    .await;
}

#[tokio::test]
async fn a_page_tells_of_the_worker_and_of_the_tables_by_declared_names_alone() {
    let (_database, pool) = database().await;
    enqueue(&pool).await;
    let worker = worker(&pool)
        .queue("mail", 3)
        .only::<(SendCard,)>()
        .release("1.4.2")
        .hook(Nothing)
        .build()
        .await
        .expect("a worker");
    let metrics = worker.metrics();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let test = async {
        let other = format!("taskq_tasks{{queue=\"mail\",task_type=\"{OTHER}\",state=\"due\"}}");
        let attempts = |outcome: &str| {
            format!(
                "taskq_attempts_total{{queue=\"mail\",task_type=\"send_card\",outcome=\"{outcome}\"}}"
            )
        };
        // The tables may have been asked first before it died.
        let dead = r#"taskq_tasks{queue="mail",task_type="send_card",state="dead"}"#;
        let done = async || {
            let samples = samples(&metrics.text());
            let of = |name: &str| samples.get(name).copied();
            of(&other) == Some(2.0)
                && of(&attempts("completed")) == Some(5.0)
                && of(&attempts("discarded")) == Some(1.0)
                && of(dead) == Some(1.0)
        };
        until("counted, and the tables were asked", done).await;
        drop(stop);
        metrics.text()
    };
    let run = worker.run_until(async {
        stopped.await.ok();
    });
    let (page, ended) = tokio::join!(test, run);
    ended.expect("stopped in order");
    assert_eq!(
        metrics.text(),
        "",
        "nothing is left of a worker that has ended"
    );

    assert!(!page.contains(CANARY), "{page}");
    let samples = samples(&page);
    for metric in ALL {
        let what = format!("# HELP {} {}\n# TYPE {0} ", metric.name, metric.help);
        assert!(page.contains(&what), "{what} in {page}");
        let suffix = match metric.kind {
            MetricKind::Histogram => "_bucket",
            _ => "",
        };
        let start = format!("{}{suffix}", metric.name);
        let of_it = samples.keys().filter(|name| {
            name.strip_prefix(&start)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        });
        let mut number = 0;
        for name in of_it {
            number += 1;
            let labels: BTreeSet<&str> = name
                .split(['{', ','])
                .filter_map(|part| part.split_once('=').map(|(label, _)| label))
                .filter(|label| *label != "le")
                .collect();
            assert_eq!(labels, metric.labels.iter().copied().collect(), "{name}");
        }
        assert!(number > 0, "there is no {} in {page}", metric.name);
    }
    let of = |name: &str| samples[name];
    let kind = r#"{queue="mail",task_type="send_card""#;
    assert!((15.0..60.0).contains(&of(&format!("taskq_wait_seconds_sum{kind}}}"))));
    assert_eq!(of(&format!("taskq_wait_seconds_count{kind}}}")), 6.0);
    assert_eq!(
        of(&format!("taskq_wait_seconds_bucket{kind},le=\"+Inf\"}}")),
        6.0
    );
    assert_eq!(of(&format!("taskq_tasks{kind},state=\"due\"}}")), 0.0);
    assert_eq!(of(r#"taskq_slots{queue="mail"}"#), 3.0);
    assert_eq!(of(r#"taskq_worker_info{release="1.4.2"}"#), 1.0);
    assert_eq!(of(r#"taskq_claimed_tasks_total{queue="mail"}"#), 6.0);
    assert_eq!(of("taskq_workers"), 1.0);
    let pruned = |task_type: &str, outcome: &str| {
        format!("taskq_pruned_tasks_total{{task_type=\"{task_type}\",outcome=\"{outcome}\"}}")
    };
    assert_eq!(of(&pruned("send_card", "discarded")), 7.0);
    assert_eq!(of(&pruned(OTHER, "completed")), 5.0);
}

#[tokio::test]
async fn an_endpoint_answers_prometheus_and_refuses_the_rest() {
    let (database, _pool) = database().await;
    let watched = Watched::start(&database.url(), 1, &[]);
    let address = &watched.addresses[0];
    until("ready", async || get(address, "/ready").await.0 == 200).await;
    let answer = request(address, "GET /metrics?x=1").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("\ntaskq_slots{queue=\"mail\"} 2\n"),
        "{answer}"
    );
    assert_eq!(get(address, "/").await.0, 404);
    let posted = request(address, "POST /metrics").await;
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
}

/// Counts the queries by a sequence: a read leaves no other trace.
#[tokio::test]
async fn of_many_workers_one_asks_the_tables_once_in_an_interval_and_another_follows_it() {
    let (database, pool) = database().await;
    execute(&pool, "create sequence public.asked").await;
    let edits = r#"[{"statement": "gauges", "from": "as workers,", "to": "as workers, nextval('public.asked'),"}]"#;
    let url = database.url();
    let first = Watched::start(&url, 1, &[("TASKQ_EDITS", edits)]);
    let exposes = async |address: &String| {
        get(address, "/metrics")
            .await
            .1
            .contains("\ntaskq_workers ")
    };
    until("the first asks", async || {
        exposes(&first.addresses[0]).await
    })
    .await;
    let others = Watched::start(&url, 8, &[("TASKQ_EDITS", edits)]);
    until("all live", async || {
        one::<i64>(&pool, "select count(*) from taskq.worker where is_watched").await == 9
    })
    .await;
    let asked = async || one::<i64>(&pool, "select last_value from public.asked").await;
    let before = asked().await;
    // A little more than an interval, in which each is scraped again and again.
    for _ in 0..18 {
        for address in &others.addresses {
            assert!(
                !exposes(address).await,
                "only one exposes what is of the tables"
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let queries = asked().await - before;
    assert!((1..=2).contains(&queries), "{queries} queries");
    let workers = async || {
        let mut exposing = 0;
        for address in &others.addresses {
            exposing += i32::from(exposes(address).await);
        }
        exposing
    };
    // In order, so that it unregisters.
    execute(
        &pool,
        "select taskq.stop_worker(worker_id) from taskq.worker order by started_at limit 1",
    )
    .await;
    until("another asks", async || workers().await == 1).await;
}

#[derive(Debug, Default)]
struct Recorded {
    numbers: Mutex<BTreeMap<String, f64>>,
    described: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Clone, Default)]
struct TestRecorder(Arc<Recorded>);

#[derive(Debug)]
struct Cell {
    recorded: Arc<Recorded>,
    name: String,
}

impl Cell {
    fn update(&self, change: impl FnOnce(f64) -> f64) {
        let mut numbers = self.recorded.numbers.lock().expect("unpoisoned");
        let number = numbers.entry(self.name.clone()).or_default();
        *number = change(*number);
    }
}

#[expect(clippy::cast_precision_loss, reason = "small")]
impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.update(|it| it + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.update(|_| value as f64);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.update(|it| it + value);
    }

    fn decrement(&self, value: f64) {
        self.update(|it| it - value);
    }

    fn set(&self, value: f64) {
        self.update(|_| value);
    }
}

impl HistogramFn for Cell {
    fn record(&self, _: f64) {
        self.update(|it| it + 1.0);
    }
}

impl TestRecorder {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels = key
            .labels()
            .map(|it| format!(" {}={}", it.key(), it.value()));
        Arc::new(Cell {
            recorded: self.0.clone(),
            name: format!("{}{}", key.name(), labels.collect::<String>()),
        })
    }

    fn describe(&self, name: &KeyName) {
        let mut described = self.0.described.lock().expect("unpoisoned");
        described.insert(name.as_str().to_owned());
    }
}

impl Recorder for TestRecorder {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

#[tokio::test]
async fn a_recorder_that_is_installed_gets_the_same_numbers() {
    let (_database, pool) = database().await;
    enqueue(&pool).await;
    execute(
        &pool,
        "delete from taskq.task where task_type <> 'send_card'",
    )
    .await;
    let recorder = TestRecorder::default();
    // Everything of this test runs on this thread.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mailer = || worker(&pool).queue("mail", 3).only::<(SendCard,)>();
    drain(mailer(), &pool).await;
    let described: Vec<String> = {
        let described = recorder.0.described.lock().expect("unpoisoned");
        described.iter().cloned().collect()
    };
    let mut names: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    assert_eq!(described, names);
    let numbers = recorder.0.numbers.lock().expect("unpoisoned").clone();
    let kind = "queue=mail task_type=send_card";
    let of = |name: String| numbers.get(&name).copied();
    assert_eq!(
        of(format!("taskq_attempts_total {kind} outcome=completed")),
        Some(5.0)
    );
    assert_eq!(
        of(format!("taskq_attempts_total {kind} outcome=discarded")),
        Some(1.0)
    );
    assert_eq!(of(format!("taskq_wait_seconds {kind}")), Some(6.0));
    assert_eq!(of(format!("taskq_run_seconds {kind}")), Some(6.0));
    assert_eq!(of("taskq_slots queue=mail".to_owned()), Some(3.0));
    assert!(
        !numbers.keys().any(|name| name.starts_with("taskq_tasks")),
        "nobody has asked for what is of the tables"
    );
    assert!(
        !numbers.keys().any(|name| name.contains(CANARY)),
        "{numbers:?}"
    );
}

#[tokio::test]
async fn a_worker_that_nobody_watches_does_not_ask_the_tables() {
    let (_database, pool) = database().await;
    while_working(worker(&pool).only::<(SendCard,)>(), async {
        until("there", async || {
            one::<i64>(&pool, "select count(*) from taskq.worker").await == 1
        })
        .await;
        let watched: i64 = one(&pool, "select count(*) from taskq.worker where is_watched").await;
        assert_eq!(watched, 0);
    })
    .await;
}
