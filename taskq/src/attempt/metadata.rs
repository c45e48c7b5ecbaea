//! What an enqueue says of a task beside its payload.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json;

/// How large the metadata of a task may be, as JSON, in bytes. The tables allow twice as much, because
/// Postgres writes JSON with spaces.
pub(crate) const MAX_METADATA_SIZE: usize = 64 * 1024;

/// The name under which a tick enqueues: see [`Tick`](super::tick::Tick).
pub(crate) const TICK: &str = "schedule.tick";

/// The name under which the key of a task travels of which one runs at a time: see
/// [`Until::Again`](crate::unique::Until::Again).
const AGAIN: &str = "task.again";

/// The name under which the first id of a task travels that `taskq.take_back` has given another.
const FIRST_ID: &str = "task.first_id";

/// Values by name that travel with a task wherever it goes. Most tasks have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata(Option<Box<Map<String, Value>>>);

impl Metadata {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_deref()?.get(name)
    }

    /// Tells whether the task may run only while no other of its key does.
    pub(crate) fn takes_turns(&self) -> bool {
        self.get(AGAIN).is_some()
    }

    /// Returns the id that the task had at first, if it has another now.
    pub(crate) fn first_id(&self) -> Option<i64> {
        self.get(FIRST_ID)?.as_i64()
    }

    pub(crate) fn set(&mut self, name: String, value: Value) {
        let values = self.0.get_or_insert_default();
        values.insert(name, value);
    }

    /// Returns the values as they are stored: not at all where there are none.
    pub(crate) fn stored(&self) -> Option<Box<RawValue>> {
        json::encode(self.0.as_deref()?).ok()
    }

    /// Returns the values as one object, if there are any.
    pub(crate) fn to_value(&self) -> Option<Value> {
        self.0.as_deref().cloned().map(Value::Object)
    }

    /// Reads what is stored. The tables allow objects only.
    pub(crate) fn of_stored(stored: Value) -> Self {
        match stored {
            Value::Object(values) => Self(Some(Box::new(values))),
            _ => Self(None),
        }
    }

    /// Returns how large it is as JSON.
    pub(crate) fn size(&self) -> usize {
        self.stored().map_or(0, |raw| raw.get().len())
    }

    /// Says what is wrong with it, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let size = match json::encode(self.0.as_deref()?) {
            Ok(raw) => raw.get().len(),
            Err(error) => return Some(format!("cannot be stored: {error}")),
        };
        (size > MAX_METADATA_SIZE).then(|| {
            format!("must be at most {MAX_METADATA_SIZE} bytes of JSON in all, not {size}")
        })
    }
}
