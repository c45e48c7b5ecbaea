//! A task that is about to be enqueued beside others: a payload, and all that may be said of it.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;

use super::refusal::encode;
use crate::attempt::group::{GROUP, Group};
use crate::error::EnqueueError;
use crate::task::options::EnqueueOptions;
use crate::task::payload::{Payload, TaskType};
use crate::task::start::Start;
use crate::task::unique::Unique;

/// A payload, and what its enqueue says of the task: for [`Many::push`](crate::Many::push) and
/// [`Group::begin`](crate::Group::begin). A payload alone is one of which nothing is said.
///
/// ```no_run
/// use std::time::Duration;
/// use taskq::NewTask;
///
/// # #[taskq::task] async fn resize(image_id: i64) {}
/// let soon = NewTask::of(Resize { image_id: 7 }).priority(3).delay(Duration::from_secs(60));
/// ```
#[must_use = "it is enqueued by nothing yet"]
pub struct NewTask<P> {
    pub(super) task: UntypedTask,
    payload: PhantomData<fn() -> P>,
}

/// The same, of whatever type it is.
pub(super) struct UntypedTask {
    pub(super) task_type: TaskType,
    pub(super) options: EnqueueOptions,
    pub(super) payload: Result<Box<RawValue>, EnqueueError>,
    /// Whether its end is to be told to those who wait for it.
    pub(super) is_told: bool,
}

impl<P: Payload> NewTask<P> {
    /// Makes it of a payload.
    pub fn of(payload: P) -> Self {
        Self {
            task: UntypedTask {
                task_type: const { TaskType::of::<P>() },
                options: EnqueueOptions::default(),
                payload: encode(payload, None),
                is_told: false,
            },
            payload: PhantomData,
        }
    }

    /// Puts the task in this queue: see [`Enqueue::queue`](crate::Enqueue::queue).
    pub fn queue(self, queue: impl Into<String>) -> Self {
        let queue = queue.into();
        self.with(|options| options.queue = Some(queue))
    }

    /// Sets the priority: see [`Enqueue::priority`](crate::Enqueue::priority).
    pub fn priority(self, priority: i16) -> Self {
        self.with(|options| options.priority = Some(priority))
    }

    /// Sets how often the task is attempted at most: see [`Enqueue::max_attempts`](crate::Enqueue::max_attempts).
    pub fn max_attempts(self, max_attempts: u16) -> Self {
        self.with(|options| options.max_attempts = Some(max_attempts))
    }

    /// Runs the task no earlier than `delay` from when it is enqueued: see [`Enqueue::delay`](crate::Enqueue::delay).
    pub fn delay(self, delay: Duration) -> Self {
        self.with(|options| options.start = Start::After(delay))
    }

    /// Runs the task no earlier than `run_at`.
    pub fn run_at(self, run_at: DateTime<Utc>) -> Self {
        self.with(|options| options.start = Start::At(run_at))
    }

    /// Has the task run only if it starts so long after it is due: see [`Enqueue::expires`](crate::Enqueue::expires).
    pub fn expires(self, expires: Duration) -> Self {
        self.with(|options| options.expires = Some(expires))
    }

    /// Says something of the task beside its payload: see [`Enqueue::metadata`](crate::Enqueue::metadata).
    pub fn metadata(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.with(|options| options.metadata.set(name, value))
    }

    /// Says that one task of each key may be there: see [`Enqueue::unique`](crate::Enqueue::unique).
    pub fn unique(self, unique: Unique) -> Self {
        self.with(|options| options.unique.get_or_insert_default().unique = Some(unique))
    }

    /// Sets the key of which one task of this type may be there: see
    /// [`Enqueue::unique_key`](crate::Enqueue::unique_key).
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.with(|options| options.unique.get_or_insert_default().key = Some(key))
    }

    /// Waits for quiet: see [`Enqueue::debounce`](crate::Enqueue::debounce).
    pub fn debounce(self, delay: Duration) -> Self {
        self.with(|options| {
            options.start = Start::After(delay);
            options.unique.get_or_insert_default().debounce = Some(delay);
        })
    }

    /// Waits no longer than so long for another transaction that has the key: see
    /// [`Enqueue::busy_after`](crate::Enqueue::busy_after).
    pub fn busy_after(self, wait: Duration) -> Self {
        self.with(|options| options.unique.get_or_insert_default().busy_after = Some(wait))
    }

    /// Has the task be a member of a group: see [`Enqueue::group`](crate::Enqueue::group).
    pub fn group(self, group: Group) -> Self {
        self.with(|options| options.set_group(group))
    }

    /// Asks for the end of the task to be told, by metadata of this name.
    pub(crate) fn told_by(mut self, name: &str) -> Self {
        self.task.is_told = true;
        self.metadata(name, true)
    }

    fn with(mut self, change: impl FnOnce(&mut EnqueueOptions)) -> Self {
        change(&mut self.task.options);
        self
    }
}

impl<P: Payload> From<P> for NewTask<P> {
    fn from(payload: P) -> Self {
        Self::of(payload)
    }
}

impl<P> fmt::Debug for NewTask<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewTask")
            .field("task_type", &self.task.task_type.name)
            .finish_non_exhaustive()
    }
}

impl EnqueueOptions {
    /// Has the task be a member of a group, which travels with it.
    pub(super) fn set_group(&mut self, group: Group) {
        self.group = Some(group.group_id);
        self.metadata.set(GROUP.to_owned(), group.group_id.into());
    }
}
