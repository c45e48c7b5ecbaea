//! Reads a JSON Schema. A *form* is a schema without alternatives: a value that a schema allows has one
//! of the schema's forms.

use serde_json::{Map, Value};

use crate::json::schema::{ALIASES, UNKNOWN};

/// Keywords that allow and refuse nothing.
pub(crate) const ANNOTATIONS: [&str; 12] = [
    "$schema",
    "$defs",
    "$id",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    ALIASES,
    UNKNOWN,
];

/// How deep schemas are followed. Types that hold themselves end before.
pub(crate) const MAX_DEPTH: usize = 64;

/// Lists the forms that a schema allows.
pub(crate) fn alternatives(root: &Value, schema: &Value, depth: usize) -> Vec<Value> {
    let schema = resolved(root, schema);
    let Value::Object(object) = &schema else {
        return vec![schema];
    };
    if depth > MAX_DEPTH {
        return vec![schema];
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(choices)) = object.get(key) {
            let mut base = object.clone();
            base.remove(key);
            return choices
                .iter()
                .flat_map(|choice| alternatives(root, choice, depth + 1))
                .flat_map(|choice| alternatives(root, &merged(&base, choice), depth + 1))
                .collect();
        }
    }
    if let Some(Value::Array(values)) = object.get("enum") {
        return values.iter().map(|value| constant(value.clone())).collect();
    }
    if let Some(Value::Array(types)) = object.get("type") {
        let with_type = types.iter().map(|ty| {
            let mut one = object.clone();
            one.insert("type".into(), ty.clone());
            Value::Object(one)
        });
        return with_type.collect();
    }
    vec![schema]
}

fn constant(value: Value) -> Value {
    let mut object = Map::new();
    object.insert("const".into(), value);
    Value::Object(object)
}

/// Puts what stands beside alternatives into one of them.
fn merged(base: &Map<String, Value>, choice: Value) -> Value {
    let Value::Object(mut choice) = choice else {
        return choice;
    };
    for (key, value) in base {
        match (key.as_str(), choice.get_mut(key)) {
            ("properties", Some(Value::Object(inner))) => {
                for (name, property) in value.as_object().into_iter().flatten() {
                    inner.entry(name).or_insert_with(|| property.clone());
                }
            }
            ("required", Some(Value::Array(inner))) => {
                inner.extend(value.as_array().into_iter().flatten().cloned());
            }
            (_, Some(_)) => {}
            (_, None) => {
                choice.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(choice)
}

/// Follows a reference, and keeps what stands beside it.
fn resolved(root: &Value, schema: &Value) -> Value {
    let mut schema = schema.clone();
    for _ in 0..MAX_DEPTH {
        let Some(reference) = reference(&schema) else {
            break;
        };
        let target = match reference.strip_prefix('#') {
            Some(pointer) => root.pointer(pointer).cloned(),
            None => None,
        };
        let Some(target) = target else { break };
        let mut base = schema.as_object().cloned().unwrap_or_default();
        base.remove("$ref");
        // The root's own definitions are not a part of what it describes.
        schema = merged(&base, target);
    }
    schema
}

pub(crate) fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)
}

pub(crate) fn accepts_anything(schema: &Value) -> bool {
    match schema {
        Value::Bool(anything) => *anything,
        Value::Object(object) => object.keys().all(|key| ANNOTATIONS.contains(&key.as_str())),
        _ => false,
    }
}

/// Returns what tells a variant of an enum from the others.
pub(crate) fn tag(form: &Value) -> Option<String> {
    if let Some(value) = form.get("const") {
        return Some(plain(value));
    }
    let properties = properties(form);
    let mut tags = properties.iter();
    if let Some((name, property)) = tags.find(|(_, property)| property.get("const").is_some()) {
        return Some(format!("{name}: {}", plain(&property["const"])));
    }
    match (properties.as_slice(), required(form).as_slice()) {
        ([(name, _)], [only]) if *name == only => Some((*name).clone()),
        _ => None,
    }
}

pub(crate) fn accepts_tag(form: &Value, tag: &str) -> bool {
    self::tag(form).as_deref() == Some(tag)
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn type_of(form: &Value) -> Option<String> {
    let from_value = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match (form.get("type"), form.get("const")) {
        (Some(Value::String(ty)), _) => Some(ty.clone()),
        (_, Some(value)) => Some(from_value(value).into()),
        _ => None,
    }
}

pub(crate) fn describe(schema: &Value) -> String {
    if let Some(reference) = reference(schema) {
        return format!("`{}`", last_part(reference));
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    let ty = match schema.get("type") {
        Some(Value::Array(types)) => types.iter().map(plain).collect::<Vec<_>>().join(" or "),
        Some(ty) => plain(ty),
        None => "one of several forms".into(),
    };
    match schema.get("format") {
        Some(format) => format!("{ty} ({})", plain(format)),
        None => ty,
    }
}

fn last_part(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

pub(crate) fn properties(form: &Value) -> Vec<(&String, &Value)> {
    let properties = form.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().collect()
}

pub(crate) fn required(form: &Value) -> Vec<String> {
    let required = form.get("required").and_then(Value::as_array);
    required.into_iter().flatten().map(plain).collect()
}

/// Returns the schema of the values whose names `properties` does not list.
pub(crate) fn additional(form: &Value) -> Option<&Value> {
    form.get("additionalProperties")
        .filter(|schema| !schema.is_boolean())
}

/// Returns the schemas of the first items of an array, each by its place.
pub(crate) fn tuple_items(form: &Value) -> Vec<Value> {
    let items = form.get("prefixItems").and_then(Value::as_array);
    items.cloned().unwrap_or_default()
}

/// Tells whether a field takes what rows have under this name.
pub(crate) fn reads(name: &str, property: &Value, in_rows: &str) -> bool {
    let aliases = property.get(ALIASES).and_then(Value::as_array);
    name == in_rows || aliases.into_iter().flatten().any(|alias| alias == in_rows)
}

/// Returns the numbers that a schema allows, the bounds of its format included.
pub(crate) fn range(form: &Value) -> Option<(f64, f64)> {
    let ty = type_of(form)?;
    if ty != "integer" && ty != "number" {
        return None;
    }
    let format = form.get("format").and_then(Value::as_str);
    let (low, high) = format
        .and_then(integer_range)
        .unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let bound = |key: &str| form.get(key).and_then(Value::as_f64);
    Some((
        bound("minimum").map_or(low, |bound| bound.max(low)),
        bound("maximum").map_or(high, |bound| bound.min(high)),
    ))
}

pub(crate) fn integer_range(format: &str) -> Option<(f64, f64)> {
    let bits = |prefix: &str| -> Option<i32> {
        match format.strip_prefix(prefix)? {
            "" => Some(64),
            bits => bits.parse().ok(),
        }
    };
    if let Some(bits) = bits("uint") {
        return Some((0.0, 2_f64.powi(bits) - 1.0));
    }
    let bits = bits("int")?;
    let half = 2_f64.powi(bits - 1);
    Some((-half, half - 1.0))
}

pub(crate) fn is_float(format: &str) -> bool {
    matches!(format, "float" | "double")
}

pub(crate) fn number(value: f64) -> String {
    if value.is_infinite() {
        "any".into()
    } else {
        format!("{value}")
    }
}
