//! Makes a [`RawValue`] of a text that is JSON already, without reading it once more.

use std::iter;

use serde::Deserialize;
use serde::de::value::MapDeserializer;
use serde_json::value::RawValue;

/// By this name serde_json's readers hand it the text of a `RawValue`, and its writers take it as it is.
pub(super) const TOKEN: &str = "$serde_json::private::RawValue";

/// Makes a value of a text without space around it that is known to be JSON: one that was written as such, or that Postgres
/// returns of `jsonb`.
///
/// # Errors
///
/// It is none, and that was noticed.
pub(crate) fn verbatim(text: &str) -> Result<Box<RawValue>, serde_json::Error> {
    let fields = MapDeserializer::<_, serde_json::Error>::new(iter::once((TOKEN, text)));
    // With another serde_json, which knows it by another name, the text is read.
    Deserialize::deserialize(fields).or_else(|_| RawValue::from_string(text.to_owned()))
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
