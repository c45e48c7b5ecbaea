//! A schedule that is made or changed while workers run.

use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::calendar::{Calendar, CatchUp, Overlap, Rules};
use crate::error::{OperateError, error_text};
use crate::store::{Signed, Store};
use crate::task::by_name::enqueue_options;
use crate::task::payload::{self, Payload, Unwritable};

/// What an upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upserted {
    /// It made the schedule.
    Created,
    /// It changed the schedule. If it changed the times, nothing before now is owed.
    Changed,
    /// It changed a schedule that no worker could read: ticks that have come since that was said are made up, as its
    /// [`CatchUp`] says.
    Mended,
    /// The schedule was the same before.
    Unchanged,
}

impl Upserted {
    /// Says what has become of the schedule, and of what it missed.
    #[cfg(any(feature = "cli", feature = "dashboard"))]
    pub(crate) fn said(self, name: &str) -> String {
        match self {
            Self::Created => format!("schedule {name} is made"),
            Self::Changed => format!(
                "schedule {name} is changed: unless its times are as before, no tick before now is made up; run it now if one is still wanted"
            ),
            Self::Mended => format!(
                "schedule {name} is changed, and what was missed while no worker could read it is made up at once"
            ),
            Self::Unchanged => format!("schedule {name} was so already"),
        }
    }
}

/// A schedule that is about to be made or changed: see [`Schedules::upsert`](super::Schedules::upsert).
///
/// # Errors
///
/// [`OperateError::Refused`] if the expression, the zone, the payload or another option cannot be.
///
/// # Cancel safety
///
/// It is one statement: when the future is dropped, it has happened or will not happen.
#[must_use = "nothing is said until this is awaited"]
pub struct Upsert<'c> {
    store: Store<'c>,
    signed: Signed,
    name: String,
    expression: String,
    timezone: String,
    task_type: String,
    /// What its type declares, as far as it is known.
    options: Map<String, Value>,
    payload: Result<Box<RawValue>, OperateError>,
    rules: Rules,
    queue: Option<String>,
    priority: Option<i16>,
}

impl<'c> Upsert<'c> {
    /// The texts are the name, the expression and the time zone.
    pub(super) fn new<P: Payload>(
        store: Store<'c>,
        signed: Signed,
        [name, expression, timezone]: [&str; 3],
        payload: P,
    ) -> Self {
        Self {
            store,
            signed,
            name: name.to_owned(),
            expression: expression.to_owned(),
            timezone: timezone.to_owned(),
            task_type: P::TASK_TYPE.to_owned(),
            options: enqueue_options(const { &P::OPTIONS }),
            payload: written(&payload),
            rules: Rules::default(),
            queue: None,
            priority: None,
        }
    }

    /// As [`new`](Self::new), of a type that is known by its name alone, with these options of its tasks.
    #[cfg(any(feature = "cli", feature = "dashboard"))]
    pub(super) fn by_name(
        store: Store<'c>,
        signed: Signed,
        [name, expression, timezone]: [&str; 3],
        (task_type, options): (&str, Map<String, Value>),
        payload: Box<RawValue>,
    ) -> Self {
        Self {
            store,
            signed,
            name: name.to_owned(),
            expression: expression.to_owned(),
            timezone: timezone.to_owned(),
            task_type: task_type.to_owned(),
            options,
            payload: Ok(payload),
            rules: Rules::default(),
            queue: None,
            priority: None,
        }
    }

    /// Sets what becomes of ticks that were missed; [`CatchUp::Once`] unless set.
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.rules.catch_up = catch_up;
        self
    }

    /// Sets how long ago ticks may have been that are caught up.
    pub fn catch_up_within(mut self, within: Duration) -> Self {
        self.rules.catch_up_within = Some(within);
        self
    }

    /// Sets what a tick does while the task of the last one is still there; [`Overlap::Allow`] unless set.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.rules.overlap = overlap;
        self
    }

    /// Has its tasks start up to so much later, each time by the same, which depends on the schedule's name.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.rules.jitter = jitter;
        self
    }

    /// Puts its tasks in this queue, in place of the one that their type declares.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Gives its tasks this priority, in place of the one that their type declares.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Says why. The audit shows it, and the list of schedules. Otherwise that is what
    /// [`Schedules::because`](super::Schedules::because) says.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.signed.reason = Some(reason.into());
        self
    }

    async fn say(mut self) -> Result<Upserted, OperateError> {
        let read = Calendar::parse(&self.expression, &self.timezone).map(drop);
        let checked = read.and_then(|()| self.rules.check());
        checked.map_err(|error| refuse(error.to_string()))?;
        let payload = self.payload?;
        let mut options = self.options;
        self.rules.add_to(&mut options);
        if let Some(queue) = self.queue {
            options.insert("queue".into(), queue.into());
        }
        if let Some(priority) = self.priority {
            options.insert("priority".into(), priority.into());
        }
        let schema = self.store.schema().name;
        let said = self
            .store
            .upsert_schedule(
                &self.name,
                &self.expression,
                &self.task_type,
                &payload,
                &self.timezone,
                &Value::Object(options),
                &self.signed,
            )
            .await;
        match &*said.map_err(|error| OperateError::of(schema, error))? {
            "created" => Ok(Upserted::Created),
            "changed" => Ok(Upserted::Changed),
            "mended" => Ok(Upserted::Mended),
            _ => Ok(Upserted::Unchanged),
        }
    }
}

// Without the payload, which may have secret fields.
impl fmt::Debug for Upsert<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upsert")
            .field("name", &self.name)
            .field("task_type", &self.task_type)
            .finish_non_exhaustive()
    }
}

impl<'c> IntoFuture for Upsert<'c> {
    type Output = Result<Upserted, OperateError>;
    type IntoFuture = BoxFuture<'c, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.say().boxed()
    }
}

fn refuse(message: String) -> OperateError {
    OperateError::Refused { message }
}

fn written<P: Payload>(payload: &P) -> Result<Box<RawValue>, OperateError> {
    #[cfg(feature = "encryption")]
    if let Some(field) = P::OPTIONS.encrypted.first() {
        return Err(refuse(format!(
            "a schedule keeps its payload, and `{field}` of `{}` is encrypted: schedule a task that finds the value, and enqueues this one",
            P::TASK_TYPE
        )));
    }
    payload::write(payload).map_err(unwritable)
}

fn unwritable(why: Unwritable) -> OperateError {
    let why = match why {
        Unwritable::Invalid(invalid) => invalid.to_string(),
        Unwritable::Encode(error) => error_text(&error),
        Unwritable::TooLarge { size } => format!("it has {size} bytes of JSON"),
        #[cfg(feature = "encryption")]
        Unwritable::NoKeys => "this process has no keys".to_owned(),
    };
    refuse(format!("the payload cannot be enqueued: {why}"))
}
