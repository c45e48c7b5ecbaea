//! The span of an attempt. With the feature `otel` it goes on with the trace of the task's enqueue.

use tracing::Span;

use crate::attempt::verdict::Verdict;
use crate::store::ClaimedTask;
use crate::worker::shared::Core;

/// Begins the span that lasts for an attempt, at the level of errors: so its lines are never without the task that they
/// are about.
#[cfg(not(feature = "otel"))]
pub(super) fn begin(_core: &Core, task: &ClaimedTask, queue: &str) -> Span {
    tracing::error_span!(
        "task",
        task_type = task.task_type,
        task_id = task.task_id,
        attempt = task.attempts.saturating_add(1),
        queue,
    )
}

/// Begins the span of one call for many tasks, at the level of errors too.
#[cfg(not(feature = "otel"))]
pub(super) fn begin_batch(_core: &Core, tasks: &[ClaimedTask], queue: &str) -> Span {
    batch_span(tasks, queue)
}

fn batch_span(tasks: &[ClaimedTask], queue: &str) -> Span {
    let task_type = tasks.first().map_or("", |task| &task.task_type);
    tracing::error_span!("batch", task_type, tasks = tasks.len(), queue)
}

/// Begins the span in which something is said of one of many tasks.
pub(super) fn of_member(task: &ClaimedTask, queue: &str) -> Span {
    tracing::error_span!(
        "task",
        task_type = task.task_type,
        task_id = task.task_id,
        attempt = task.attempts.saturating_add(1),
        queue,
    )
}

/// Says of the span of an attempt how that ended.
#[cfg(not(feature = "otel"))]
pub(super) fn end(_verdict: &Verdict) {}

#[cfg(feature = "otel")]
pub(super) use self::otel::{begin, begin_batch, end};

#[cfg(feature = "otel")]
mod otel {
    use std::time::Duration;

    use chrono::TimeDelta;
    use opentelemetry::Context;
    use opentelemetry::trace::{Status, TraceContextExt as _};
    use tracing::field::Empty;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    use super::{ClaimedTask, Core, Span, Verdict};
    use crate::attempt::trace::{Sender, Trace};

    /// A task that has waited longer begins a trace of its own: whoever enqueued it is long done, and a trace of hours is
    /// seldom kept whole.
    const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

    /// A task that is due this much later than it was enqueued was put off.
    const PUT_OFF: Duration = Duration::from_secs(1);

    /// As without the feature, and what the OpenTelemetry layer of the program, if there is one, says of the span.
    pub(in super::super) fn begin(core: &Core, task: &ClaimedTask, queue: &str) -> Span {
        let span = tracing::error_span!(
            "task",
            task_type = task.task_type,
            task_id = task.task_id,
            attempt = task.attempts.saturating_add(1),
            queue,
            otel.name = Empty,
            otel.kind = Empty,
        );
        let sender = Sender::of(&task.metadata);
        let parent = sender
            .as_ref()
            .filter(|sender| goes_on(core, task, sender))
            .map(|sender| Context::new().with_remote_span_context(sender.span.clone()));
        let is_child = parent.is_some();
        // Otherwise a root, and no child of the worker's own span, which lasts as long as the worker.
        if span.set_parent(parent.unwrap_or_default()).is_err() {
            return span;
        }
        if let Some(sender) = sender
            && !is_child
        {
            span.add_link(sender.span);
        }
        span.record("otel.name", format!("process {}", task.task_type));
        span.record("otel.kind", "consumer");
        span.set_attribute("messaging.system", "taskq");
        span.set_attribute("messaging.operation.name", "process");
        span.set_attribute("messaging.operation.type", "process");
        span.set_attribute("messaging.destination.name", queue.to_owned());
        span.set_attribute("messaging.message.id", task.task_id.to_string());
        span.set_attribute("taskq.attempt", i64::from(task.attempts) + 1);
        span
    }

    /// As without the feature, with a link to the trace of each enqueue: a call for many goes on with none of them.
    pub(in super::super) fn begin_batch(_core: &Core, tasks: &[ClaimedTask], queue: &str) -> Span {
        let span = super::batch_span(tasks, queue);
        if span.set_parent(Context::new()).is_err() {
            return span;
        }
        let senders = tasks.iter().filter_map(|task| Sender::of(&task.metadata));
        senders.for_each(|sender| span.add_link(sender.span));
        let task_type = tasks.first().map_or("", |task| &task.task_type);
        span.set_attribute("messaging.system", "taskq");
        span.set_attribute("messaging.operation.name", "process");
        span.set_attribute("messaging.operation.type", "process");
        span.set_attribute("messaging.destination.name", queue.to_owned());
        span.set_attribute(
            "messaging.batch.message_count",
            i64::try_from(tasks.len()).unwrap_or(i64::MAX),
        );
        span.set_attribute("taskq.task_type", task_type.to_owned());
        span
    }

    /// Tells whether an attempt belongs to the trace of its task's enqueue.
    fn goes_on(core: &Core, task: &ClaimedTask, sender: &Sender) -> bool {
        let longer = |from, to: Option<_>, than: Duration| {
            let than = TimeDelta::from_std(than).unwrap_or(TimeDelta::MAX);
            to.is_some_and(|to| to - from > than)
        };
        let is_first = task.attempts == 0 && task.crashes == 0;
        let is_put_off = longer(task.created_at, Some(task.run_at), PUT_OFF);
        let has_waited = longer(task.created_at, core.database_clock.now(), LONGEST_WAIT);
        core.settings.trace == Trace::Child
            && sender.is_alone
            && is_first
            && !is_put_off
            && !has_waited
    }

    /// Says of the span of an attempt how that ended. A failure that is retried is no error of the span: only a task
    /// that is dead is.
    pub(in super::super) fn end(verdict: &Verdict) {
        let span = Span::current();
        span.set_attribute("taskq.outcome", verdict.name());
        if let Some(error) = verdict.error() {
            span.set_attribute("taskq.error", error.to_owned());
        }
        if matches!(
            verdict,
            Verdict::Discard { .. } | Verdict::Invalid { .. } | Verdict::Expire
        ) {
            let why = verdict.error().unwrap_or("it did not start in time");
            span.set_status(Status::error(why.to_owned()));
        }
    }
}
