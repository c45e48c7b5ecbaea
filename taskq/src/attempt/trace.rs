//! The trace of an enqueue, as it travels with its task.
//!
//! In the metadata stand the headers of the W3C: `traceparent`, and `tracestate` where there is one. So a program in another
//! language can write them too. Tasks that are enqueued together say `tracelink` in place of `traceparent`: ten thousand
//! of them are no part of one trace.

use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use serde_json::Value;

use super::metadata::Metadata;

const PARENT: &str = "traceparent";
const LINK: &str = "tracelink";
const STATE: &str = "tracestate";

/// How the first attempt of a task goes on with the trace of its enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Trace {
    /// As a child of the span that enqueued it, so that one trace has both. A task that was put off, has waited for
    /// more than five minutes, or was enqueued together with others has a trace of its own with a link.
    #[default]
    Child,
    /// In a trace of its own, with a link to the span that enqueued it.
    Link,
}

/// The span that enqueued a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sender {
    pub(crate) span: SpanContext,
    /// Whether the task was enqueued by itself.
    pub(crate) is_alone: bool,
}

impl Sender {
    /// Reads it from a task's metadata. What is no trace is nothing.
    pub(crate) fn of(metadata: &Metadata) -> Option<Self> {
        let text = |name| metadata.get(name).and_then(Value::as_str);
        let (parent, is_alone) = match text(PARENT) {
            Some(parent) => (parent, true),
            None => (text(LINK)?, false),
        };
        let state = text(STATE).and_then(|state| TraceState::from_str(state).ok());
        Some(Self {
            span: read(parent, state.unwrap_or_default())?,
            is_alone,
        })
    }

    /// Writes it into a task's metadata, unless a trace is there already.
    pub(crate) fn write(&self, metadata: &mut Metadata) {
        if metadata.get(PARENT).or(metadata.get(LINK)).is_some() {
            return;
        }
        let span = &self.span;
        let parent = format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            span.trace_flags().to_u8()
        );
        let name = if self.is_alone { PARENT } else { LINK };
        metadata.set(name.to_owned(), parent.into());
        let state = span.trace_state().header();
        if !state.is_empty() {
            metadata.set(STATE.to_owned(), state.into());
        }
    }
}

/// Reads `00-<trace>-<span>-<flags>`. A later version may have more behind that.
fn read(parent: &str, state: TraceState) -> Option<SpanContext> {
    let mut parts = parent.split('-');
    let mut hex = |length: usize| {
        let part = parts.next()?;
        let is_hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
        (part.len() == length && part.bytes().all(is_hex)).then_some(part)
    };
    let (version, trace_id, span_id, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    if version == "ff" || version == "00" && parts.next().is_some() {
        return None;
    }
    let span = SpanContext::new(
        TraceId::from_hex(trace_id).ok()?,
        SpanId::from_hex(span_id).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        state,
    );
    span.is_valid().then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_comes_back_as_it_was_written() {
        let state = TraceState::from_str("vendor=1").expect("a state");
        for is_alone in [true, false] {
            let sender = Sender {
                span: read(TRACE, state.clone()).expect("a trace"),
                is_alone,
            };
            let mut metadata = Metadata::default();
            sender.write(&mut metadata);
            assert_eq!(Sender::of(&metadata), Some(sender));
        }
    }

    #[test]
    fn what_is_no_trace_is_nothing() {
        for parent in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert_eq!(read(parent, TraceState::default()), None, "{parent}");
        }
        let later = TRACE.replacen("00", "01", 1) + "-x";
        assert!(read(&later, TraceState::default()).is_some());
        assert_eq!(Sender::of(&Metadata::default()), None);
    }

    #[test]
    fn a_trace_that_somebody_has_given_stays() {
        let mut metadata = Metadata::default();
        metadata.set(PARENT.to_owned(), "mine".into());
        let span = read(TRACE, TraceState::default()).expect("a trace");
        let sender = Sender {
            span,
            is_alone: true,
        };
        sender.write(&mut metadata);
        assert_eq!(metadata.get(PARENT), Some(&"mine".into()));
    }
}
