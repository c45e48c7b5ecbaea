//! Makes a [`RawValue`] of a text that is JSON already, without reading it once more.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// By this name serde_json knows a `RawValue`, and writes its text as it is.
pub(super) const TOKEN: &str = "$serde_json::private::RawValue";

struct Verbatim<'a>(&'a str);

impl Serialize for Verbatim<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serializer.serialize_struct(TOKEN, 1)?;
        value.serialize_field(TOKEN, self.0)?;
        value.end()
    }
}

/// Makes a value of a text without space around it that is known to be JSON: it was written as such, or is what Postgres returns of `jsonb`.
///
/// # Errors
///
/// It is none, and that was noticed.
pub(crate) fn verbatim(text: &str) -> Result<Box<RawValue>, serde_json::Error> {
    match to_raw_value(&Verbatim(text)) {
        Ok(raw) if raw.get().len() == text.len() => Ok(raw),
        // With another serde_json, which knows it by another name.
        _ => RawValue::from_string(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_as_it_is() {
        for text in ["7", r#"{"a": [1.50, "\u00e4"]}"#, r#""ä""#] {
            let raw = verbatim(text).expect("JSON");
            assert_eq!(raw.get(), text);
        }
        // It was not read, or this would be refused.
        assert_eq!(verbatim("{").expect("unread").get(), "{");
    }
}
