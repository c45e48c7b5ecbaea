//! The span of an enqueue, with the feature `otel`: only where the caller is in a trace that is recorded.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt as _};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::attempt::trace::Sender;
use crate::error::EnqueueError;
use crate::store::MixedRow;
use crate::task::options::EnqueueOptions;
use crate::task::payload::TaskType;

/// Begins a span that lasts for an enqueue, and has the tasks say which it is; `None` outside of any recorded trace, where
/// nothing is written.
pub(super) fn begin(
    task_type: &TaskType,
    options: &mut EnqueueOptions,
    is_alone: bool,
) -> Option<Span> {
    let caller = recorded(&Span::current().context()).or_else(|| recorded(&Context::current()))?;
    let queue = options.queue.as_deref().unwrap_or(task_type.options.queue);
    let span = tracing::info_span!(
        "send",
        otel.name = format!("send {}", task_type.name),
        otel.kind = "producer",
        messaging.system = "taskq",
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.destination.name = queue,
        messaging.message.id = Empty,
        messaging.batch.message_count = Empty,
        task_type = task_type.name,
    );
    // A subscriber may leave the span out.
    let sender = recorded(&span.context()).unwrap_or(caller);
    Sender {
        span: sender,
        is_alone,
    }
    .write(&mut options.metadata);
    Some(span)
}

/// Begins a span that lasts for an enqueue of tasks of several types, likewise.
pub(super) fn begin_mixed(rows: &mut [MixedRow]) -> Option<Span> {
    let caller = recorded(&Span::current().context()).or_else(|| recorded(&Context::current()))?;
    let task_type = rows.first()?.task_type.name;
    let is_of_one = rows.iter().all(|row| row.task_type.name == task_type);
    let name = if is_of_one { task_type } else { "many" };
    let span = tracing::info_span!(
        "send",
        otel.name = format!("send {name}"),
        otel.kind = "producer",
        messaging.system = "taskq",
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.batch.message_count = Empty,
    );
    let sender = Sender {
        span: recorded(&span.context()).unwrap_or(caller),
        is_alone: false,
    };
    for row in rows {
        sender.write(&mut row.options.metadata);
    }
    Some(span)
}

/// Says how the enqueue of a task ended, and which task it was.
pub(super) fn end_one(span: &Span, ended: Result<i64, &EnqueueError>) {
    match ended {
        Ok(task_id) => drop(span.record("messaging.message.id", task_id.to_string())),
        Err(error) => span.set_status(Status::error(error.to_string())),
    }
}

/// Says how the enqueue of many ended, and how many they were.
pub(super) fn end_many(span: &Span, ended: Result<u64, &EnqueueError>) {
    match ended {
        Ok(count) => drop(span.record("messaging.batch.message_count", count)),
        Err(error) => span.set_status(Status::error(error.to_string())),
    }
}

fn recorded(context: &Context) -> Option<SpanContext> {
    let span = context.span();
    let span = span.span_context();
    (span.is_valid() && span.is_sampled()).then(|| span.clone())
}
