//! Keeping the lines that handlers log: a layer of [`tracing_subscriber`] that finds the attempt of each line.
//!
//! The layer only finds out whose an event is, and hands it to its run: see `attempt/log`. The worker writes it.

use std::sync::Arc;
use std::time::Instant;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use crate::attempt::log::{Caps, Current, Fields, Run, SPANS, current, keep};

/// The names of the spans of attempts and of batches.
const NAMES: [&str; 2] = ["task", "batch"];

/// Keeps the lines that handlers log with their attempts: events of [`tracing`], with their time, level, target, message and
/// fields. Operators see them with `taskq show ID --log`, on the task's page, and by
/// [`Operator::logs`](crate::operate::Operator::logs).
///
/// Add it to the subscriber of the program whose worker runs the handlers, beside the layers that are there:
///
/// ```
/// use taskq::LogLayer;
/// use tracing_subscriber::prelude::*;
///
/// # fn main() {
/// tracing_subscriber::registry()
///     // .with(tracing_subscriber::fmt::layer()), and others
///     .with(LogLayer::new().build())
///     .init();
/// # }
/// ```
///
/// An event is an attempt's if it is emitted in the attempt's span or in one below: by the handler, by what it calls, by a
/// task that it spawns with `.in_current_span()`, or by a thread that has entered the span. Other events cost a look at the
/// spans that they are in.
///
/// # What is kept
///
/// Of each call of a handler the newest lines stay, up to [`most_lines`](Self::most_lines) and about
/// [`most_bytes`](Self::most_bytes), and how many were dropped. Of each task the newest twenty calls stay: a retry has its own
/// lines, and so has an attempt that was snoozed or handed back. A line is cut after [`most_of_line`](Self::most_of_line), and
/// in the place of the values of [secret fields](crate::guide::declare#keep-values-secret) stands `***`, as in errors.
///
/// Lines stay for as long as their task: while it waits for its next attempt, while it is dead, and for as long as it is
/// [kept](crate::guide::operate#keep-and-prune) in the history. They go with a task that completes and is not kept, and otherwise
/// within hours after their task.
///
/// # What holds
///
/// Emitting an event stores it and returns. The worker writes what its handlers have logged, all in one statement, once a
/// second at the most and at the end. It does so on a connection of the pool that it takes for the write, never in a handler's
/// transaction: so others see the lines before that commits, and they stay where it is rolled back. If Postgres refuses the
/// lines of one attempt, they are lost, and those of others are not. A process that is killed loses the last second.
///
/// What is logged after the end of the attempt, by a task that it has spawned, is nobody's. What taskq itself says of the
/// attempt's end is not kept: its error is. Only of an attempt that it stops, since the lease is lost or an operator has cancelled
/// the task, the last line says so.
///
/// A [batch](crate::guide::batch) is one call for many tasks. Its lines are stored once, and shown with each of them.
///
/// A filter for the whole program, such as `RUST_LOG=my_app=info`, may leave out the spans of taskq. Then what the handler
/// itself logs is still kept, and what it spawns is not: add `taskq=error` to the filter.
#[derive(Debug, Clone)]
#[must_use = "add what `.build()` returns to the subscriber"]
pub struct LogLayer {
    caps: Caps,
    targets: Targets,
}

impl LogLayer {
    /// Keeps lines of the level `INFO` and above: 500 lines or 100,000 bytes of a call, and 4,000 bytes of a line.
    pub fn new() -> Self {
        Self {
            caps: Caps {
                lines: 500,
                bytes: 100_000,
                line: 4_000,
            },
            targets: Targets::new().with_default(LevelFilter::INFO),
        }
    }

    /// Keeps lines of this level and above, whatever their target.
    pub fn level(self, level: impl Into<LevelFilter>) -> Self {
        self.filter(Targets::new().with_default(level.into()))
    }

    /// Keeps lines by their targets and levels, in place of [`level`](Self::level).
    ///
    /// ```
    /// use taskq::LogLayer;
    /// use tracing_subscriber::filter::{LevelFilter, Targets};
    ///
    /// let targets = Targets::new()
    ///     .with_default(LevelFilter::INFO)
    ///     .with_target("my_app", LevelFilter::DEBUG)
    ///     .with_target("sqlx", LevelFilter::OFF);
    /// let layer = LogLayer::new().filter(targets);
    /// # let _ = layer;
    /// ```
    pub fn filter(mut self, targets: Targets) -> Self {
        self.targets = targets;
        self
    }

    /// Keeps the newest lines of a call of a handler, so many. None is 1, and more than 100,000 are so many.
    pub fn most_lines(mut self, lines: usize) -> Self {
        self.caps.lines = lines.clamp(1, 100_000);
        self
    }

    /// Keeps the newest lines of a call of a handler that together have about so many bytes, as JSON. In the table up to twice as many
    /// may stand. Fewer than 1,000 are so many, and so are more than 10,000,000.
    pub fn most_bytes(mut self, bytes: usize) -> Self {
        self.caps.bytes = bytes.clamp(1_000, 10_000_000);
        self
    }

    /// Keeps so many bytes of the message and the fields of a line. Fewer than 100 are so many, and so are more than
    /// 100,000.
    pub fn most_of_line(mut self, bytes: usize) -> Self {
        self.caps.line = bytes.clamp(100, 100_000);
        self
    }

    /// Makes the layer. It filters for itself alone: other layers get the events that it does not want.
    pub fn build<S>(self) -> impl Layer<S> + Send + Sync
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        keep();
        let wanted = Wanted(self.targets);
        Keeper(self.caps).with_filter(wanted)
    }
}

impl Default for LogLayer {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells whether a span is that of an attempt or of a batch.
fn is_of_attempt(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && NAMES.contains(&metadata.name()) && metadata.target().starts_with(SPANS)
}

/// The events that are kept, and the spans by which their attempts are found.
struct Wanted(Targets);

impl Wanted {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        is_of_attempt(metadata) || self.0.would_enable(metadata.target(), metadata.level())
    }
}

impl<S> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.wants(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let most = self.0.clone().into_iter().map(|(_, level)| level).max();
        let most = most.max(self.0.default_level());
        // The spans of attempts are at the level of errors.
        most.map(|level| level.max(LevelFilter::ERROR))
    }
}

struct Keeper(Caps);

/// The run to which a span belongs.
struct RunOfSpan(Arc<Run>);

impl<S> Layer<S> for Keeper
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if is_of_attempt(attributes.metadata())
            && let Some(Current::Run(run)) = current()
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().replace(RunOfSpan(run));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let known = match current() {
            Some(Current::Nobody) => return,
            Some(Current::Run(run)) => Some(run),
            None => None,
        };
        let of_span = context.event_scope(event).and_then(|mut spans| {
            spans.find_map(|span| Some(span.extensions().get::<RunOfSpan>()?.0.clone()))
        });
        let Some(run) = of_span.or(known).filter(|run| !run.is_over()) else {
            return;
        };
        let at = Instant::now();
        let metadata = event.metadata();
        let fields = Fields::of(event, self.0.line, run.secrets());
        run.record(
            fields.into_line(*metadata.level(), metadata.target(), at),
            self.0,
        );
    }
}
