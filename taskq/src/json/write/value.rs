//! One value: numbers, texts, and what opens an array or an object.

use std::fmt::{self, Write as _};

use serde::ser::{Serialize, SerializeSeq, Serializer};

use super::compound::Compound;
use super::writer::{Doubtful, Number, Text, Writer, Written, simply};
use crate::error::EncodeError;
use crate::json::verbatim::TOKEN;

/// A negative zero. `jsonb` has no such number, and makes a zero of it. So a number is written that is too
/// small for any float: whoever reads it as one gets the zero below.
const NEGATIVE_ZERO: &str = "-1e-324";

/// From here on serde_json writes an exponent, and `jsonb` would make an integer of the number.
const EXPONENT_FROM: f64 = 1e16;

/// The names by which serde_json tells its serializer that a text is JSON already.
const VERBATIM: [&str; 2] = [TOKEN, "$serde_json::private::Number"];

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
            return Ok(self.begin_verbatim());
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
