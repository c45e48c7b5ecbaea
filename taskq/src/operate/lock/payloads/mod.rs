//! Compares the JSON Schemas of one payload before and after a change: does a payload that fitted the
//! schema before still fit?
//!
//! The comparison knows what schemars writes for types that serde reads. A keyword that it does not know
//! counts as a refusal if the keyword is new, so that nothing passes unseen.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde_json::Value;

use super::form::{
    ANNOTATIONS, MAX_DEPTH, accepts_anything, accepts_tag, additional, alternatives, describe,
    integer_range, is_float, number, properties, range, reads, reference, required, tag,
    tuple_items, type_of,
};
use super::rules::{Rule, Violation};

/// Keywords that are compared below.
const UNDERSTOOD: [&str; 22] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "const",
    "enum",
    "anyOf",
    "oneOf",
    "$ref",
    "minProperties",
    "maxProperties",
    "uniqueItems",
];

/// Says which changes strand rows that fit the schema `before`.
pub(crate) fn compare(task_type: &str, before: &Value, after: &Value) -> Vec<Violation> {
    // One without a schema is reported by itself.
    if before.is_null() || after.is_null() {
        return Vec::new();
    }
    let mut comparison = Comparison {
        before,
        after,
        followed: HashSet::new(),
    };
    let mut broken = comparison.schemas(before, after, "", 0);
    // Whether a JSON object keeps its order depends on what else is in the program.
    broken.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut violations: Vec<_> = broken
        .into_iter()
        .map(|(path, rule)| {
            let path = if path.is_empty() { ".".into() } else { path };
            Violation::new(task_type, path, rule)
        })
        .collect();
    violations.dedup();
    violations
}

/// Each with where in the payload it is broken.
type BrokenRules = Vec<(String, Rule)>;

struct Comparison<'a> {
    before: &'a Value,
    after: &'a Value,
    /// Pairs of named types that are being compared further up.
    followed: HashSet<(String, String)>,
}

impl Comparison<'_> {
    fn schemas(&mut self, before: &Value, after: &Value, path: &str, depth: usize) -> BrokenRules {
        if depth > MAX_DEPTH || accepts_anything(after) {
            return BrokenRules::new();
        }
        let pair = reference(before).zip(reference(after));
        let Some((one, other)) = pair else {
            return self.unnamed(before, after, path, depth);
        };
        let pair = (one.to_owned(), other.to_owned());
        if !self.followed.insert(pair.clone()) {
            return BrokenRules::new();
        }
        let broken = self.unnamed(before, after, path, depth);
        self.followed.remove(&pair);
        broken
    }

    fn unnamed(&mut self, before: &Value, after: &Value, path: &str, depth: usize) -> BrokenRules {
        if accepts_anything(before) {
            let to = describe(after);
            return vec![(path.into(), type_changed("anything", &to))];
        }
        let olds = alternatives(self.before, before, 0);
        let news = alternatives(self.after, after, 0);
        let mut broken = BrokenRules::new();
        for old in &olds {
            broken.extend(self.alternative(old, &news, path, depth));
        }
        broken
    }

    /// Compares one form that a value may have had with all that it may have now.
    fn alternative(
        &mut self,
        old: &Value,
        news: &[Value],
        path: &str,
        depth: usize,
    ) -> BrokenRules {
        if let [new] = news {
            return self.forms(old, new, path, depth);
        }
        if let Some(tag) = tag(old) {
            let mut same = news.iter().filter(|new| accepts_tag(new, &tag));
            return match same.next() {
                Some(new) => self.forms(old, new, path, depth),
                None => vec![(
                    path.into(),
                    Rule::Narrowed(format!("may no longer be `{tag}`")),
                )],
            };
        }
        let compared = news.iter().map(|new| self.forms(old, new, path, depth));
        let least = compared.min_by_key(|broken| {
            let other_type = broken
                .iter()
                .any(|(at, rule)| at == path && matches!(rule, Rule::TypeChanged { .. }));
            (other_type, broken.len())
        });
        least.unwrap_or_default()
    }

    /// Compares two schemas without alternatives.
    fn forms(&mut self, old: &Value, new: &Value, path: &str, depth: usize) -> BrokenRules {
        if accepts_anything(new) {
            return BrokenRules::new();
        }
        if let Some(expected) = new.get("const") {
            return if old.get("const") == Some(expected) {
                BrokenRules::new()
            } else {
                vec![(path.into(), type_changed(&describe(old), &describe(new)))]
            };
        }
        let (was, is) = (type_of(old), type_of(new));
        if let Some(is) = &is
            && was.as_ref() != Some(is)
            && !(is == "number" && was.as_deref() == Some("integer"))
        {
            return vec![(path.into(), type_changed(&describe(old), &describe(new)))];
        }
        if let Some(value) = old.get("const") {
            // A value that is known is taken by any form of its type, unless that asks for more.
            let bounded = ["format", "pattern", "minLength", "maxLength"];
            return if bounded.iter().any(|key| new.get(key).is_some()) {
                vec![(
                    path.into(),
                    Rule::Narrowed(format!("may no longer be {value}")),
                )]
            } else {
                BrokenRules::new()
            };
        }
        let mut broken: BrokenRules = narrowed(old, new)
            .into_iter()
            .map(|what| (path.to_owned(), what))
            .collect();
        match is.as_deref() {
            Some("object") => broken.extend(self.objects(old, new, path, depth)),
            Some("array") => broken.extend(self.arrays(old, new, path, depth)),
            _ => {}
        }
        broken
    }

    fn objects(&mut self, old: &Value, new: &Value, path: &str, depth: usize) -> BrokenRules {
        let mut broken = BrokenRules::new();
        let (olds, news) = (properties(old), properties(new));
        for (name, old_property) in &olds {
            let at = join(path, name);
            match news.iter().find(|(key, new)| reads(key, new, name)) {
                Some((_, property)) => {
                    broken.extend(self.schemas(old_property, property, &at, depth + 1));
                }
                None => match new.get("additionalProperties") {
                    // A map, into which the field goes.
                    Some(Value::Object(values)) => {
                        let values = Value::Object(values.clone());
                        broken.extend(self.schemas(old_property, &values, &at, depth + 1));
                    }
                    _ => broken.push((at, Rule::FieldRemoved)),
                },
            }
        }
        let was_required = required(old);
        for name in required(new) {
            let property = news.iter().find(|(key, _)| **key == name);
            let is_there = was_required
                .iter()
                .any(|was| property.is_some_and(|(key, new)| reads(key, new, was)));
            if !is_there {
                broken.push((join(path, &name), Rule::FieldRequired));
            }
        }
        match (additional(old), additional(new)) {
            (Some(old), Some(new)) => {
                broken.extend(self.schemas(old, new, &format!("{path}{{}}"), depth + 1));
            }
            (Some(_), None) if new.get("additionalProperties") == Some(&Value::Bool(false)) => {
                broken.push((
                    path.into(),
                    Rule::Narrowed("may no longer have any key".into()),
                ));
            }
            _ => {}
        }
        broken
    }

    fn arrays(&mut self, old: &Value, new: &Value, path: &str, depth: usize) -> BrokenRules {
        let anything = Value::Bool(true);
        let (olds, news) = (tuple_items(old), tuple_items(new));
        let item = |all: &[Value], whole: &Value, at: usize| {
            let rest = whole.get("items").unwrap_or(&anything);
            all.get(at).unwrap_or(rest).clone()
        };
        let mut broken = BrokenRules::new();
        for at in 0..olds.len().max(news.len()) {
            let (one, other) = (item(&olds, old, at), item(&news, new, at));
            broken.extend(self.schemas(&one, &other, &format!("{path}[{at}]"), depth + 1));
        }
        let ended = |schema: &Value, all: &[Value]| {
            let most = schema.get("maxItems").and_then(Value::as_u64);
            most.is_some_and(|most| most <= all.len() as u64)
        };
        if !ended(old, &olds) {
            let (one, other) = (item(&[], old, 0), item(&[], new, 0));
            broken.extend(self.schemas(&one, &other, &format!("{path}[]"), depth + 1));
        }
        broken
    }
}

/// Says what a schema of the same type asks for that the one before did not.
fn narrowed(old: &Value, new: &Value) -> Vec<Rule> {
    let mut narrowed = Vec::new();
    let format = |schema: &Value| {
        let format = schema.get("format").and_then(Value::as_str);
        format.map(str::to_owned)
    };
    match (format(old), format(new)) {
        (was, Some(is))
            if was.as_ref() != Some(&is) && integer_range(&is).is_none() && !is_float(&is) =>
        {
            narrowed.push(type_changed(&describe(old), &describe(new)));
        }
        _ => {}
    }
    if let (Some(was), Some(is)) = (range(old), range(new))
        && (was.0 < is.0 || was.1 > is.1)
    {
        let what = format!("must be within {} to {}", number(is.0), number(is.1));
        narrowed.push(Rule::Narrowed(what));
    }
    for key in ["minLength", "minItems", "minProperties"] {
        let of = |schema: &Value| schema.get(key).and_then(Value::as_u64).unwrap_or(0);
        if of(old) < of(new) {
            let what = format!("must have at least {} (`{key}`)", of(new));
            narrowed.push(Rule::Narrowed(what));
        }
    }
    for key in ["maxLength", "maxItems", "maxProperties"] {
        let of = |schema: &Value| schema.get(key).and_then(Value::as_u64).unwrap_or(u64::MAX);
        if of(old) > of(new) {
            let what = format!("must have at most {} (`{key}`)", of(new));
            narrowed.push(Rule::Narrowed(what));
        }
    }
    let known = |key: &str| ANNOTATIONS.contains(&key) || UNDERSTOOD.contains(&key);
    for (key, value) in new.as_object().into_iter().flatten() {
        let is_new = old.get(key) != Some(value);
        let counts = matches!(key.as_str(), "pattern" | "uniqueItems") || !known(key);
        if is_new && counts {
            let what = format!("must fit `{key}`, {value}");
            narrowed.push(Rule::Narrowed(what));
        }
    }
    narrowed
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.into(),
        path => format!("{path}.{name}"),
    }
}

fn type_changed(from: &str, to: &str) -> Rule {
    Rule::TypeChanged {
        from: from.into(),
        to: to.into(),
    }
}
