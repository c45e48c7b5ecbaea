//! The lock file: the task types of a program and the form of their payloads, kept under version
//! control, by which a change is found that would strand rows.
//!
//! A row is *stranded* when the program that comes next cannot run it: it was enqueued by the program
//! before, or will be, while both are running. All of this is decided from two [`Lock`]s, without a
//! database; [`compare`] does it for the form of payloads.

mod compare;
mod form;
mod rules;

use std::collections::BTreeMap;

use schemars::Schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use rules::{Rule, Violation};

use crate::json::schema::UNKNOWN;
use crate::task::declaration::{Delivery, Registration};

/// What a program declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lock {
    tasks: BTreeMap<String, Task>,
}

/// What a task type declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Task {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    queue: String,
    priority: i16,
    max_attempts: u16,
    timeout_ms: u64,
    transactional: bool,
    version: u16,
    /// The oldest version that is still read.
    oldest_version: u16,
    /// The JSON Schema of the payload; null where there is none.
    payload: Value,
    /// The same of each older version that is still read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    older: BTreeMap<u16, Value>,
}

impl Lock {
    /// Describes the handlers of a program.
    pub(crate) fn of<'a>(handlers: impl Iterator<Item = &'a Registration>) -> Self {
        let tasks = handlers.map(|it| (it.task_type.to_owned(), Task::of(it)));
        Self {
            tasks: tasks.collect(),
        }
    }

    /// Returns what has no schema, and whose changes would therefore pass unseen.
    pub(crate) fn unknown(&self) -> Vec<Violation> {
        let mut unknown = Vec::new();
        for (name, task) in &self.tasks {
            match &task.payload {
                Value::Null => unknown.push(Violation::new(name, ".", Rule::NoSchema)),
                payload => {
                    for (path, ty) in types_without_schema(payload) {
                        unknown.push(Violation::new(name, path, Rule::NoSchemaOfType(ty)));
                    }
                }
            }
            for (version, _) in task.older.iter().filter(|(_, payload)| payload.is_null()) {
                unknown.push(Violation::new(name, ".", Rule::NoSchemaOfVersion(*version)));
            }
        }
        unknown
    }

    /// Says which changes from `self` to `next` strand rows.
    pub(crate) fn stranded_by(&self, next: &Self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (name, task) in &self.tasks {
            match next.find(name) {
                Some(next) => task.compare(name, next, &mut violations),
                None => violations.push(Violation::new(name, ".", Rule::TaskTypeGone)),
            }
            for alias in task.aliases.iter().filter(|it| next.find(it).is_none()) {
                violations.push(Violation::new(name, ".", Rule::AliasGone(alias.clone())));
            }
        }
        violations
    }

    /// Finds the task type that rows of this name belong to.
    fn find(&self, name: &str) -> Option<&Task> {
        self.tasks.get(name).or_else(|| {
            let mut tasks = self.tasks.values();
            tasks.find(|task| task.aliases.iter().any(|alias| alias == name))
        })
    }
}

impl Task {
    fn of(handler: &Registration) -> Self {
        let (options, declaration) = (&handler.options, &handler.declaration);
        Self {
            aliases: declaration.aliases.iter().map(|&it| it.into()).collect(),
            queue: options.queue.into(),
            priority: options.priority,
            max_attempts: options.max_attempts,
            timeout_ms: u64::try_from(declaration.timeout.as_millis()).unwrap_or(u64::MAX),
            transactional: declaration.delivery == Delivery::Transactional,
            version: options.version,
            oldest_version: options.oldest_version(),
            payload: (handler.json_schema)().map_or(Value::Null, Schema::to_value),
            older: older(handler),
        }
    }

    fn compare(&self, name: &str, next: &Self, violations: &mut Vec<Violation>) {
        let mut report = |rule| violations.push(Violation::new(name, ".", rule));
        if next.version < self.version {
            report(Rule::VersionLowered {
                from: self.version,
                to: next.version,
            });
        } else if next.oldest_version > self.oldest_version {
            report(Rule::VersionNotRead {
                version: self.oldest_version,
            });
        } else if next.version == self.version {
            violations.extend(compare::payloads(name, &self.payload, &next.payload));
        }
        // Else the upgrade reads what was. Its types meet, says the compiler; that its first one has the
        // form of the rows, the lock alone can say.
        let known = self.older.iter().map(|(version, it)| (*version, it));
        for (version, before) in known.chain([(self.version, &self.payload)]) {
            if let Some(after) = next.older.get(&version) {
                let broken = compare::payloads(name, before, after);
                violations.extend(broken.into_iter().map(|it| it.of_version(version)));
            }
        }
    }
}

/// Describes the older versions that are read.
fn older(handler: &Registration) -> BTreeMap<u16, Value> {
    let schemas = (handler.older_json_schemas)().into_iter();
    let schemas = schemas.chain(std::iter::repeat(None));
    (handler.options.oldest_version()..handler.options.version)
        .zip(schemas.map(|it| it.map_or(Value::Null, Schema::to_value)))
        .collect()
}

/// Lists where a schema has none of a type, with the type.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(payload: Value) -> Task {
        Task {
            aliases: Vec::new(),
            queue: "default".into(),
            priority: 0,
            max_attempts: 25,
            timeout_ms: 1000,
            transactional: false,
            version: 1,
            oldest_version: 1,
            payload,
            older: BTreeMap::new(),
        }
    }

    fn lock(tasks: impl IntoIterator<Item = (&'static str, Task)>) -> Lock {
        let tasks = tasks.into_iter().map(|(name, it)| (name.into(), it));
        Lock {
            tasks: tasks.collect(),
        }
    }

    fn versions(version: u16, oldest_version: u16, payload: Value) -> Task {
        Task {
            version,
            oldest_version,
            ..task(payload)
        }
    }

    fn rules(before: Task, after: Task) -> Vec<Rule> {
        let violations = lock([("mail", before)]).stranded_by(&lock([("mail", after)]));
        violations.into_iter().map(|it| it.rule).collect()
    }

    fn number() -> Value {
        json!({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]})
    }

    fn text() -> Value {
        json!({"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]})
    }

    #[test]
    fn a_task_type_that_is_gone_strands_its_rows() {
        let before = lock([("mail", task(number()))]);
        let violations = before.stranded_by(&lock([("sms", task(number()))]));
        assert_eq!(
            violations,
            [Violation::new("mail", ".", Rule::TaskTypeGone)]
        );
    }

    #[test]
    fn a_task_type_that_became_an_alias_strands_none() {
        let before = lock([("mail", task(number()))]);
        let renamed = Task {
            aliases: vec!["mail".into()],
            ..task(number())
        };
        assert_eq!(before.stranded_by(&lock([("send_mail", renamed)])), []);
    }

    #[test]
    fn an_alias_that_is_gone_strands_its_rows() {
        let before = Task {
            aliases: vec!["post".into()],
            ..task(number())
        };
        assert_eq!(
            rules(before, task(number())),
            [Rule::AliasGone("post".into())]
        );
    }

    #[test]
    fn a_further_task_type_strands_none() {
        let before = lock([("mail", task(number()))]);
        let after = lock([("mail", task(number())), ("sms", task(text()))]);
        assert_eq!(before.stranded_by(&after), []);
    }

    #[test]
    fn other_options_strand_none() {
        let after = Task {
            queue: "mail".into(),
            priority: 5,
            max_attempts: 1,
            timeout_ms: 1,
            transactional: true,
            ..task(number())
        };
        assert_eq!(rules(task(number()), after), []);
    }

    #[test]
    fn another_form_under_the_same_version_strands_rows() {
        assert_eq!(rules(task(number()), task(text())).len(), 1);
    }

    #[test]
    fn another_form_under_a_higher_version_with_an_upgrade_strands_none() {
        assert_eq!(rules(task(number()), versions(2, 1, text())), []);
    }

    /// Version 2, whose upgrade reads `older` as version 1.
    fn upgraded(payload: Value, older: Value) -> Task {
        Task {
            older: [(1, older)].into(),
            ..versions(2, 1, payload)
        }
    }

    #[test]
    fn an_upgrade_that_reads_what_the_rows_of_its_version_are_strands_none() {
        assert_eq!(rules(task(number()), upgraded(text(), number())), []);
        // Nor one that takes more.
        let lenient =
            json!({"type": "object", "properties": {"id": {"type": ["integer", "null"]}}});
        assert_eq!(rules(task(number()), upgraded(text(), lenient)), []);
    }

    #[test]
    fn an_upgrade_that_reads_another_form_strands_rows() {
        let before = task(number());
        let violations =
            lock([("mail", before)]).stranded_by(&lock([("mail", upgraded(number(), text()))]));
        let rules: Vec<_> = violations.iter().map(|it| (&*it.path, &it.rule)).collect();
        let type_changed = Rule::TypeChanged {
            from: "integer".into(),
            to: "string".into(),
        };
        let of_version = Rule::OfVersion {
            version: 1,
            rule: Box::new(type_changed),
        };
        assert_eq!(rules, [("id", &of_version)]);
    }

    #[test]
    fn the_form_of_an_older_version_may_not_change_later_either() {
        let before = upgraded(text(), number());
        assert_eq!(rules(before, upgraded(text(), text())).len(), 1);
        let before = upgraded(text(), number());
        assert_eq!(rules(before, upgraded(text(), number())), []);
    }

    #[test]
    fn an_older_version_that_is_written_by_hand_needs_a_schema() {
        assert_eq!(
            lock([("mail", upgraded(text(), Value::Null))]).unknown(),
            [Violation::new("mail", ".", Rule::NoSchemaOfVersion(1))]
        );
    }

    #[test]
    fn a_higher_version_without_an_upgrade_strands_rows() {
        assert_eq!(
            rules(task(number()), versions(2, 2, number())),
            [Rule::VersionNotRead { version: 1 }]
        );
    }

    #[test]
    fn an_upgrade_that_is_gone_strands_rows() {
        assert_eq!(
            rules(versions(3, 1, number()), versions(3, 2, number())),
            [Rule::VersionNotRead { version: 1 }]
        );
    }

    #[test]
    fn a_lower_version_strands_rows() {
        assert_eq!(
            rules(versions(2, 1, number()), task(number())),
            [Rule::VersionLowered { from: 2, to: 1 }]
        );
    }

    #[test]
    fn what_has_no_schema_is_reported() {
        let unknown = json!({"type": "object", "properties": {"to": {UNKNOWN: "app::Address"}}});
        let lock = lock([("mail", task(unknown)), ("sms", task(Value::Null))]);
        assert_eq!(
            lock.unknown(),
            [
                Violation::new("mail", "to", Rule::NoSchemaOfType("app::Address".into())),
                Violation::new("sms", ".", Rule::NoSchema),
            ]
        );
    }
}
