//! Compares the JSON Schemas of one payload before and after a change: does what fitted then still fit?
//!
//! It knows what schemars writes for types that serde reads. What it does not know counts as a refusal
//! if it is new, so that nothing passes unseen.

use std::collections::HashSet;

use serde_json::Value;

use super::form::{
    ANNOTATIONS, MAX_DEPTH, accepts_anything, accepts_tag, alternatives, describe, integer_range,
    is_float, number, others, prefix, properties, range, reads, reference, required, tag, type_of,
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
pub(crate) fn payloads(task_type: &str, before: &Value, after: &Value) -> Vec<Violation> {
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

type Broken = Vec<(String, Rule)>;

struct Comparison<'a> {
    before: &'a Value,
    after: &'a Value,
    /// Pairs of named types that are being compared further up.
    followed: HashSet<(String, String)>,
}

impl Comparison<'_> {
    fn schemas(&mut self, before: &Value, after: &Value, path: &str, depth: usize) -> Broken {
        if depth > MAX_DEPTH || accepts_anything(after) {
            return Broken::new();
        }
        let pair = reference(before).zip(reference(after));
        let Some((one, other)) = pair else {
            return self.unnamed(before, after, path, depth);
        };
        let pair = (one.to_owned(), other.to_owned());
        if !self.followed.insert(pair.clone()) {
            return Broken::new();
        }
        let broken = self.unnamed(before, after, path, depth);
        self.followed.remove(&pair);
        broken
    }

    fn unnamed(&mut self, before: &Value, after: &Value, path: &str, depth: usize) -> Broken {
        if accepts_anything(before) {
            let to = describe(after);
            return vec![(path.into(), type_changed("anything", &to))];
        }
        let olds = alternatives(self.before, before, 0);
        let news = alternatives(self.after, after, 0);
        let mut broken = Broken::new();
        for old in &olds {
            broken.extend(self.alternative(old, &news, path, depth));
        }
        broken
    }

    /// Compares one form that a value may have had with all that it may have now.
    fn alternative(&mut self, old: &Value, news: &[Value], path: &str, depth: usize) -> Broken {
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
    fn forms(&mut self, old: &Value, new: &Value, path: &str, depth: usize) -> Broken {
        if accepts_anything(new) {
            return Broken::new();
        }
        if let Some(expected) = new.get("const") {
            return match old.get("const") == Some(expected) {
                true => Broken::new(),
                false => vec![(path.into(), type_changed(&describe(old), &describe(new)))],
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
            return match bounded.iter().any(|key| new.get(key).is_some()) {
                true => vec![(
                    path.into(),
                    Rule::Narrowed(format!("may no longer be {value}")),
                )],
                false => Broken::new(),
            };
        }
        let mut broken: Broken = narrowed(old, new)
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

    fn objects(&mut self, old: &Value, new: &Value, path: &str, depth: usize) -> Broken {
        let mut broken = Broken::new();
        let (olds, news) = (properties(old), properties(new));
        for (name, old_property) in &olds {
            let at = join(path, name);
            match news.iter().find(|(key, new)| reads(key, new, name)) {
                Some((_, property)) => {
                    broken.extend(self.schemas(old_property, property, &at, depth + 1));
                }
                None => match new.get("additionalProperties") {
                    // A map, into which the field goes.
                    Some(Value::Object(others)) => {
                        let others = Value::Object(others.clone());
                        broken.extend(self.schemas(old_property, &others, &at, depth + 1));
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
        match (others(old), others(new)) {
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

    fn arrays(&mut self, old: &Value, new: &Value, path: &str, depth: usize) -> Broken {
        let anything = Value::Bool(true);
        let (olds, news) = (prefix(old), prefix(new));
        let item = |all: &[Value], whole: &Value, at: usize| {
            let rest = whole.get("items").unwrap_or(&anything);
            all.get(at).unwrap_or(rest).clone()
        };
        let mut broken = Broken::new();
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::{JsonSchema, Schema, schema_for};

    use super::*;
    use crate::json::schema::ALIASES;

    macro_rules! form {
        ($(#[$attribute:meta])* { $($fields:tt)* }) => {{
            #[derive(JsonSchema)]
            #[allow(dead_code)]
            $(#[$attribute])*
            struct Payload { $($fields)* }
            schema_for!(Payload).to_value()
        }};
    }

    fn broken(before: &Value, after: &Value) -> Vec<String> {
        let violations = payloads("mail", before, after);
        let name = |violation: Violation| {
            let rule = match violation.rule {
                Rule::FieldRemoved => "removed".into(),
                Rule::FieldRequired => "required".into(),
                Rule::TypeChanged { from, to } => format!("{from} -> {to}"),
                Rule::Narrowed(what) => what,
                other => format!("{other:?}"),
            };
            format!("{}: {rule}", violation.path)
        };
        violations.into_iter().map(name).collect()
    }

    #[track_caller]
    fn strands(before: Value, after: Value, rules: &[&str]) {
        assert_eq!(broken(&before, &after), rules, "\n{before:#}\n{after:#}");
    }

    #[track_caller]
    fn harmless(before: Value, after: Value) {
        strands(before, after, &[]);
    }

    fn aliased(mut schema: Value, field: &str, alias: &str) -> Value {
        schema["properties"][field][ALIASES] = serde_json::json!([alias]);
        schema
    }

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Address {
        street: String,
    }

    #[test]
    fn nothing_changed() {
        let form =
            || form!({ id: i64, to: Vec<Address>, tags: BTreeMap<String, u8>, at: (i32, f64) });
        harmless(form(), form());
    }

    #[test]
    fn a_field_removed() {
        strands(
            form!({ id: i64, to: String }),
            form!({ id: i64 }),
            &["to: removed"],
        );
    }

    #[test]
    fn a_field_renamed_without_an_alias() {
        let rules = ["usr: removed", "usr_id: required"];
        strands(form!({ usr: i64 }), form!({ usr_id: i64 }), &rules);
    }

    #[test]
    fn a_field_renamed_with_an_alias() {
        harmless(
            form!({ usr: i64 }),
            aliased(form!({ usr_id: i64 }), "usr_id", "usr"),
        );
    }

    #[test]
    fn a_field_renamed_with_an_alias_and_of_another_type() {
        let after = aliased(form!({ usr_id: String }), "usr_id", "usr");
        strands(
            form!({ usr: i64 }),
            after,
            &["usr: integer (int64) -> string"],
        );
    }

    #[test]
    fn a_new_field_that_is_required() {
        strands(
            form!({ id: i64 }),
            form!({ id: i64, to: String }),
            &["to: required"],
        );
    }

    #[test]
    fn a_new_field_that_is_not_required() {
        harmless(form!({ id: i64 }), form!({ id: i64, to: Option<String> }));
        harmless(
            form!({ id: i64 }),
            form!({ id: i64, #[serde(default)] to: String }),
        );
    }

    #[test]
    fn a_field_made_required() {
        let rules = ["to: string or null -> string", "to: required"];
        let after = form!({ to: String });
        let found = broken(&form!({ to: Option<String> }), &after);
        assert_eq!(found.len(), rules.len(), "{found:?}");
        assert!(found[1].ends_with(": required"), "{found:?}");
        strands(
            form!({ #[serde(default)] to: String }),
            after,
            &["to: required"],
        );
    }

    #[test]
    fn a_field_made_optional() {
        harmless(form!({ to: String }), form!({ to: Option<String> }));
        harmless(form!({ to: Address }), form!({ to: Option<Address> }));
        harmless(
            form!({ to: String }),
            form!({ #[serde(default)] to: String }),
        );
    }

    #[test]
    fn a_type_changed() {
        let after = form!({ id: String });
        strands(
            form!({ id: i64 }),
            after,
            &["id: integer (int64) -> string"],
        );
        strands(
            form!({ id: Vec<i64> }),
            form!({ id: i64 }),
            &["id: array -> integer (int64)"],
        );
        strands(
            form!({ id: f64 }),
            form!({ id: i64 }),
            &["id: number (double) -> integer (int64)"],
        );
    }

    #[test]
    fn a_smaller_number() {
        let rules = ["id: must be within -2147483648 to 2147483647"];
        strands(form!({ id: i64 }), form!({ id: i32 }), &rules);
        strands(
            form!({ id: u8 }),
            form!({ id: i8 }),
            &["id: must be within -128 to 127"],
        );
        strands(
            form!({ id: i64 }),
            form!({ id: u64 }),
            &["id: must be within 0 to 18446744073709552000"],
        );
    }

    #[test]
    fn a_larger_number() {
        harmless(form!({ id: i32 }), form!({ id: i64 }));
        harmless(form!({ id: u32 }), form!({ id: i64 }));
        harmless(form!({ id: i32 }), form!({ id: f64 }));
        harmless(form!({ id: f32 }), form!({ id: f64 }));
    }

    #[test]
    fn a_format_asked_for() {
        let mail = form!({ #[schemars(extend("format" = "email"))] to: String });
        strands(
            form!({ to: String }),
            mail.clone(),
            &["to: string -> string (email)"],
        );
        harmless(mail, form!({ to: String }));
    }

    #[test]
    fn limits() {
        let short = form!({ #[schemars(length(max = 3))] to: String });
        let pattern = form!({ #[schemars(regex(pattern = "^a"))] to: String });
        strands(
            form!({ to: String }),
            short.clone(),
            &["to: must have at most 3 (`maxLength`)"],
        );
        strands(
            form!({ to: String }),
            pattern.clone(),
            &["to: must fit `pattern`, \"^a\""],
        );
        harmless(short, form!({ to: String }));
        harmless(pattern, form!({ to: String }));
    }

    #[test]
    fn what_is_inside_of_a_type() {
        let before = form!({ to: Option<Vec<Address>> });
        let after = {
            #[derive(JsonSchema)]
            #[allow(dead_code)]
            struct Address {
                street: String,
                town: String,
            }
            form!({ to: Option<Vec<Address>> })
        };
        strands(before, after, &["to[].town: required"]);
    }

    #[test]
    fn a_type_with_another_name_of_the_same_form() {
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Place {
            street: String,
        }
        harmless(form!({ to: Address }), form!({ to: Place }));
    }

    #[test]
    fn a_map() {
        let after = form!({ tags: BTreeMap<String, String> });
        strands(
            form!({ tags: BTreeMap<String, i64> }),
            after,
            &["tags{}: integer (int64) -> string"],
        );
        harmless(
            form!({ tags: Address }),
            form!({ tags: BTreeMap<String, String> }),
        );
    }

    #[test]
    fn a_tuple() {
        let after = form!({ at: (i64, i64) });
        strands(
            form!({ at: (i64, String) }),
            after,
            &["at[1]: string -> integer (int64)"],
        );
        let longer = broken(&form!({ at: (i64, i64) }), &form!({ at: (i64, i64, i64) }));
        assert!(!longer.is_empty());
    }

    #[test]
    fn fields_that_must_be_known() {
        let strict = form!(#[serde(deny_unknown_fields)] { id: i64 });
        strands(
            form!({ id: i64, to: String }),
            strict.clone(),
            &["to: removed"],
        );
        harmless(form!({ id: i64 }), strict);
    }

    macro_rules! variants {
        ($(#[$attribute:meta])* { $($variants:tt)* }) => {{
            #[derive(JsonSchema)]
            #[allow(dead_code)]
            $(#[$attribute])*
            enum What { $($variants)* }
            form!({ what: What })
        }};
    }

    #[test]
    fn a_variant_more_or_less() {
        let (few, many) = (variants!({ A, B }), variants!({ A, B, C }));
        harmless(few.clone(), many.clone());
        strands(many, few, &["what: may no longer be `C`"]);
        let few = variants!({ A(i64), B { x: i64 } });
        let many = variants!({ A(i64), B { x: i64 }, C(String), D });
        harmless(few.clone(), many.clone());
        strands(
            many,
            few,
            &["what: may no longer be `D`", "what: may no longer be `C`"],
        );
    }

    #[test]
    fn a_variant_changed() {
        let after = variants!({ A(String), B { x: i64, y: i64 } });
        let rules = ["what.A: integer (int64) -> string", "what.B.y: required"];
        strands(variants!({ A(i64), B { x: i64 } }), after, &rules);
    }

    #[test]
    fn variants_with_a_tag_among_the_fields() {
        let before = variants!(#[serde(tag = "kind")] { A { x: i64 }, B { x: i64 }, C });
        let after = variants!(#[serde(tag = "kind")] { A { x: i64 }, B { x: String } });
        strands(
            before,
            after,
            &[
                "what: may no longer be `kind: C`",
                "what.x: integer (int64) -> string",
            ],
        );
    }

    #[test]
    fn forms_without_a_tag() {
        let one = form!({ id: i64 });
        let both = variants!(#[serde(untagged)] { A(i64), B(String) });
        let both = {
            let mut both = both;
            let what = both["properties"]["what"].take();
            both["properties"] = serde_json::json!({ "id": what });
            both["required"] = serde_json::json!(["id"]);
            both
        };
        harmless(one.clone(), both.clone());
        strands(both, one, &["id: string -> integer (int64)"]);
    }

    #[test]
    fn fields_of_a_struct_that_is_flattened() {
        let before = form!({ id: i64, #[serde(flatten)] to: Address });
        harmless(before.clone(), form!({ id: i64, street: String }));
        strands(before, form!({ id: i64 }), &["street: removed"]);
    }

    #[test]
    fn a_type_that_holds_itself() {
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Tree {
            name: String,
            children: Vec<Tree>,
        }
        let before = schema_for!(Tree);
        harmless(before.clone().to_value(), before.clone().to_value());
        let mut after: Schema = before.clone();
        after.insert(
            "required".into(),
            serde_json::json!(["name", "children", "age"]),
        );
        assert_eq!(
            broken(&before.to_value(), after.as_value()),
            ["age: required", "children[].age: required"]
        );
    }

    #[test]
    fn a_keyword_that_is_not_understood() {
        let odd = form!({ #[schemars(extend("not" = {"const": 3}))] id: i64 });
        strands(
            form!({ id: i64 }),
            odd.clone(),
            &["id: must fit `not`, {\"const\":3}"],
        );
        harmless(odd, form!({ id: i64 }));
    }

    #[test]
    fn words_about_a_field() {
        let after = form!({
            /// Who.
            #[schemars(title = "User", example = 7)]
            #[deprecated]
            id: i64
        });
        harmless(form!({ id: i64 }), after);
    }
}
