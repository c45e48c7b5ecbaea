//! Pairs of lock files, and what their difference would strand.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::file::{LockFile, TaskEntry};
use super::rules::{Rule, Violation};
use crate::json::schema::UNKNOWN;

fn task(payload: Value) -> TaskEntry {
    TaskEntry {
        aliases: Vec::new(),
        queue: "default".into(),
        priority: 0,
        max_attempts: 25,
        timeout_ms: 1000,
        transactional: false,
        limits: Vec::new(),
        version: 1,
        oldest_version: 1,
        payload,
        older: BTreeMap::new(),
        schedules: BTreeMap::new(),
    }
}

fn file(tasks: impl IntoIterator<Item = (&'static str, TaskEntry)>) -> LockFile {
    let tasks = tasks.into_iter().map(|(name, it)| (name.into(), it));
    LockFile {
        tasks: tasks.collect(),
    }
}

fn versions(version: u16, oldest_version: u16, payload: Value) -> TaskEntry {
    TaskEntry {
        version,
        oldest_version,
        ..task(payload)
    }
}

fn rules(before: TaskEntry, after: TaskEntry) -> Vec<Rule> {
    let violations = file([("mail", before)]).stranded_by(&file([("mail", after)]));
    violations
        .into_iter()
        .map(|violation| violation.rule)
        .collect()
}

fn number() -> Value {
    json!({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]})
}

fn text() -> Value {
    json!({"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]})
}

fn ticking(schedules: &[(&str, &str)]) -> TaskEntry {
    let schedules = schedules.iter();
    TaskEntry {
        schedules: schedules
            .map(|(name, times)| ((*name).into(), (*times).into()))
            .collect(),
        ..task(number())
    }
}

#[test]
fn a_schedule_that_changes_or_is_gone_is_named_and_strands_nothing() {
    let before = file([(
        "mail",
        ticking(&[
            ("a", "0 1 * * * UTC"),
            ("b", "0 2 * * * UTC"),
            ("c", "@daily UTC"),
        ]),
    )]);
    // Another task type may declare it from now on.
    let after = file([
        (
            "mail",
            ticking(&[("a", "0 1 * * * Europe/Zurich"), ("d", "0 4 * * * UTC")]),
        ),
        ("sms", ticking(&[("c", "@daily UTC")])),
    ]);
    let said: Vec<_> = before
        .changed_schedules(&after)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with(
            "schedule `a` changes: it was `0 1 * * * UTC` and is `0 1 * * * Europe/Zurich`."
        ),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("schedule `b` is gone: it was `0 2 * * * UTC`."),
        "{said:?}"
    );
    assert_eq!(before.stranded_by(&after), []);
    assert_eq!(before.changed_schedules(&before), []);
}

#[test]
fn a_task_type_that_is_gone_strands_its_rows() {
    let before = file([("mail", task(number()))]);
    let violations = before.stranded_by(&file([("sms", task(number()))]));
    assert_eq!(
        violations,
        [Violation::new("mail", ".", Rule::TaskTypeGone)]
    );
}

#[test]
fn a_task_type_that_became_an_alias_strands_none() {
    let before = file([("mail", task(number()))]);
    let renamed = TaskEntry {
        aliases: vec!["mail".into()],
        ..task(number())
    };
    assert_eq!(before.stranded_by(&file([("send_mail", renamed)])), []);
}

#[test]
fn an_alias_that_is_gone_strands_its_rows() {
    let before = TaskEntry {
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
    let before = file([("mail", task(number()))]);
    let after = file([("mail", task(number())), ("sms", task(text()))]);
    assert_eq!(before.stranded_by(&after), []);
}

#[test]
fn other_options_strand_none() {
    let after = TaskEntry {
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
fn other_limits_strand_none_and_are_told() {
    let limited = |limits: &[&str]| TaskEntry {
        limits: limits.iter().map(|&limit| limit.into()).collect(),
        ..task(number())
    };
    let told = |before, after| file([("mail", before)]).limited_otherwise(&file([("mail", after)]));
    let (five, two) = (
        limited(&["5 at once"]),
        limited(&["5 at once", "1 in 2s, 1 at once"]),
    );
    assert_eq!(rules(five.clone(), two.clone()), []);
    assert_eq!(
        told(five.clone(), two),
        [
            "`mail`: limit changed from 5 at once to 5 at once and 1 in 2s, 1 at once. It holds for all workers as soon as one of this program starts"
        ]
    );
    let gone = told(five.clone(), limited(&[]));
    assert!(
        gone[0].contains("from 5 at once to none. It ends a quarter"),
        "{gone:?}"
    );
    assert_eq!(told(five.clone(), five), [""; 0]);
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
fn upgraded(payload: Value, older: Value) -> TaskEntry {
    TaskEntry {
        older: [(1, older)].into(),
        ..versions(2, 1, payload)
    }
}

#[test]
fn an_upgrade_that_reads_what_the_rows_of_its_version_are_strands_none() {
    assert_eq!(rules(task(number()), upgraded(text(), number())), []);
    // Nor one that takes more.
    let lenient = json!({"type": "object", "properties": {"id": {"type": ["integer", "null"]}}});
    assert_eq!(rules(task(number()), upgraded(text(), lenient)), []);
}

#[test]
fn an_upgrade_that_reads_another_form_strands_rows() {
    let before = task(number());
    let violations =
        file([("mail", before)]).stranded_by(&file([("mail", upgraded(number(), text()))]));
    let rules: Vec<_> = violations
        .iter()
        .map(|violation| (&*violation.path, &violation.rule))
        .collect();
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
        file([("mail", upgraded(text(), Value::Null))]).without_schema(),
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
    let file = file([("mail", task(unknown)), ("sms", task(Value::Null))]);
    assert_eq!(
        file.without_schema(),
        [
            Violation::new("mail", "to", Rule::NoSchemaOfType("app::Address".into())),
            Violation::new("sms", ".", Rule::NoSchema),
        ]
    );
}
