//! Which spans there are, what they say, and what enqueues write, with an exporter that keeps them here.

use std::time::Duration;

use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData, Tracer,
};
use sqlx::PgPool;
use taskq::{Trace, task};
use tokio::time::sleep;
use tracing::Instrument as _;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{database, drain, worker};

#[task(max_attempts = 2)]
async fn work(attempt: &taskq::Attempt, #[serde(default)] fails: bool) -> Result<(), String> {
    let work = tracing::info_span!("the work of the handler");
    work.in_scope(|| ());
    match fails {
        true => {
            attempt.retry_in(Duration::ZERO);
            Err("out of paper".to_owned())
        }
        false => Ok(()),
    }
}

/// What the spans of this thread say, and of all that runs on it.
struct Spans {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    _guard: DefaultGuard,
}

impl Spans {
    fn keep() -> Self {
        Self::sampled(Sampler::AlwaysOn)
    }

    fn sampled(sampler: Sampler) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_simple_exporter(exporter.clone())
            .build();
        let tracer: Tracer = provider.tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let subscriber = tracing_subscriber::registry().with(layer);
        Self {
            exporter,
            provider,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    fn all(&self) -> Vec<SpanData> {
        self.provider.force_flush().expect("flushed");
        self.exporter.get_finished_spans().expect("spans")
    }

    fn named(&self, name: &str) -> Vec<SpanData> {
        let mut spans = self.all();
        spans.retain(|it| it.name == name);
        spans
    }

    fn one(&self, name: &str) -> SpanData {
        let mut spans = self.named(name);
        assert_eq!(spans.len(), 1, "{name}: {:?}", self.all());
        spans.remove(0)
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|it| it.key.as_str() == key)?;
    Some(found.value.to_string())
}

/// Enqueues within a span of the application's.
async fn enqueue(pool: &PgPool, fails: bool) -> i64 {
    let request = async {
        let mut conn = pool.acquire().await.expect("a connection");
        Work::enqueue(&mut conn, fails)
            .await
            .expect("enqueued")
            .task_id
    };
    request.instrument(tracing::info_span!("request")).await
}

async fn metadata(pool: &PgPool) -> Vec<Option<serde_json::Value>> {
    sqlx::query_scalar("select metadata from taskq.task order by task_id")
        .fetch_all(pool)
        .await
        .expect("readable")
}

/// Tells how an attempt is tied to the span that enqueued its task.
fn tie(attempt: &SpanData, send: &SpanData) -> &'static str {
    let links = attempt.links.iter().map(|it| &it.span_context);
    let is_linked = links
        .clone()
        .any(|it| it.span_id() == send.span_context.span_id());
    let is_child = attempt.parent_span_id == send.span_context.span_id();
    let is_root = attempt.parent_span_id == opentelemetry::trace::SpanId::INVALID;
    let is_same = attempt.span_context.trace_id() == send.span_context.trace_id();
    match (is_child, is_same, is_root, is_linked, links.count()) {
        (true, true, false, false, 0) => "child",
        (false, false, true, true, 1) => "linked root",
        (false, false, true, false, 0) => "root",
        other => panic!("{other:?}: {attempt:?}"),
    }
}

#[tokio::test]
async fn an_enqueue_outside_of_a_recorded_trace_writes_nothing() {
    let (_database, pool) = database().await;
    let mut conn = pool.acquire().await.expect("a connection");
    Work::enqueue(&mut conn, false).await.expect("enqueued");
    {
        let spans = Spans::keep();
        Work::enqueue(&mut conn, false).await.expect("enqueued");
        taskq::enqueue_many(&mut conn, [Work { fails: false }])
            .await
            .expect("enqueued");
        taskq::enqueue_copy(&mut conn, [Work { fails: false }])
            .await
            .expect("enqueued");
        assert!(spans.all().is_empty());
    }
    let _unsampled = Spans::sampled(Sampler::AlwaysOff);
    enqueue(&pool, false).await;
    assert_eq!(metadata(&pool).await, [None, None, None, None, None]);
}

#[tokio::test]
async fn an_idle_worker_has_no_spans() {
    let (_database, pool) = database().await;
    let spans = Spans::keep();
    let worker = worker(&pool)
        .only::<(Work,)>()
        .lease(Duration::from_millis(500))
        .poll_interval(Duration::from_millis(5));
    let worker = worker.build().await.expect("the worker starts");
    let idle = async {
        sleep(Duration::from_secs(2)).await;
        assert!(spans.all().is_empty(), "{:?}", spans.all());
    };
    worker.run_until(idle).await.expect("stopped");
    // What the worker has spawned may have its span for a moment more.
    let mut ended = Vec::new();
    while ended.is_empty() {
        sleep(Duration::from_millis(10)).await;
        ended.extend(spans.all().into_iter().map(|it| it.name));
    }
    assert_eq!(ended, ["worker"], "at its end, for the lines of its log");
}

#[tokio::test]
async fn a_first_attempt_is_a_child_and_a_retry_a_root_with_a_link() {
    let (_database, pool) = database().await;
    let spans = Spans::keep();
    enqueue(&pool, true).await;
    drain(worker(&pool).only::<(Work,)>(), &pool).await;
    let send = spans.one("send work");
    let attempts = spans.named("process work");
    let ties: Vec<_> = attempts.iter().map(|it| tie(it, &send)).collect();
    assert_eq!(ties, ["child", "linked root"]);
    assert!(attempts.iter().all(|it| it.span_kind == SpanKind::Consumer));
    // The handler's own spans are inside.
    let inner = spans.named("the work of the handler");
    assert_eq!(inner.len(), 2);
    for (inner, attempt) in inner.iter().zip(&attempts) {
        assert_eq!(inner.parent_span_id, attempt.span_context.span_id());
    }
    // Only the second, after which the task is dead, is an error.
    let outcomes: Vec<_> = (attempts.iter())
        .map(|it| (attribute(it, "taskq.outcome"), it.status.clone()))
        .collect();
    assert_eq!(
        outcomes,
        [
            (Some("retry".into()), Status::Unset),
            (Some("discarded".into()), Status::error("out of paper")),
        ]
    );
}

#[tokio::test]
async fn what_was_put_off_or_has_waited_or_came_with_others_is_a_root_with_a_link() {
    let (_database, pool) = database().await;
    for how in ["delayed", "waited", "many", "copy", "unique", "asked"] {
        let spans = Spans::keep();
        let request = async {
            let mut conn = pool.acquire().await.expect("a connection");
            let work = Work { fails: false };
            match how {
                "delayed" => {
                    let delay = Duration::from_secs(60);
                    let task = taskq::enqueue(&mut conn, work).delay(delay).await;
                    task.expect("enqueued");
                    let due = "update taskq.task set created_at = created_at - interval '1 minute', run_at = now()";
                    sqlx::query(due).execute(&mut *conn).await.expect("moved");
                }
                "waited" => {
                    taskq::enqueue(&mut conn, work).await.expect("enqueued");
                    let past = "update taskq.task set created_at = now() - interval '6 minutes', run_at = now() - interval '6 minutes'";
                    sqlx::query(past).execute(&mut *conn).await.expect("moved");
                }
                "many" => drop(
                    taskq::enqueue_many(&mut conn, [work])
                        .await
                        .expect("enqueued"),
                ),
                "copy" => drop(
                    taskq::enqueue_copy(&mut conn, [work])
                        .await
                        .expect("enqueued"),
                ),
                "unique" => {
                    let task = taskq::enqueue(&mut conn, work).unique_key("a").await;
                    task.expect("enqueued");
                }
                _ => drop(
                    taskq::enqueue(&mut conn, work)
                        .await
                        .expect("enqueued")
                        .task_id,
                ),
            }
        };
        request.instrument(tracing::info_span!("request")).await;
        let mut worker = worker(&pool).only::<(Work,)>();
        if how == "asked" {
            worker = worker.trace(Trace::Link);
        }
        drain(worker, &pool).await;
        let tied = tie(&spans.one("process work"), &spans.one("send work"));
        let expected = if how == "unique" {
            "child"
        } else {
            "linked root"
        };
        assert_eq!(tied, expected, "{how}");
        let send = spans.one("send work");
        assert_eq!(send.span_kind, SpanKind::Producer);
        let count = attribute(&send, "messaging.batch.message_count");
        let is_batch = ["many", "copy"].contains(&how);
        assert_eq!(count.as_deref(), is_batch.then_some("1"), "{how}");
        let id = attribute(&send, "messaging.message.id");
        assert_eq!(id.is_some(), !is_batch, "{how}");
    }
}

#[tokio::test]
async fn what_nobody_enqueued_in_a_trace_is_a_root() {
    let (_database, pool) = database().await;
    let sql = "select taskq.upsert_schedule('nightly', '0 3 * * *', 'work', '{}'); select taskq.run_schedule('nightly')";
    sqlx::raw_sql(sql).execute(&pool).await.expect("enqueued");
    let spans = Spans::keep();
    drain(worker(&pool).only::<(Work,)>(), &pool).await;
    let attempt = spans.one("process work");
    assert_eq!(
        attempt.parent_span_id,
        opentelemetry::trace::SpanId::INVALID
    );
    assert!(attempt.links.is_empty());
    assert_eq!(
        attribute(&attempt, "taskq.outcome").as_deref(),
        Some("completed")
    );
}

#[tokio::test]
async fn a_program_in_another_language_may_write_the_trace() {
    let (_database, pool) = database().await;
    let sql = r#"select taskq.enqueue('work', '{}', '{"metadata": {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}'),
        taskq.enqueue('work', '{}', '{"metadata": {"traceparent": "no trace"}}')"#;
    sqlx::raw_sql(sql).execute(&pool).await.expect("enqueued");
    let spans = Spans::keep();
    drain(worker(&pool).only::<(Work,)>(), &pool).await;
    let mut parents: Vec<_> = (spans.named("process work").iter())
        .map(|it| it.parent_span_id.to_string())
        .collect();
    parents.sort();
    assert_eq!(parents, ["0000000000000000", "00f067aa0ba902b7"]);
}
