//! What texts may say of secret values: nothing.
//!
//! What handlers and serde say of a payload may quote it. So such texts are searched for the values of its secret fields,
//! before they are logged or stored.

use serde_json::Value;
use serde_json::value::RawValue;

/// What stands in the place of a secret value.
pub(crate) const MASK: &str = "***";

/// What is said in place of why a secret value does not fit: a reason may quote it, or a part of it.
pub(crate) const NOT_SAID: &str =
    "the field is secret, so what is wrong with its value is not said";

/// A text of fewer bytes is taken out only where it stands as a word of its own.
const SHORT: usize = 4;

/// And one of fewer digits, of which texts have many.
const SHORT_NUMBER: usize = 8;

/// The secret fields of one payload, with what is to be taken out of texts about it.
pub(crate) struct Secrets {
    fields: &'static [&'static str],
    /// As texts may quote them, the longest first.
    values: Vec<String>,
}

impl Secrets {
    /// Reads the secret values of a payload. One that is no object has no fields, and is secret as a whole.
    pub(crate) fn of(fields: &'static [&'static str], raw: Option<&RawValue>) -> Self {
        let mut values = Vec::new();
        let payload = raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
        match payload {
            _ if fields.is_empty() => {}
            Some(Value::Object(payload)) => {
                let secret = payload.iter();
                let secret = secret.filter(|(name, _)| fields.contains(&name.as_str()));
                secret.for_each(|(_, value)| gather(value, &mut values));
            }
            Some(whole) => gather(&whole, &mut values),
            None => {}
        }
        values.sort_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        values.dedup();
        Self { fields, values }
    }

    /// Returns the secret field in which a path such as `card.number` lies, if it lies in one.
    pub(crate) fn at<'a>(&self, path: &'a str) -> Option<&'a str> {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let field = &path[..end];
        self.fields.contains(&field).then_some(field)
    }

    /// Returns how many bytes the longest of the secret values has, as texts may quote it.
    #[cfg(feature = "log")]
    pub(crate) fn longest(&self) -> usize {
        self.values.iter().map(String::len).max().unwrap_or(0)
    }

    /// Takes the secret values out of a text.
    pub(crate) fn hide(&self, text: String) -> String {
        let values = self.values.iter();
        values.fold(text, |text, value| without(text, value))
    }
}

/// Gathers the texts and numbers in a value, each as it may be quoted.
fn gather(value: &Value, values: &mut Vec<String>) {
    match value {
        Value::Null | Value::Bool(_) => {}
        // Those of one or two digits are no secrets, and would be found in each text.
        Value::Number(number) => {
            let number = number.to_string();
            if number.len() > 2 {
                values.push(number);
            }
        }
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => {
            // As Rust and JSON quote it, without the quotes.
            let quoted = [format!("{text:?}"), Value::String(text.clone()).to_string()];
            for quoted in quoted {
                values.push(quoted[1..quoted.len() - 1].to_owned());
            }
            values.push(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, values)),
        Value::Object(fields) => fields.values().for_each(|field| gather(field, values)),
    }
}

/// Puts the mask in the place of a value, wherever it stands in a text.
fn without(text: String, value: &str) -> String {
    if !text.contains(value) {
        return text;
    }
    let is_number = value.bytes().all(|it| it.is_ascii_digit());
    let is_a_word = |before: &str, after: &str| {
        let is_part = |c: char| c.is_alphanumeric();
        !before.ends_with(is_part) && !after.starts_with(is_part)
    };
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        hidden.push_str(before);
        let is_short = value.len() < if is_number { SHORT_NUMBER } else { SHORT };
        // The character before may have gone into `hidden` with a match before this one.
        if is_short && !is_a_word(&hidden, after) {
            hidden.push_str(value);
        } else {
            hidden.push_str(MASK);
        }
        rest = after;
    }
    hidden.push_str(rest);
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &["token", "card"];

    fn secrets(json: &str) -> Secrets {
        let raw = RawValue::from_string(json.to_owned()).expect("JSON");
        Secrets::of(FIELDS, Some(&raw))
    }

    #[test]
    fn secret_values_are_taken_out_of_texts_however_they_are_quoted() {
        let secrets = secrets(
            r#"{"usr_id": 4242, "token": "a\"b\\c", "card": {"number": "41112222", "pin": 7391, "cvc": "12"}}"#,
        );
        for (text, hidden) in [
            (
                r#"invalid type: string "a\"b\\c""#,
                r#"invalid type: string "***""#,
            ),
            (r#"it was a"b\c"#, "it was ***"),
            (
                "user 4242 has 41112222 with 7391",
                "user 4242 has *** with ***",
            ),
            ("x41112222y", "x***y"),
            (
                "17391 is another number, 12 is not, and 1200 is",
                "17391 is another number, *** is not, and 1200 is",
            ),
        ] {
            assert_eq!(secrets.hide(text.to_owned()), hidden);
        }
    }

    #[test]
    fn a_payload_that_is_no_object_is_secret_as_a_whole() {
        let secrets = secrets(r#"["s3cr3t"]"#);
        assert_eq!(secrets.hide("got s3cr3t".to_owned()), "got ***");
    }

    #[test]
    fn a_path_lies_in_the_field_with_which_it_begins() {
        let secrets = secrets("{}");
        assert_eq!(secrets.at("card.number"), Some("card"));
        assert_eq!(secrets.at("token"), Some("token"));
        assert_eq!(secrets.at("tokens"), None);
        assert_eq!(secrets.at("."), None);
    }
}
