//! The fields of a form, made of a payload's JSON Schema, and the JSON that they make.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::parameters::Parameters;
use super::text::pretty;

/// What stands before the name of a property in the name of its input.
const PREFIX: &str = "field.";

/// A field for each property of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) fields: Vec<Field>,
}

/// One property of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) control: Control,
    pub(super) is_required: bool,
    is_nullable: bool,
    /// Whether something else than null stands for what is left out.
    has_default: bool,
    pub(super) is_secret: bool,
    /// What may stand there.
    pub(super) hint: String,
    /// What stands there: what somebody has typed, as they have.
    pub(super) value: String,
    pub(super) error: Option<String>,
}

/// How a property is typed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Control {
    Text,
    Number,
    /// One of these JSON texts.
    Choice(Vec<Choice>),
    /// Anything, as JSON.
    Json,
}

/// A value that a property may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) label: String,
    pub(super) json: String,
}

impl Form {
    /// Makes the fields of an object's schema; `None` if it says not by name what is in it.
    pub(super) fn of(schema: &Value, secrets: &[&str]) -> Option<Self> {
        let names = ["oneOf", "anyOf", "allOf", "patternProperties"];
        let is_open = schema
            .get("additionalProperties")
            .is_some_and(|it| *it != false);
        if is_open || names.iter().any(|name| schema.get(name).is_some()) {
            return None;
        }
        let required: Vec<&str> = match schema.get("required") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let properties = schema.get("properties")?.as_object()?;
        let fields = properties.iter().map(|(name, property)| {
            let is_required = required.contains(&name.as_str());
            let is_secret = secrets.contains(&name.as_str());
            Field::of(name, property, schema, is_required, is_secret)
        });
        let mut fields: Vec<Field> = fields.collect();
        fields.sort_by_key(|field| !field.is_required);
        Some(Self { fields })
    }

    /// Puts the values of a payload into the fields; `None` if not all of them have a place there.
    pub(super) fn filled(mut self, payload: &str) -> Option<Self> {
        let mut given: BTreeMap<String, Box<RawValue>> = serde_json::from_str(payload).ok()?;
        for field in &mut self.fields {
            if let Some(value) = given.remove(&field.name) {
                field.value = field.typed(value.get())?;
            }
        }
        given.is_empty().then_some(self)
    }

    /// Puts into the fields what somebody has typed.
    pub(super) fn typed(mut self, said: &Parameters) -> Self {
        for field in &mut self.fields {
            let typed = said.as_typed(&format!("{PREFIX}{}", field.name));
            field.value = typed.unwrap_or_default().to_owned();
        }
        self
    }

    /// Returns the payload that the fields make. What is wrong stands then at its field.
    pub(super) fn payload(&mut self) -> Option<Box<RawValue>> {
        let mut properties = BTreeMap::new();
        for field in &mut self.fields {
            match field.json() {
                Ok(Some(json)) => {
                    properties.insert(field.name.clone(), json);
                }
                Ok(None) => {}
                Err(error) => field.error = Some(error),
            }
        }
        if self.fields.iter().any(|field| field.error.is_some()) {
            return None;
        }
        serde_json::value::to_raw_value(&properties).ok()
    }

    /// Says at the field to which a path such as `user.email` leads what is wrong there. Returns whether there is one.
    pub(super) fn blame(&mut self, path: &str, error: &str) -> bool {
        let name = path.split(['.', '[']).next().unwrap_or_default();
        let field = self.fields.iter_mut().find(|field| field.name == name);
        let is_there = field.is_some();
        if let Some(field) = field {
            field.error = Some(error.to_owned());
        }
        is_there
    }
}

impl Field {
    fn of(name: &str, schema: &Value, root: &Value, is_required: bool, is_secret: bool) -> Self {
        let (inner, is_nullable) = without_null(resolved(schema, root), root);
        let control = control(&inner);
        let description = [schema, &inner]
            .into_iter()
            .find_map(|it| it.get("description")?.as_str());
        let kind = match &control {
            Control::Text => match inner.get("format").and_then(Value::as_str) {
                Some("date-time") => "a time, such as 2026-03-01T07:30:00Z",
                Some(format) => format,
                None => "",
            },
            Control::Number if inner.get("type") == Some(&"integer".into()) => "a whole number",
            Control::Number => "a number",
            Control::Choice(_) => "",
            Control::Json => "JSON",
        };
        let default = schema.get("default").filter(|it| !it.is_null());
        let default = default.map(|it| format!("otherwise {it}"));
        let hints = [
            description,
            Some(kind).filter(|it| !it.is_empty()),
            default.as_deref(),
        ];
        Self {
            hint: hints.into_iter().flatten().collect::<Vec<_>>().join("; "),
            name: name.to_owned(),
            control,
            is_required,
            is_nullable,
            has_default: default.is_some(),
            is_secret,
            value: String::new(),
            error: None,
        }
    }

    /// Returns the name of its input.
    pub(super) fn input(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// Returns how somebody would type a value; `None` if that would come back as another one.
    fn typed(&self, json: &str) -> Option<String> {
        if json == "null" && self.is_nullable && !self.has_default {
            return Some(String::new());
        }
        match &self.control {
            Control::Text => {
                let text: String = serde_json::from_str(json).ok()?;
                let comes_back = !text.is_empty() || self.is_required && !self.is_nullable;
                // A browser sends the end of a line as two characters, and an input has one line.
                (comes_back && !text.contains(['\r', '\n'])).then_some(text)
            }
            Control::Number => json
                .starts_with(|c: char| c == '-' || c.is_ascii_digit())
                .then(|| json.to_owned()),
            Control::Choice(choices) => {
                let value: Value = serde_json::from_str(json).ok()?;
                let is_it = |choice: &&Choice| {
                    serde_json::from_str::<Value>(&choice.json).is_ok_and(|it| it == value)
                };
                Some(choices.iter().find(is_it)?.json.clone())
            }
            Control::Json => Some(pretty(json)),
        }
    }

    /// Returns what stands in the field as JSON; `None` if the property is left out.
    fn json(&self) -> Result<Option<Box<RawValue>>, String> {
        let trimmed = self.value.trim();
        let is_empty = match self.control {
            Control::Text => self.value.is_empty(),
            _ => trimmed.is_empty(),
        };
        let raw = |json: &str| RawValue::from_string(json.to_owned()).map(Some);
        if is_empty {
            return match (&self.control, self.is_nullable, self.is_required) {
                (_, true, is_required) if is_required || !self.has_default => {
                    raw("null").map_err(|it| it.to_string())
                }
                (Control::Text, false, true) => raw("\"\"").map_err(|it| it.to_string()),
                (_, false, true) => Err("it has to be there".to_owned()),
                _ => Ok(None),
            };
        }
        match &self.control {
            Control::Text => {
                let json = serde_json::value::to_raw_value(&self.value);
                json.map(Some).map_err(|error| error.to_string())
            }
            Control::Number => {
                let is_number = trimmed.starts_with(|c: char| c == '-' || c.is_ascii_digit());
                let number = is_number.then(|| raw(trimmed).ok()).flatten();
                number.ok_or_else(|| format!("`{trimmed}` is no number"))
            }
            Control::Choice(choices) => {
                let is_one = choices.iter().any(|it| it.json == trimmed);
                let choice = is_one.then(|| raw(trimmed).ok()).flatten();
                choice.ok_or_else(|| format!("`{trimmed}` is none of its values"))
            }
            Control::Json => raw(trimmed).map_err(|error| format!("it is no JSON: {error}")),
        }
    }
}

/// Follows `$ref`.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let path = reference.and_then(|it| it.strip_prefix('#'));
    path.and_then(|path| root.pointer(path)).unwrap_or(schema)
}

/// Returns the schema of what is there if it is not null, and whether it may be null.
fn without_null(schema: &Value, root: &Value) -> (Value, bool) {
    let null = Value::from("null");
    if let Some(Value::Array(types)) = schema.get("type") {
        let others: Vec<&Value> = types.iter().filter(|it| **it != null).collect();
        let mut inner = schema.clone();
        if let [one] = others[..] {
            inner["type"] = one.clone();
        }
        if let Some(Value::Array(values)) = inner.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        return (inner, types.contains(&null));
    }
    if let Some(Value::Array(either)) = schema.get("anyOf") {
        let is_null = |it: &Value| it.get("type") == Some(&null);
        let others: Vec<&Value> = either.iter().filter(|it| !is_null(it)).collect();
        if let [one] = others[..]
            && either.len() == 2
        {
            return (resolved(one, root).clone(), true);
        }
    }
    (schema.clone(), false)
}

fn control(schema: &Value) -> Control {
    let choice = |value: &Value| Choice {
        label: value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
        json: value.to_string(),
    };
    if let Some(Value::Array(values)) = schema.get("enum") {
        return Control::Choice(values.iter().map(choice).collect());
    }
    if let Some(Value::Array(cases)) = schema.get("oneOf") {
        let values = cases.iter().map(|case| case.get("const").map(choice));
        return values
            .collect::<Option<_>>()
            .map_or(Control::Json, Control::Choice);
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => Control::Text,
        Some("integer" | "number") => Control::Number,
        Some("boolean") => Control::Choice([false, true].map(|it| choice(&it.into())).into()),
        _ => Control::Json,
    }
}

#[cfg(test)]
#[path = "form/tests.rs"]
mod tests;
