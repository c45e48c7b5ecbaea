//! What a hook is told of tasks that are about to be enqueued.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::task::options::EnqueueOptions;
use crate::task::payload::TaskType;
use crate::task::secret::masked;

/// Tasks of one type that are about to be enqueued with the same options. Nothing is inserted yet, so they have no ids: to find them
/// later, give them [metadata](Self::set_metadata).
pub struct Enqueuing<'a> {
    pub(crate) task_type: &'a TaskType,
    pub(crate) options: &'a mut EnqueueOptions,
    pub(crate) payloads: &'a [Box<RawValue>],
}

impl Enqueuing<'_> {
    /// Returns the type of the tasks.
    pub fn task_type(&self) -> &'static str {
        self.task_type.name
    }

    /// Returns how many they are: more than one, or none, only for [`enqueue_many`](crate::enqueue_many) and
    /// [`enqueue_copy`](crate::enqueue_copy).
    pub fn count(&self) -> usize {
        self.payloads.len()
    }

    /// Returns their payloads as JSON, with `"***"` in the place of the values of secret fields.
    pub fn payloads(&self) -> impl Iterator<Item = Cow<'_, RawValue>> {
        let fields = self.task_type.options.secret;
        let payloads = self.payloads.iter();
        payloads.map(move |payload| match masked(fields, payload) {
            Some(masked) => Cow::Owned(masked),
            None => Cow::Borrowed(&**payload),
        })
    }

    /// Returns the queue that they are put into.
    pub fn queue(&self) -> &str {
        let declared = self.task_type.options.queue;
        self.options.queue.as_deref().unwrap_or(declared)
    }

    /// Returns their priority. Smaller runs earlier.
    pub fn priority(&self) -> i16 {
        let declared = self.task_type.options.priority;
        self.options.priority.unwrap_or(declared)
    }

    /// Returns how often each is attempted at most.
    pub fn max_attempts(&self) -> u16 {
        let declared = self.task_type.options.max_attempts;
        self.options.max_attempts.unwrap_or(declared)
    }

    /// Returns a value that the enqueue, or an earlier hook, gives beside the payload, under this name.
    pub fn metadata(&self, name: &str) -> Option<&Value> {
        self.options.metadata.get(name)
    }

    /// Gives each of the tasks a value beside its payload, in the place of one of this name: as
    /// [`Enqueue::metadata`](crate::Enqueue::metadata) does, and within the same 64 KiB.
    pub fn set_metadata(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.options.metadata.set(name.into(), value.into());
    }
}

/// Without the values of secret fields: a hook may log what it is told.
impl fmt::Debug for Enqueuing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payloads: Vec<_> = self.payloads().collect();
        f.debug_struct("Enqueuing")
            .field("task_type", &self.task_type)
            .field("options", &self.options)
            .field("payloads", &payloads)
            .finish()
    }
}
