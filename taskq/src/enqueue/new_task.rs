//! A task that is about to be enqueued beside others: a payload, and all that may be said of it.

use std::fmt;
use std::marker::PhantomData;

use serde_json::value::RawValue;

use super::refusal::encode;
use super::said::said_of_a_task;
use crate::attempt::group::{GROUP, Group};
use crate::error::EnqueueError;
use crate::task::options::EnqueueOptions;
use crate::task::payload::{Payload, TaskType};

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

    said_of_a_task!();

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
