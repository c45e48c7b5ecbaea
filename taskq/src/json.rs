//! Payloads as JSON, for an `impl Payload` by hand.

mod fields;

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
/// The value cannot be written, such as a map whose keys are no strings.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, EncodeError> {
    written(&mut |writer| value.serialize(writer))
}

type Writer<'a> = serde_json::Serializer<&'a mut Vec<u8>>;

// Not `to_raw_value`, of which each type of value has its own copy, with all that it calls. To read
// the text once more costs as much as a few allocations.
fn written(
    write: &mut dyn FnMut(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<Box<RawValue>, EncodeError> {
    let mut text = Vec::with_capacity(USUAL_LENGTH);
    write(&mut Writer::new(&mut text))?;
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
