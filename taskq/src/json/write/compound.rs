//! Arrays and objects: what stands between their parts, and how deep they are.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::writer::{Writer, Written};
use crate::error::EncodeError;

/// An array or object that is being written.
pub(crate) struct Compound<'a> {
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

    pub(super) fn finish(self) -> Written {
        self.writer.is_verbatim = false;
        self.writer.depth -= self.close.len();
        self.writer.push_all(self.close)
    }
}

impl Writer {
    pub(super) fn begin(
        &mut self,
        open: u8,
        close: &'static [u8],
    ) -> Result<Compound<'_>, EncodeError> {
        self.open(open)?;
        Ok(Compound {
            writer: self,
            is_first: true,
            close,
        })
    }

    /// Begins what is JSON already.
    pub(super) fn begin_verbatim(&mut self) -> Compound<'_> {
        Compound {
            writer: self,
            is_first: true,
            close: b"",
        }
    }

    pub(super) fn begin_variant(
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
