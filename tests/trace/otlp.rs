//! From an HTTP request to a handler's call and to its retry, as a collector receives it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Router, serve};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use sqlx::PgPool;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::receiver::{Received, Receiver};
use crate::{database, drain, until, worker};

/// Where the mail server of this test listens.
struct Smtp(std::net::SocketAddr);

static HAS_FAILED: AtomicBool = AtomicBool::new(false);

#[taskq::task]
async fn send_welcome(
    attempt: &taskq::Attempt,
    smtp: &Smtp,
    usr_id: i64,
) -> Result<(), taskq::error::BoxError> {
    let answer = greet(smtp).await?;
    if !HAS_FAILED.swap(true, Ordering::Relaxed) {
        attempt.retry_in(Duration::ZERO);
        return Err(format!("user {usr_id}: {answer}").into());
    }
    Ok(())
}

#[tracing::instrument(name = "smtp", skip_all, fields(otel.kind = "client"))]
async fn greet(smtp: &Smtp) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(smtp.0).await?;
    stream.write_all(b"EHLO taskq.test\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.trim().to_owned())
}

async fn sign_up(State(pool): State<PgPool>) -> StatusCode {
    let request = async {
        let mut tx = pool.begin().await?;
        SendWelcome::enqueue(&mut tx, 42).await?;
        tx.commit().await?;
        Ok::<_, taskq::error::BoxError>(())
    };
    let span = tracing::info_span!("POST /signup", otel.kind = "server");
    match request.instrument(span).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn start_smtp() -> Smtp {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(b"450 try again\r\n").await;
        }
    });
    Smtp(address)
}

async fn start_web(pool: PgPool) -> std::net::SocketAddr {
    let router = Router::new()
        .route("/signup", post(sign_up))
        .with_state(pool);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { serve(listener, router).await });
    address
}

/// Exports spans in the way in which programs do: in batches, on a thread of its own.
fn exporter(to: std::net::SocketAddr) -> SdkTracerProvider {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(format!("http://{to}/v1/traces"))
        .build()
        .expect("an exporter");
    SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .build()
}

#[tokio::test]
async fn one_trace_leads_from_a_request_to_the_handlers_call_and_to_its_retry() {
    let (_database, pool) = database().await;
    let (receiver, collector) = Receiver::start().await;
    let provider = tokio::task::spawn_blocking(move || exporter(collector));
    let provider = provider.await.expect("made");
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    let _guard = tracing::subscriber::set_default(subscriber);
    let web = start_web(pool.clone()).await;
    let answer = post_to(web).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let smtp = start_smtp().await;
    drain(worker(&pool).only::<(SendWelcome,)>().state(smtp), &pool).await;
    let flushed = tokio::task::spawn_blocking(move || provider.force_flush());
    flushed.await.expect("flushed").expect("flushed");
    until("two attempts are received", || {
        receiver.named("process send_welcome").len() == 2
    })
    .await;

    let [request] = one_or_more(&receiver, "POST /signup");
    let [send] = one_or_more(&receiver, "send send_welcome");
    let [first, second] = one_or_more(&receiver, "process send_welcome");
    let [call, call_of_retry] = one_or_more(&receiver, "smtp");
    assert_eq!(request.parent_span_id, "");
    // Server, producer, consumer, client.
    assert_eq!(
        [request.kind, send.kind, first.kind, call.kind],
        [2, 4, 5, 3]
    );
    for (child, parent) in [(&send, &request), (&first, &send), (&call, &first)] {
        assert_eq!(child.trace_id, request.trace_id, "{child:?}");
        assert_eq!(child.parent_span_id, parent.span_id, "{child:?}");
    }
    // The retry has a trace of its own, which leads back.
    assert_ne!(second.trace_id, request.trace_id);
    assert_eq!(second.parent_span_id, "");
    let links: Vec<_> = (second.links.iter())
        .map(|it| (&it.trace_id, &it.span_id))
        .collect();
    assert_eq!(links, [(&send.trace_id, &send.span_id)]);
    assert_eq!(call_of_retry.parent_span_id, second.span_id);

    let task_id = send.attribute("messaging.message.id").expect("an id");
    for (span, attempt, outcome) in [(&first, "1", "retry"), (&second, "2", "completed")] {
        for (key, value) in [
            ("messaging.system", "taskq"),
            ("messaging.destination.name", "default"),
            ("messaging.operation.type", "process"),
            ("messaging.message.id", &task_id),
            ("taskq.attempt", attempt),
            ("taskq.outcome", outcome),
        ] {
            assert_eq!(span.attribute(key).as_deref(), Some(value), "{key}");
        }
        assert!(!span.is_error(), "a retried failure is none: {span:?}");
    }
    let error = first.attribute("taskq.error").expect("an error");
    assert!(error.contains("user 42: 450 try again"), "{error}");
}

async fn post_to(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = "POST /signup HTTP/1.1\r\nhost: taskq.test\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

fn one_or_more<const N: usize>(receiver: &Receiver, name: &str) -> [Received; N] {
    let spans = receiver.named(name);
    spans
        .try_into()
        .unwrap_or_else(|spans| panic!("not {N} spans `{name}`: {spans:?}"))
}
