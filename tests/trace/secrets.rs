//! A canary in secret fields, and the ways out that are no table, no log and no page: spans, metrics, notifications, and what
//! hooks and events tell.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, Tracer};
use serde_json::json;
use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgPool, query, query_scalar};
use taskq::error::BoxError;
use taskq::events::Subscription;
use taskq::hooks::{BoxFuture, EndedAttempt, Enqueuing, Wants, register};
use taskq::{Attempt, Batch, Hook, enqueue, task};
use tokio::sync::oneshot;
use tokio::time::{Duration, sleep, timeout};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{LIMIT, database, worker};

/// Is in each secret field, and nowhere else.
const CANARY: &str = "cAnAry-7f3a\"x";

/// What is left of it where quotes are escaped, or where it was cut.
const MARK: &str = "cAnAry";

fn assert_clean(what: &str, text: &str) {
    assert!(!text.contains(MARK), "{what} tells the secret: {text}");
}

/// Waits until a statement counts some.
async fn until(what: &str, pool: &PgPool, sql: &'static str) {
    let there = async {
        while query_scalar::<_, i64>(sql)
            .fetch_one(pool)
            .await
            .expect(sql)
            == 0
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(LIMIT, there).await.is_ok(), "{what}: not in time");
}

const ALL_HAVE_ENDED: &str =
    "select (count(*) = 0)::int::bigint from taskq.tasks where state in ('waiting', 'running')";

#[task(
    derive(Debug, Clone),
    max_attempts = 2,
    retry = "fixed(1ms)",
    result = "keep"
)]
async fn unveil(
    attempt: &Attempt,
    how: String,
    #[secret] token: String,
) -> Result<String, BoxError> {
    attempt.progress(0.5, format!("half of {}", token.len()));
    tracing::info!("a line of the handler's own");
    match how.as_str() {
        "fail" => Err(format!("{token} is stolen, that is {token:?}").into()),
        "chain" => Err(anyhow::anyhow!("no {token}").context("cannot go on").into()),
        "panic" => panic!("no connection with {token}"),
        "discard" => Err(taskq::outcome::discard(format!("bad token {token}")).into()),
        "cancel" => Err(taskq::outcome::cancel(format!("not with {token}")).into()),
        _ => Ok("done".to_owned()),
    }
}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(max_attempts = 2)]
struct UnveilAll {
    n: i64,
    #[taskq(secret)]
    token: String,
}

#[task(retry = "fixed(1ms)")]
async fn unveil_all(
    #[batch(3, "20ms")] all: Vec<UnveilAll>,
    batch: &Batch,
    tx: &mut PgConnection,
) -> Vec<Result<(), BoxError>> {
    let _ = (batch.len(), tx);
    let results = all.into_iter().map(|it| match it.n {
        0 => Err(format!("{} is stolen", it.token).into()),
        _ => Ok(()),
    });
    results.collect()
}

/// Writes down all that a hook may see, as a program does that wants to know.
#[derive(Clone, Default)]
struct Nosy(Arc<Mutex<Vec<String>>>);

impl Nosy {
    fn record(&self, what: &dyn std::fmt::Debug) {
        self.0.lock().expect("whole").push(format!("{what:#?}"));
    }

    fn text(&self) -> String {
        self.0.lock().expect("whole").join("\n")
    }
}

impl Hook for Nosy {
    fn name(&self) -> &str {
        "nosy"
    }

    fn wants(&self, task_type: &str) -> Wants {
        match task_type.starts_with("unveil") {
            true => Wants::IN_TX | Wants::AFTER | Wants::ENQUEUE,
            false => Wants::NOTHING,
        }
    }

    fn enqueue_in_tx<'a>(
        &'a self,
        tasks: &'a mut Enqueuing<'_>,
        _tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        self.record(tasks);
        let payloads: Vec<_> = tasks.payloads().map(|it| it.get().to_owned()).collect();
        self.record(&payloads);
        Box::pin(std::future::ready(Ok(())))
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        _tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        self.record(attempt);
        self.record(&attempt.payload());
        Box::pin(std::future::ready(Ok(())))
    }

    fn after<'a>(&'a self, attempt: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        self.record(attempt);
        self.record(&(attempt.payload(), attempt.error()));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The spans of this thread, and of all that runs on it.
struct Spans {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Spans {
    fn keep() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
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

    /// What they say: names, attributes, events and status.
    fn text(&self) -> String {
        self.provider.force_flush().expect("flushed");
        format!("{:#?}", self.exporter.get_finished_spans().expect("spans"))
    }
}

/// The channels on which taskq notifies.
const CHANNELS: [&str; 3] = ["taskq", "taskq.operator", "taskq.ended"];

/// Has tasks end in every way, with the canary in each.
async fn live(pool: &PgPool) {
    let mut db = pool.acquire().await.expect("a connection");
    for how in ["fail", "chain", "panic", "discard", "cancel", "ok"] {
        let task = enqueue(
            &mut db,
            Unveil {
                how: how.into(),
                token: CANARY.into(),
            },
        );
        task.awaited().await.expect("enqueued");
    }
    let all = (0..3).map(|n| UnveilAll {
        n,
        token: CANARY.into(),
    });
    taskq::enqueue_many(&mut db, all).await.expect("enqueued");
    let invalid = query("insert into taskq.task (task_type, payload) values ('unveil', $1)");
    let invalid = invalid.bind(json!({"how": 7, "token": [CANARY]}));
    invalid.execute(&mut *db).await.expect("inserted");
    drop(db);
    until("all have ended", pool, ALL_HAVE_ENDED).await;
    // What operators say, also about a task that holds the canary. Of these statements sqlx has events of its own.
    for said in [
        "select taskq.pause_queue('other', 'a test'), $1::jsonb",
        "select taskq.resume_queue('other'), $1::jsonb",
        "select taskq.retry(max(task_id)), $1::jsonb from taskq.dead where task_type = 'unveil'",
        "select taskq.upsert_schedule('nightly', '0 3 * * *', 'unveil', $1::jsonb)",
        r#"select taskq.cancel(task_id) from taskq.enqueue('unveil', $1::jsonb, '{"delay": "1h", "awaited": true}')"#,
    ] {
        let said = query(said).bind(json!({"how": "ok", "token": CANARY}));
        said.execute(pool).await.expect("said");
    }
    until("the one that was retried has ended", pool, ALL_HAVE_ENDED).await;
}

/// Returns all notifications, by channel, until none comes any more.
async fn heard(listener: &mut PgListener) -> Vec<(String, String)> {
    let mut heard = Vec::new();
    while let Ok(said) = timeout(Duration::from_millis(500), listener.recv()).await {
        let said = said.expect("heard");
        heard.push((said.channel().to_owned(), said.payload().to_owned()));
    }
    heard
}

async fn all(subscription: Subscription) -> String {
    let events: Vec<_> = subscription.collect().await;
    assert!(events.len() > 8, "{events:?}");
    format!("{events:#?}")
}

#[tokio::test]
async fn a_canary_is_in_no_span_no_metric_no_notification_and_nothing_that_hooks_and_events_tell() {
    let (_database, pool) = database().await;
    let spans = Spans::keep();
    let (nosy, at_enqueue) = (Nosy::default(), Nosy::default());
    let registered = register(at_enqueue.clone());
    let mut listener = PgListener::connect_with(&pool).await.expect("a listener");
    listener.listen_all(CHANNELS).await.expect("listens");

    let worker = worker(&pool)
        .only::<(Unveil, UnveilAllHandler)>()
        .hook(nosy.clone())
        .build()
        .await
        .expect("it starts");
    let (events, metrics) = (worker.events().subscribe(), worker.metrics());
    let (stop, stopped) = oneshot::channel::<()>();
    let test = async {
        // Otherwise nobody is woken by a notification.
        let waits = "select count(*) from taskq.sleeper";
        until("the worker waits", &pool, waits).await;
        live(&pool).instrument(tracing::info_span!("request")).await;
        crate::until("the tables were asked", || {
            let text = metrics.text();
            text.contains(r#"outcome="discarded"#) && text.contains(r#"state="dead"#)
        })
        .await;
        let page = metrics.text();
        drop(stop);
        page
    };
    let run = worker.run_until(async {
        stopped.await.ok();
    });
    let (page, ended) = tokio::join!(async { timeout(LIMIT, test).await.expect("in time") }, run);
    ended.expect("it stops");
    registered.unregister();

    assert!(page.contains("unveil"), "{page}");
    assert_clean("the metrics", &page);

    let events = all(events).await;
    assert!(
        events.contains("is stolen") || events.contains("***"),
        "{events}"
    );
    assert_clean("the events", &events);

    let told = nosy.text();
    for part in [
        "Completed",
        "Discarded",
        "Retried",
        "Cancelled",
        "Invalid",
        "UnveilAll",
    ] {
        let part = part.replace("UnveilAll", "unveil_all");
        assert!(told.contains(&part), "no hook was told of {part}: {told}");
    }
    assert_clean("what hooks are told", &told);
    let told = at_enqueue.text();
    assert!(told.contains("unveil_all"), "{told}");
    assert_clean("what hooks of enqueues are told", &told);

    // A span of what the worker has spawned may end a moment later.
    sleep(Duration::from_millis(50)).await;
    let text = spans.text();
    for name in ["send unveil", "process unveil", "attempt failed", "request"] {
        assert!(text.contains(name), "no span has {name}: {text}");
    }
    assert_clean("the spans", &text);

    let heard = heard(&mut listener).await;
    let channels: BTreeSet<&str> = heard.iter().map(|(channel, _)| &**channel).collect();
    assert_eq!(channels, BTreeSet::from(CHANNELS), "{heard:?}");
    assert_clean("a notification", &format!("{heard:?}"));
}

/// A channel of which the test above knows nothing would not be searched.
#[tokio::test]
async fn taskq_notifies_on_no_other_channel() {
    let (_database, pool) = database().await;
    let sources: Vec<(String, String)> = sqlx::query_as(
        "select proname::text, coalesce(pg_get_function_sqlbody(oid), prosrc)
         from pg_proc
         where pronamespace = 'taskq'::regnamespace
           and prokind = 'f'
           and coalesce(pg_get_function_sqlbody(oid), prosrc) like '%pg_notify%'",
    )
    .fetch_all(&pool)
    .await
    .expect("readable");
    assert!(sources.len() > 5, "{sources:?}");
    let known = [
        "tg_table_schema::pg_catalog.text",
        "tg_table_schema",
        "tg_table_schema || '.operator'",
        "tg_table_schema || '.ended'",
        "channel",
        "pg_namespace.nspname::text",
    ];
    for (name, source) in sources {
        for call in source.split("pg_notify(").skip(1) {
            let channel = call.split(',').next().unwrap_or_default().trim();
            assert!(known.contains(&channel), "{name} notifies on {channel}");
        }
    }
}
