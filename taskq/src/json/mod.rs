//! Payloads as JSON, for an `impl Payload` by hand.

mod fields;
#[cfg(feature = "schemars")]
pub(crate) mod schema;

use serde::Serialize;
use serde::de::DeserializeOwned;
pub use serde_json::value::RawValue;

use self::fields::Fields;
use crate::error::{DecodeError, EncodeError};

/// Room for the payloads that most tasks have.
const USUAL_LENGTH: usize = 128;

/// Writes a value as JSON.
///
/// # Errors
///
/// The value cannot be written as JSON: for example, a map whose keys are no strings.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, EncodeError> {
    written(&value)
}

type Writer<'a> = serde_json::Serializer<&'a mut Vec<u8>>;

/// A value of any type, for code that the compiler makes once.
trait Write {
    fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError>;
}

impl<T: Serialize + ?Sized> Write for &T {
    fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        (**self).serialize(writer)
    }
}

// Not `to_raw_value`: the compiler makes a copy of it, and of all that it calls, for each type of value.
// Reading the text once more costs as much as a few allocations.
fn written(value: &dyn Write) -> Result<Box<RawValue>, EncodeError> {
    let mut text = Vec::with_capacity(USUAL_LENGTH);
    value.write(&mut Writer::new(&mut text))?;
    let text = String::from_utf8(text).map_err(serde::ser::Error::custom)?;
    RawValue::from_string(text)
}

/// Reads a value, naming the path of what does not fit.
///
/// A struct is read from an object, and not from an array of its fields in order.
///
/// # Errors
///
/// The JSON does not fit the type.
pub fn decode<T: DeserializeOwned>(raw: &RawValue) -> Result<T, DecodeError> {
    T::deserialize(Fields(raw))
}
