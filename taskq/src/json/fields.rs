//! Reads a struct field by field, so that a task type adds little code.
//!
//! serde's code for a struct is generic in the reader, and so is the reader's code for the struct: the
//! compiler makes all of it anew for each task type. Here that is a few lines. Code that knows no type
//! divides the text into fields. Code that depends on the field's type alone, of which there are few, then
//! reads the value: serde_json first, and if it finds a mistake, serde_path_to_error, which says where the
//! mistake is.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Expected, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::de::StrRead;
use serde_path_to_error::Track;

use super::split::{Entry, Split};
use crate::error::DecodeError;

/// A payload to be read, as a text that is known to be JSON.
pub(super) struct Fields<'de>(pub(super) &'de str);

/// Reads anything but a struct as a whole.
macro_rules! whole {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $type,)*
            visitor: V,
        ) -> Result<V::Value, DecodeError> {
            tracked(self.0, |reader| reader.$method($($argument,)* visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for Fields<'de> {
    type Error = DecodeError;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        // Without `?`, here and below: `?` would make two more functions for each payload.
        match Entries::of(self.0, &visitor) {
            Ok(entries) => visitor.visit_map(entries),
            Err(error) => Err(error),
        }
    }

    whole! {
        deserialize_any()
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_i128()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_option()
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map()
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier()
        deserialize_ignored_any()
    }
}

type Reader<'de> = serde_json::Deserializer<StrRead<'de>>;

/// Reads a value from the whole of a text, and says where in it a mistake is.
fn tracked<'de, T>(
    json: &'de str,
    read: impl FnOnce(
        serde_path_to_error::Deserializer<'_, '_, &mut Reader<'de>>,
    ) -> Result<T, serde_json::Error>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::from_str(json);
    let mut track = Track::new();
    let read = read(serde_path_to_error::Deserializer::new(
        &mut reader,
        &mut track,
    ));
    match read {
        Ok(value) => match reader.end() {
            Ok(()) => Ok(value),
            Err(_) => Err(DecodeError::new(".", NOT_WHOLE)),
        },
        Err(error) => Err(misfit(track.path().to_string(), &error)),
    }
}

// serde_json reads an integer of 128 bits up to its point, and leaves the rest to what comes next.
const NOT_WHOLE: &str = "invalid type: floating point, expected an integer";

fn misfit(path: String, error: &serde_json::Error) -> DecodeError {
    let mut text = error.to_string();
    // Line and column count from the beginning of the field's text. The path says more.
    let place = format!(" at line {} column {}", error.line(), error.column());
    if text.ends_with(&place) {
        text.truncate(text.len() - place.len());
    }
    DecodeError::new(path, text)
}

const NAME_FIRST: &str = "serde asks for a field's name before its value";

/// The fields of an object that are still to be read.
struct Entries<'de> {
    rest: Split<'de>,
    current: Option<Entry<'de>>,
}

impl<'de> Entries<'de> {
    fn of(json: &'de str, expected: &dyn Expected) -> Result<Self, DecodeError> {
        match Split::of(json) {
            Some(rest) => Ok(Self {
                rest,
                current: None,
            }),
            None => Err(no_object(json, expected)),
        }
    }

    fn next_name(&mut self) -> Option<FieldName<'_>> {
        self.current = self.rest.next();
        let entry = self.current.as_ref()?;
        Some(FieldName(&entry.name))
    }

    fn value(&self) -> &'de str {
        self.current.as_ref().expect(NAME_FIRST).value
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        self.next_name()
            .map(|name| seed.deserialize(name))
            .transpose()
    }

    // What serde's derives call, here and below.
    fn next_key<K: Deserialize<'de>>(&mut self) -> Result<Option<K>, DecodeError> {
        match self.next_name() {
            Some(name) => match K::deserialize(name) {
                Ok(field) => Ok(Some(field)),
                Err(error) => Err(error),
            },
            None => Ok(None),
        }
    }

    // Nearly all values fit, and then nobody asks where a mistake is.
    fn next_value<V: Deserialize<'de>>(&mut self) -> Result<V, DecodeError> {
        let mut reader = Reader::from_str(self.value());
        match V::deserialize(&mut reader) {
            Ok(value) if reader.end().is_ok() => Ok(value),
            _ => self.next_value_seed(PhantomData),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let entry = self.current.take();
        let Entry { name, value } = entry.expect(NAME_FIRST);
        let read = tracked(value, |reader| seed.deserialize(reader));
        read.map_err(|error| error.inside(&name))
    }
}

/// Says what stands there in place of an object.
#[cold]
fn no_object(json: &str, expected: &dyn Expected) -> DecodeError {
    let read = Reader::from_str(json).deserialize_map(NoObject(expected));
    match read {
        Err(error) => misfit(".".into(), &error),
        Ok(never) => match never {},
    }
}

struct NoObject<'a>(&'a dyn Expected);

impl Visitor<'_> for NoObject<'_> {
    type Value = Infallible;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a field, from which serde tells which it is.
struct FieldName<'a>(&'a str);

impl<'de> Deserializer<'de> for FieldName<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.0)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use crate::json::decode;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[serde(rename = "no", alias = "number")]
        id: u64,
        #[serde(default)]
        note: Option<String>,
        lines: Vec<Line>,
        #[serde(default)]
        wide: i128,
        #[serde(default)]
        extra: Option<Box<RawValueText>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Line {
        count: Count,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(try_from = "i64")]
    struct Count(i64);

    impl TryFrom<i64> for Count {
        type Error = &'static str;

        fn try_from(count: i64) -> Result<Self, Self::Error> {
            (count > 0).then_some(Self(count)).ok_or("none is too few")
        }
    }

    /// What only serde_json can read.
    #[derive(Debug, Deserialize)]
    #[serde(transparent)]
    struct RawValueText(Box<RawValue>);

    impl PartialEq for RawValueText {
        fn eq(&self, other: &Self) -> bool {
            self.0.get() == other.0.get()
        }
    }

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, String> {
        let raw = RawValue::from_string(json.into()).expect("JSON");
        decode(&raw).map_err(|error| {
            let source = std::error::Error::source(&error).expect("a reason");
            format!("{}: {source}", error.path())
        })
    }

    #[test]
    fn a_struct_is_read_as_serde_says() {
        let order: Order = read(
            r#" {"number": 18446744073709551615, "lines": [{"count": 2, "more": {}}],
                 "extra": {"b": [1.50]}} "#,
        )
        .expect("an order");
        let extra = RawValue::from_string(r#"{"b": [1.50]}"#.into()).expect("JSON");
        assert_eq!(
            order,
            Order {
                id: u64::MAX,
                note: None,
                lines: vec![Line { count: Count(2) }],
                wide: 0,
                extra: Some(Box::new(RawValueText(extra))),
            }
        );
        assert_eq!(
            read::<Line>(r#"{"co\u0075nt": 1}"#).map(|it| it.count),
            Ok(Count(1))
        );
    }

    #[test]
    fn a_mistake_is_named_with_its_path() {
        for (json, expected) in [
            (r#"{"no": 1}"#, ".: missing field `lines`"),
            (
                r#"{"no": "x", "lines": []}"#,
                "no: invalid type: string \"x\", expected u64",
            ),
            (r#"{"no": 1, "no": 1}"#, ".: duplicate field `no`"),
            (
                r#"{"no": 1, "lines": [{}]}"#,
                "lines[0]: missing field `count`",
            ),
            (
                r#"{"no": 1, "lines": [{"count": 0}]}"#,
                "lines[0].count: none is too few",
            ),
            (
                r#"{"no": 1, "lines": 7}"#,
                "lines: invalid type: integer `7`, expected a sequence",
            ),
            (
                r#"{"nr": 1}"#,
                "nr: unknown field `nr`, expected one of `no`, `number`, `note`, `lines`, `wide`, `extra`",
            ),
            (
                r#"{"no": 1, "lines": [], "wide": 1.5}"#,
                "wide: invalid type: floating point, expected an integer",
            ),
            ("null", ".: invalid type: null, expected struct Order"),
            (
                r#"[1, null, []]"#,
                ".: invalid type: sequence, expected struct Order",
            ),
        ] {
            assert_eq!(read::<Order>(json), Err(expected.into()), "{json}");
        }
    }

    #[test]
    fn what_is_no_struct_is_read_as_a_whole() {
        assert_eq!(read::<Vec<i32>>("[1, 2]"), Ok(vec![1, 2]));
        assert_eq!(read::<Option<Count>>("null"), Ok(None));
        assert_eq!(read::<u128>(" 7 "), Ok(7));
        assert!(read::<u128>("7e3").is_err());
        let error = read::<std::collections::BTreeMap<i64, Line>>(r#"{"7": {"count": -1}}"#);
        assert_eq!(error, Err("7.count: none is too few".into()));
    }
}
