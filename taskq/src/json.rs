//! Payloads as JSON, for an `impl Payload` by hand.

mod fields;

use serde::Serialize;
use serde::de::DeserializeOwned;
pub use serde_json::value::RawValue;

use self::fields::{Fields, Reading};
use crate::error::{DecodeError, EncodeError};

/// Room for the payloads that most tasks have.
const USUAL_LENGTH: usize = 128;

/// Writes a value as JSON.
///
/// # Errors
///
/// The value cannot be written, such as a map whose keys are no strings.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, EncodeError> {
    let mut text = Vec::with_capacity(USUAL_LENGTH);
    match value.serialize(&mut serde_json::Serializer::new(&mut text)) {
        Ok(()) => raw_value(text),
        Err(error) => Err(error),
    }
}

// Not `to_raw_value`, of which each type of value has its own copy, with all that it calls. To read
// the text once more costs as much as a few allocations.
fn raw_value(text: Vec<u8>) -> Result<Box<RawValue>, EncodeError> {
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
    let read = |reading| T::deserialize(Fields { raw, reading });
    // Nearly all payloads fit, and then nobody asks where a mistake is.
    match read(Reading::Plain) {
        Ok(value) => Ok(value),
        Err(_) => read(Reading::Tracked),
    }
}
