//! Writes a value as JSON that Postgres gives back unchanged, and notes what may not come back.
//!
//! Text, numbers and escapes are serde_json's. What differs is what `jsonb` would lose: a float is written so
//! that it stays one, and zero keeps its sign. All else that JSON does not tell apart is a [`Doubt`].

use std::fmt::{self, Write as _};

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::scan::{MAX_DEPTH, TOO_DEEP};
use crate::error::EncodeError;

/// Room for the payloads that most tasks have.
const USUAL_LENGTH: usize = 128;

/// A negative zero. `jsonb` has no such number, and makes a zero of it. So a number is written that is too
/// small for any float: whoever reads it as one gets the zero below.
const NEGATIVE_ZERO: &str = "-1e-324";

/// From here on serde_json writes an exponent, and `jsonb` would make an integer of the number.
const EXPONENT_FROM: f64 = 1e16;

/// The names by which serde_json tells its serializer that a text is JSON already.
const VERBATIM: [&str; 2] = [
    "$serde_json::private::RawValue",
    "$serde_json::private::Number",
];

/// Writes one value.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) text: Vec<u8>,
    pub(super) doubts: Vec<Doubt>,
    /// How many arrays and objects are open.
    depth: usize,
    /// Whether the next string is JSON already.
    is_verbatim: bool,
}

/// Something that may not come back as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Doubt {
    /// Where in the text.
    pub(super) at: usize,
    pub(super) what: Doubtful,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubtful {
    NotANumber,
    Infinite,
    NegativeInfinite,
    /// `Some` of what is written as `null`, as `None` is.
    SomeNull,
    /// An integer of 128 bits. serde cannot read it where it buffers.
    Wide,
    /// A key that is no text. serde cannot read it where it buffers.
    Key,
    /// JSON that somebody else wrote. serde_json cannot read it where serde buffers.
    Verbatim,
}

type Written = Result<(), EncodeError>;

type Number<'a> = serde_json::Serializer<&'a mut Vec<u8>>;

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            text: Vec::with_capacity(USUAL_LENGTH),
            doubts: Vec::new(),
            depth: 0,
            is_verbatim: false,
        }
    }

    fn doubt(&mut self, what: Doubtful) {
        let at = self.text.len();
        self.doubts.push(Doubt { at, what });
    }

    fn push(&mut self, byte: u8) -> Written {
        self.text.push(byte);
        Ok(())
    }

    fn push_all(&mut self, text: &[u8]) -> Written {
        self.text.extend_from_slice(text);
        Ok(())
    }

    fn name(&mut self, name: &str) -> Written {
        self.string(name)?;
        self.push(b':')
    }

    fn string(&mut self, text: &str) -> Written {
        simply(Number::new(&mut self.text).serialize_str(text))
    }

    /// Writes what has no JSON. Whoever reads `null` as such a number gets it all the same.
    #[cold]
    fn not_finite(&mut self, float: f64) -> Written {
        self.doubt(match (float.is_nan(), float.is_sign_negative()) {
            (true, _) => Doubtful::NotANumber,
            (false, false) => Doubtful::Infinite,
            (false, true) => Doubtful::NegativeInfinite,
        });
        self.push_all(b"null")
    }

    /// Writes a large float without an exponent.
    #[cold]
    fn large(&mut self, float: &dyn fmt::Display) -> Written {
        let _ = write!(Text(&mut self.text), "{float}.0");
        Ok(())
    }

    fn note_null(&mut self, at: usize) {
        if self.text.ends_with(b"null") && self.text.len() == at + 4 {
            let what = Doubtful::SomeNull;
            self.doubts.push(Doubt { at, what });
        }
    }

    /// Makes a name of what was written as a value.
    fn end_name(&mut self, at: usize) -> Written {
        match self.text[at] {
            b'"' => {}
            b'-' | b'0'..=b'9' | b't' | b'f' => {
                let what = Doubtful::Key;
                self.doubts.push(Doubt { at, what });
                self.text.insert(at, b'"');
                self.text.push(b'"');
            }
            _ => {
                self.text.truncate(at);
                let problem = match self.doubts.last() {
                    Some(doubt) if doubt.at == at => "a float that is a key must be finite",
                    _ => "a key must be a string",
                };
                return Err(EncodeError::new(".", problem));
            }
        }
        self.push(b':')
    }

    /// Begins an array or object, unless it would be too deep: before the stack is.
    fn open(&mut self, open: u8) -> Written {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(EncodeError::new(".", TOO_DEEP));
        }
        self.push(open)
    }

    fn begin(&mut self, open: u8, close: &'static [u8]) -> Result<Compound<'_>, EncodeError> {
        self.open(open)?;
        Ok(Compound {
            writer: self,
            is_first: true,
            close,
        })
    }

    fn begin_variant(
        &mut self,
        variant: &'static str,
        open: u8,
        close: &'static [u8],
    ) -> Result<Compound<'_>, EncodeError> {
        self.open(b'{')?;
        self.name(variant)?;
        self.begin(open, close)
    }
}

/// Integers, numbers and text written into memory cannot fail.
fn simply(written: Result<(), serde_json::Error>) -> Written {
    written.map_err(EncodeError::from)
}

/// Text at the end of what was written.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    // Times are written character by character.
    fn write_char(&mut self, char: char) -> fmt::Result {
        match char.is_ascii() {
            true => self.0.push(char as u8),
            false => self
                .0
                .extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        Ok(())
    }
}

/// An array or object that is being written.
pub(super) struct Compound<'a> {
    writer: &'a mut Writer,
    is_first: bool,
    close: &'static [u8],
}

impl Compound<'_> {
    fn next(&mut self) -> &mut Writer {
        if !self.is_first {
            self.writer.text.push(b',');
        }
        self.is_first = false;
        self.writer
    }

    /// What is written for a field, unless the text in it is JSON already.
    fn field(&mut self, name: &'static str) -> Result<&mut Writer, EncodeError> {
        if self.close.is_empty() {
            return Ok(self.writer);
        }
        let writer = self.next();
        writer.name(name)?;
        Ok(writer)
    }

    fn finish(self) -> Written {
        self.writer.is_verbatim = false;
        self.writer.depth -= self.close.len();
        self.writer.push_all(self.close)
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty)*) => {$(
        fn $method(self, value: $type) -> Written {
            simply(Number::new(&mut self.text).$method(value))
        }
    )*};
}

macro_rules! wide_numbers {
    ($($method:ident: $type:ty)*) => {$(
        fn $method(self, value: $type) -> Written {
            self.doubt(Doubtful::Wide);
            simply(Number::new(&mut self.text).$method(value))
        }
    )*};
}

macro_rules! floats {
    ($($method:ident: $type:ty)*) => {$(
        fn $method(self, value: $type) -> Written {
            if !value.is_finite() {
                self.not_finite(value.into())
            } else if f64::from(value).abs() >= EXPONENT_FROM {
                self.large(&value)
            } else if value == 0.0 && value.is_sign_negative() {
                self.push_all(NEGATIVE_ZERO.as_bytes())
            } else {
                simply(Number::new(&mut self.text).$method(value))
            }
        }
    )*};
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    numbers! {
        serialize_i8: i8
        serialize_i16: i16
        serialize_i32: i32
        serialize_i64: i64
        serialize_u8: u8
        serialize_u16: u16
        serialize_u32: u32
        serialize_u64: u64
    }

    wide_numbers! {
        serialize_i128: i128
        serialize_u128: u128
    }

    floats! {
        serialize_f32: f32
        serialize_f64: f64
    }

    fn serialize_bool(self, value: bool) -> Written {
        self.push_all(if value { b"true" } else { b"false" })
    }

    fn serialize_char(self, value: char) -> Written {
        self.string(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Written {
        if self.is_verbatim {
            return self.push_all(value.as_bytes());
        }
        self.string(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Written {
        let mut array = self.begin(b'[', b"]")?;
        for byte in value {
            SerializeSeq::serialize_element(&mut array, byte)?;
        }
        array.finish()
    }

    fn serialize_none(self) -> Written {
        self.push_all(b"null")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        let at = self.text.len();
        value.serialize(&mut *self)?;
        self.note_null(at);
        Ok(())
    }

    fn serialize_unit(self) -> Written {
        self.push_all(b"null")
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Written {
        self.push_all(b"null")
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Written {
        self.string(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Written {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        self.open(b'{')?;
        self.name(variant)?;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        self.push(b'}')
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.begin(b'[', b"]")
    }

    fn serialize_tuple(self, _length: usize) -> Result<Compound<'a>, EncodeError> {
        self.begin(b'[', b"]")
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        self.begin(b'[', b"]")
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        self.begin_variant(variant, b'[', b"]}")
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.begin(b'{', b"}")
    }

    fn serialize_struct(
        self,
        name: &'static str,
        _length: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        if VERBATIM.contains(&name) {
            self.doubt(Doubtful::Verbatim);
            self.is_verbatim = true;
            return Ok(Compound {
                writer: self,
                is_first: true,
                close: b"",
            });
        }
        self.begin(b'{', b"}")
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        self.begin_variant(variant, b'{', b"}}")
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Written {
        let at = self.text.len();
        self.text.push(b'"');
        if write!(Text(&mut self.text), "{value}").is_err() {
            return Err(EncodeError::new(".", "its text cannot be written"));
        }
        let is_plain = |byte: &u8| *byte >= b' ' && !matches!(byte, b'"' | b'\\');
        if self.text[at + 1..].iter().all(is_plain) {
            return self.push(b'"');
        }
        let text = String::from_utf8_lossy(&self.text[at + 1..]).into_owned();
        self.text.truncate(at);
        self.string(&text)
    }
}

/// What is written one after the other.
macro_rules! elements {
    ($($trait:ident::$method:ident)*) => {$(
        impl $trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
                value.serialize(self.next())
            }

            fn end(self) -> Written {
                self.finish()
            }
        }
    )*};
}

/// What is written under a name.
macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl $trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Written {
                value.serialize(self.field(name)?)
            }

            fn end(self) -> Written {
                self.finish()
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

fields! {
    SerializeStruct
    SerializeStructVariant
}

impl SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        let writer = self.next();
        let at = writer.text.len();
        key.serialize(&mut *writer)?;
        writer.end_name(at)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Written {
        self.finish()
    }
}
