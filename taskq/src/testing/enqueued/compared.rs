//! In what a task differs from the one that a test expects.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::store::{Schema, TaskOfType};

/// Times that are no further apart are the same: a delay is written as a number of seconds.
const SAME_TIME: Duration = Duration::from_millis(1);

/// What a task must be beside its payload. Not public API.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Conditions {
    pub(super) queue: Option<String>,
    priority: Option<i16>,
    delay: Option<Duration>,
    run_at: Option<DateTime<Utc>>,
    pub(super) schema: Schema,
}

impl Conditions {
    /// It is in this queue.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// It has this priority.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = Some(priority);
        self
    }

    /// It is due so long after its enqueue.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// It is due at this time.
    pub fn run_at(mut self, run_at: DateTime<Utc>) -> Self {
        self.run_at = Some(run_at);
        self
    }

    /// It is in the tables of this schema.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = schema;
        self
    }

    /// Says what is asked beside the queue: ", priority = 5".
    pub(super) fn text(&self) -> String {
        let conditions = [
            self.priority.map(|it| format!(", priority = {it}")),
            self.delay.map(|it| format!(", delay = {it:?}")),
            self.run_at.map(|it| format!(", run_at = {it}")),
            (self.schema.name() != Schema::default().name())
                .then(|| format!(", schema = `{}`", self.schema.name())),
        ];
        conditions.into_iter().flatten().collect()
    }

    /// Returns in what a task differs, if its type has this queue.
    pub(super) fn differences(&self, task: &TaskOfType, own_queue: &str) -> Differences {
        let mut differences = Differences::default();
        let queue = self.queue.as_deref().unwrap_or(own_queue);
        if task.queue != queue {
            differences.record("queue", format!("`{}`", task.queue), format!("`{queue}`"));
        }
        if let Some(priority) = self.priority
            && task.priority != priority
        {
            differences.record("priority", task.priority.to_string(), priority.to_string());
        }
        // What has ended is due no more.
        let Some(is_due) = task.run_at else {
            return differences;
        };
        let waits = is_due - task.created_at;
        if let Some(delay) = self.delay
            && !is_same(waits.to_std().unwrap_or_default(), delay)
        {
            let is = format!("{:?}", waits.to_std().unwrap_or_default());
            differences.record("delay", is, format!("{delay:?}"));
        }
        if let Some(run_at) = self.run_at
            && !is_same(
                (is_due - run_at).abs().to_std().unwrap_or(Duration::MAX),
                Duration::ZERO,
            )
        {
            differences.record("run_at", is_due.to_string(), run_at.to_string());
        }
        differences
    }
}

fn is_same(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= SAME_TIME
}

/// In what a task differs from the one that is meant. Not public API.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Differences(pub(super) Vec<Difference>);

/// One of them.
#[derive(Debug)]
pub(super) struct Difference {
    what: String,
    is: String,
    expected: String,
}

impl Differences {
    /// Records one.
    pub fn record(&mut self, what: &str, is: String, expected: String) {
        let what = what.strip_prefix("r#").unwrap_or(what).to_owned();
        self.0.push(Difference { what, is, expected });
    }

    /// Shows no value of fields that may be secret: those that are, and those whose name in the JSON is another.
    pub(super) fn mask(&mut self, secret: &[&str], is_in_json: impl Fn(&str) -> bool) {
        let fields = self.0.iter_mut();
        for difference in fields.filter(|it| !secret.is_empty() && !it.is_open(secret, &is_in_json))
        {
            difference.is = "another secret value".into();
            difference.expected.clear();
        }
    }
}

impl Difference {
    fn is_open(&self, secret: &[&str], is_in_json: impl Fn(&str) -> bool) -> bool {
        is_in_json(&self.what) && !secret.contains(&self.what.as_str())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, is, expected } = self;
        match expected.is_empty() {
            true => write!(f, "{what} is {is}"),
            false => write!(f, "{what} is {is}, not {expected}"),
        }
    }
}

/// A value of a payload, as a message shows it. Not public API.
#[doc(hidden)]
#[derive(Debug)]
pub struct Shown<'a, T: ?Sized>(pub &'a T);

/// Not public API.
#[doc(hidden)]
pub trait ShownByDebug {
    /// Returns how `Debug` writes it.
    fn shown(&self, text: &str) -> String;
}

impl<T: fmt::Debug + ?Sized> ShownByDebug for Shown<'_, T> {
    fn shown(&self, _text: &str) -> String {
        format!("{:?}", self.0)
    }
}

/// For values without `Debug`: the compiler takes this one where the other does not apply. Not public API.
#[doc(hidden)]
pub trait ShownByText {
    /// Returns what stands in the source.
    fn shown(&self, text: &str) -> String;
}

impl<T: ?Sized> ShownByText for &Shown<'_, T> {
    fn shown(&self, text: &str) -> String {
        text.to_owned()
    }
}
