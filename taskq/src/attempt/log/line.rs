//! One line: what an event says, bounded, and without secret values.

use std::error::Error;
use std::fmt::{self, Write};
use std::time::Instant;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::error::{MASK, Secrets, error_text};

/// How many bytes a target and the name of a field have.
const MOST_OF_NAME: usize = 200;

/// What stands where a text was cut.
const CUT: &str = "…";

/// A line, as it is written.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    /// The rest of a JSON object, from its second field on.
    rest: String,
}

impl Line {
    #[cfg(test)]
    pub(super) fn plain(text: &str) -> Self {
        Self {
            at: Instant::now(),
            rest: text.to_owned(),
        }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.rest
    }

    /// Returns about how many bytes it has.
    pub(crate) fn size(&self) -> usize {
        self.rest.len()
    }

    /// Writes it into an array of JSON, with its time after that of the first line.
    pub(crate) fn write(&self, first: Instant, array: &mut String) {
        let us = match self.at.checked_duration_since(first) {
            Some(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            None => -i64::try_from((first - self.at).as_micros()).unwrap_or(0),
        };
        // To a string nothing fails.
        let _ = write!(array, "{{\"us\":{us},{}", self.rest);
    }
}

/// What is read of an event, until it is a line.
pub(crate) struct Fields<'a> {
    secrets: &'a [Secrets],
    /// How many bytes of texts there is room for.
    left: usize,
    message: String,
    fields: Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Reads an event, and keeps so many bytes of it.
    pub(crate) fn of(event: &Event<'_>, most: usize, secrets: &'a [Secrets]) -> Self {
        let mut fields = Self {
            secrets,
            left: most,
            message: String::new(),
            fields: Map::new(),
        };
        event.record(&mut fields);
        fields
    }

    pub(crate) fn into_line(self, level: Level, target: &str, at: Instant) -> Line {
        let mut line = serde_json::json!({
            "level": level.as_str(),
            "target": storable(cut(target.to_owned(), MOST_OF_NAME)),
            "message": self.message,
        });
        if !self.fields.is_empty() {
            line["fields"] = Value::Object(self.fields);
        }
        let text = line.to_string();
        Line {
            at,
            rest: text[1..].to_owned(),
        }
    }

    fn record_value(&mut self, field: &Field, value: Value) {
        // No number and no `true` tells more of a secret than its text does.
        if self.is_secret(field.name()) {
            return self.record_text(field, &MASK);
        }
        if !self.secrets.is_empty() {
            let text = value.to_string();
            if self.hidden(text.clone()) != text {
                return self.record_text(field, &text);
            }
        }
        self.put(field.name(), value);
    }

    fn record_text(&mut self, field: &Field, text: &dyn fmt::Display) {
        let text = match self.is_secret(field.name()) {
            true => MASK.to_owned(),
            false => self.bounded(text),
        };
        self.left = self.left.saturating_sub(text.len());
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field.name(), text.into());
        }
    }

    /// Puts a field in; what comes where nothing is left is only said to be there.
    fn put(&mut self, name: &str, value: Value) {
        let name = storable(cut(name.to_owned(), MOST_OF_NAME));
        self.left = self.left.saturating_sub(name.len() + 8);
        self.fields.insert(name, value);
    }

    fn is_secret(&self, name: &str) -> bool {
        self.secrets
            .iter()
            .any(|secrets| secrets.at(name).is_some())
    }

    fn hidden(&self, text: String) -> String {
        let secrets = self.secrets.iter();
        secrets.fold(text, |text, secrets| secrets.hide(text))
    }

    /// Writes a text, up to what there is room for. One that is longer is not even made.
    fn bounded(&self, text: &dyn fmt::Display) -> String {
        let longest = self.secrets.iter().map(Secrets::longest).max();
        let longest = longest.unwrap_or(0);
        let mut written = Bounded {
            text: String::new(),
            most: self.left.saturating_add(longest),
        };
        let is_whole = write!(written, "{text}").is_ok();
        let mut text = self.hidden(written.text);
        if !is_whole {
            // A secret value may have been cut, so that it was not found.
            let known = text.len().saturating_sub(longest);
            text.truncate(text.floor_char_boundary(known));
        }
        let is_cut = !is_whole || text.len() > self.left;
        let mut text = storable(cut(text, self.left));
        if is_cut {
            text.push_str(CUT);
        }
        text
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_text(field, &Debugged(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_text(field, &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_text(field, &error_text(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.record_value(field, number.into()),
            None => self.record_text(field, &value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_value(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_value(field, value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.record_text(field, &value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record_text(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record_value(field, value.into());
    }
}

struct Debugged<'a>(&'a dyn fmt::Debug);

impl fmt::Display for Debugged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that takes so many bytes, and then fails.
struct Bounded {
    text: String,
    most: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.most - self.text.len();
        if part.len() <= room {
            self.text.push_str(part);
            return Ok(());
        }
        self.text.push_str(&part[..part.floor_char_boundary(room)]);
        self.most = self.text.len();
        Err(fmt::Error)
    }
}

/// JSON in Postgres holds no zero byte.
fn storable(text: String) -> String {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    }
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn what_remains_of_a_secret_value_that_was_cut_is_left_out() {
        let payload = r#"{"token": "cAnAry-7f3a-x"}"#.to_owned();
        let payload = RawValue::from_string(payload).expect("JSON");
        let secrets = [Secrets::of(&["token"], Some(&payload))];
        // Where values before it become shorter, the cut one moves into what is shown.
        for before in 0..20 {
            let text = "x".repeat(before) + &"cAnAry-7f3a-x".repeat(40);
            let fields = Fields {
                secrets: &secrets,
                left: 100,
                message: String::new(),
                fields: Map::new(),
            };
            let shown = fields.bounded(&text);
            assert!(shown.contains("***") && !shown.contains("cA"), "{shown}");
        }
    }

    #[test]
    fn a_secret_value_that_begins_within_the_bound_and_ends_behind_it_is_not_shown() {
        let payload = r#"{"token": "cAnAry-7f3a-x"}"#.to_owned();
        let payload = RawValue::from_string(payload).expect("JSON");
        let secrets = [Secrets::of(&["token"], Some(&payload))];
        for before in 88..100 {
            let fields = Fields {
                secrets: &secrets,
                left: 100,
                message: String::new(),
                fields: Map::new(),
            };
            let shown = fields.bounded(&("x".repeat(before) + "cAnAry-7f3a-x"));
            assert!(!shown.contains("xc"), "{shown}");
        }
    }
}
