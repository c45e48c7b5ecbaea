//! A receiver of OTLP over HTTP, as a collector is one: it takes JSON at `/v1/traces` and keeps the spans.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;

#[derive(Clone, Default)]
pub(crate) struct Receiver(Arc<Mutex<Vec<Received>>>);

/// A span, as it came.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Received {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    #[serde(default)]
    pub(crate) parent_span_id: String,
    pub(crate) name: String,
    pub(crate) kind: u8,
    #[serde(default)]
    attributes: Vec<Attribute>,
    #[serde(default)]
    pub(crate) links: Vec<Linked>,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Linked {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Attribute {
    key: String,
    value: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u8,
}

impl Received {
    /// Returns the text of an attribute; what is a number is written as one.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        let attribute = self.attributes.iter().find(|it| it.key == key)?;
        let value = attribute.value.values().next()?;
        Some(value.as_str().map_or(value.to_string(), str::to_owned))
    }

    pub(crate) fn is_error(&self) -> bool {
        self.status.code == 2
    }
}

impl Receiver {
    /// Listens on a port of its own.
    pub(crate) async fn start() -> (Self, SocketAddr) {
        let receiver = Self::default();
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(receiver.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, address)
    }

    /// Returns the spans of this name that have come.
    pub(crate) fn named(&self, name: &str) -> Vec<Received> {
        let spans = self.0.lock().expect("whole");
        spans.iter().filter(|it| it.name == name).cloned().collect()
    }
}

async fn receive(State(receiver): State<Receiver>, Json(request): Json<Value>) -> Json<Value> {
    let items = |value: &Value, name: &str| -> Vec<Value> {
        value[name].as_array().cloned().unwrap_or_default()
    };
    for resource in items(&request, "resourceSpans") {
        for scope in items(&resource, "scopeSpans") {
            for span in items(&scope, "spans") {
                let span = serde_json::from_value(span).expect("a span");
                receiver.0.lock().expect("whole").push(span);
            }
        }
    }
    Json(serde_json::json!({}))
}
