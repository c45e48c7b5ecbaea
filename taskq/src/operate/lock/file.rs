//! What a lock file holds: the task types of a program, each with what it declares.

use std::collections::BTreeMap;

use schemars::Schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules::{Rule, Violation};
use crate::json::schema::UNKNOWN;
use crate::task::registration::Registration;

/// What a program declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LockFile {
    pub(super) tasks: BTreeMap<String, TaskEntry>,
}

/// What a task type declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskEntry {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) aliases: Vec<String>,
    pub(super) queue: String,
    pub(super) priority: i16,
    pub(super) max_attempts: u16,
    pub(super) timeout_ms: u64,
    pub(super) transactional: bool,
    /// How many run at once and how fast they start, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) limits: Vec<String>,
    pub(super) version: u16,
    /// The oldest version that the program still reads.
    pub(super) oldest_version: u16,
    /// The JSON Schema of the payload; null where there is none.
    pub(super) payload: Value,
    /// The same of each older version that the program still reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) older: BTreeMap<u16, Value>,
    /// The schedules that it declares, by their names: when they tick, and on whose clocks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) schedules: BTreeMap<String, String>,
}

impl LockFile {
    /// Describes the handlers of a program.
    pub(crate) fn of<'a>(handlers: impl Iterator<Item = &'a Registration>) -> Self {
        let tasks = handlers.map(|handler| (handler.task_type.to_owned(), TaskEntry::of(handler)));
        Self {
            tasks: tasks.collect(),
        }
    }

    /// Returns what has no schema: its changes would pass unseen.
    pub(crate) fn without_schema(&self) -> Vec<Violation> {
        let mut without_schema = Vec::new();
        for (name, task) in &self.tasks {
            match &task.payload {
                Value::Null => without_schema.push(Violation::new(name, ".", Rule::NoSchema)),
                payload => {
                    for (path, ty) in types_without_schema(payload) {
                        without_schema.push(Violation::new(name, path, Rule::NoSchemaOfType(ty)));
                    }
                }
            }
            for (version, _) in task.older.iter().filter(|(_, payload)| payload.is_null()) {
                without_schema.push(Violation::new(name, ".", Rule::NoSchemaOfVersion(*version)));
            }
        }
        without_schema
    }
}

impl TaskEntry {
    fn of(handler: &Registration) -> Self {
        let (options, declaration) = (&handler.options, &handler.declaration);
        Self {
            aliases: declaration
                .aliases
                .iter()
                .map(|&alias| alias.into())
                .collect(),
            queue: options.queue.into(),
            priority: options.priority,
            max_attempts: options.max_attempts,
            timeout_ms: u64::try_from(declaration.timeout.as_millis()).unwrap_or(u64::MAX),
            transactional: declaration.delivery.has_transaction(),
            limits: handler.limits().iter().map(ToString::to_string).collect(),
            version: options.version,
            oldest_version: options.oldest_version(),
            payload: (handler.json_schema)().map_or(Value::Null, Schema::to_value),
            older: older(handler),
            schedules: schedules(handler),
        }
    }
}

#[cfg(feature = "cron")]
fn schedules(handler: &Registration) -> BTreeMap<String, String> {
    let schedules = handler.declaration.schedules.iter();
    let described = schedules.map(|schedule| {
        let name = schedule.name.unwrap_or(handler.task_type);
        (name.to_owned(), schedule.times())
    });
    described.collect()
}

#[cfg(not(feature = "cron"))]
fn schedules(_handler: &Registration) -> BTreeMap<String, String> {
    BTreeMap::new()
}

/// Describes the older versions that the program reads.
fn older(handler: &Registration) -> BTreeMap<u16, Value> {
    let schemas = (handler.older_json_schemas)().into_iter();
    let schemas = schemas.chain(std::iter::repeat(None));
    (handler.options.oldest_version()..handler.options.version)
        .zip(schemas.map(|schema| schema.map_or(Value::Null, Schema::to_value)))
        .collect()
}

/// Lists the properties whose types have no schema, each with its type.
fn types_without_schema(schema: &Value) -> Vec<(String, String)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter_map(|(name, property)| {
            let ty = property.get(UNKNOWN)?.as_str()?;
            Some((name.clone(), ty.to_owned()))
        })
        .collect()
}
