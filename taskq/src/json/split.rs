//! Divides the text of an object into its fields, without reading their values.

use std::borrow::Cow;

use super::path::{name, string_end};

/// A field, as the texts of its name and its value.
#[derive(Debug, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: &'a str,
}

/// The fields of an object, one after the other.
///
/// The text is known to be JSON. Of one that is not, the fields make no sense, and serde_json refuses their values.
pub(super) struct Split<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Split<'a> {
    /// Begins to divide a text, or returns `None`: it is no object.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let mut split = Self { text, at: 0 };
        (split.peek()? == b'{').then(|| {
            split.at += 1;
            split
        })
    }

    /// Returns the next field.
    pub(super) fn next(&mut self) -> Option<Entry<'a>> {
        if self.peek()? == b',' {
            self.at += 1;
        }
        if self.peek()? != b'"' {
            return None;
        }
        let from = self.at;
        self.at = string_end(self.text.as_bytes(), from);
        let quoted = self.text.get(from..self.at)?;
        let name = match quoted.as_bytes().contains(&b'\\') {
            true => name(quoted.as_bytes()).into(),
            false => quoted.get(1..quoted.len() - 1)?.into(),
        };
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        self.peek()?;
        let from = self.at;
        self.at = self.value_end();
        let value = self.text.get(from..self.at)?;
        Some(Entry { name, value })
    }

    /// Returns the next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Returns where the value ends that begins here, or what is behind a number or a word: a comma ends it, or the
    /// object.
    fn value_end(&self) -> usize {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        let mut at = self.at;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    at = string_end(bytes, at);
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b',' if depth == 0 => break,
                b'}' | b']' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    fn fields(text: &str) -> Option<Vec<(String, &str)>> {
        let mut split = Split::of(text)?;
        let entries = iter::from_fn(|| split.next());
        let fields = entries.map(|it| (it.name.into_owned(), it.value));
        Some(fields.collect())
    }

    #[test]
    fn an_object_is_divided_into_its_fields() {
        for (text, expected) in [
            ("{}", &[][..]),
            (" {\n} ", &[]),
            (r#"{"a":1}"#, &[("a", "1")]),
            (
                r#"{"a": -1.5e3, "": "x", "c": null}"#,
                &[("a", "-1.5e3"), ("", r#""x""#), ("c", "null")],
            ),
            (
                r#"{"a":[1,{"b":"],}\""}],"c":{"d":[]},"e":"\\"}"#,
                &[
                    ("a", r#"[1,{"b":"],}\""}]"#),
                    ("c", r#"{"d":[]}"#),
                    ("e", r#""\\""#),
                ],
            ),
            (
                r#"{"\"\u00e4,":true,"ä":"ß"}"#,
                &[("\"ä,", "true"), ("ä", r#""ß""#)],
            ),
        ] {
            let expected = expected
                .iter()
                .map(|(name, value)| ((*name).into(), *value));
            assert_eq!(fields(text), Some(expected.collect()), "{text}");
        }
        // Whoever reads a value passes over the space behind it.
        assert_eq!(fields(r#"{"a":7 }"#), Some(vec![("a".into(), "7 ")]));
    }

    #[test]
    fn what_is_no_object_is_not_divided() {
        for text in ["", " ", "7", "null", "[]", r#""{}""#] {
            assert_eq!(fields(text), None, "{text}");
        }
    }

    #[test]
    fn what_ends_too_early_is_divided_up_to_there() {
        for text in [
            "{",
            r#"{""#,
            r#"{"a"#,
            r#"{"a""#,
            r#"{"a" 1}"#,
            r#"{"a":"#,
            "{7}",
        ] {
            assert_eq!(fields(text), Some(Vec::new()), "{text}");
        }
    }
}
