//! Payloads as JSON, for an `impl Payload` by hand.

use serde::Serialize;
use serde::de::DeserializeOwned;
pub use serde_json::value::RawValue;

use crate::error::{DecodeError, EncodeError};

/// Writes a value as JSON.
///
/// # Errors
///
/// The value cannot be written, such as a map whose keys are no strings.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, EncodeError> {
    serde_json::value::to_raw_value(value)
}

/// Reads a value, naming the path of what does not fit.
///
/// # Errors
///
/// The JSON does not fit the type.
pub fn decode<T: DeserializeOwned>(raw: &RawValue) -> Result<T, DecodeError> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    serde_path_to_error::deserialize(&mut reader).map_err(DecodeError::json)
}
