//! Payloads as JSON, for an `impl Payload` by hand.

mod exact;
mod fields;
mod number;
mod path;
mod scan;
#[cfg(feature = "schemars")]
pub(crate) mod schema;
mod split;
mod tree;
mod verbatim;
mod write;

use serde::Serialize;
use serde::de::DeserializeOwned;
pub use serde_json::value::RawValue;

use self::fields::Fields;
pub(crate) use self::verbatim::verbatim;
use crate::error::{DecodeError, EncodeError};

/// The largest payload, and the largest result that is kept, in bytes of `jsonb` before Postgres compresses it.
/// The tables have the same limit for payloads.
pub(crate) const MAX_STORED_SIZE: usize = 1024 * 1024;

/// Writes a value as JSON from which [`decode`] reads the same value, after Postgres has stored it.
///
/// # Errors
///
/// The value has no such JSON, and the error names where: a float that is not finite, `Some(None)`, a text
/// with a zero character, an integer of 128 bits where serde cannot read it, two values of one name, a
/// map whose keys are no strings, or a type that does not read what it writes.
pub fn encode<T: Serialize + DeserializeOwned>(value: &T) -> Result<Box<RawValue>, EncodeError> {
    exact::encode(&value)
}

/// Looks at JSON that [`encode`] has written, and returns its size if it is too large to be stored.
pub(crate) fn oversize(raw: &RawValue) -> Result<Option<usize>, EncodeError> {
    if scan::is_surely_within(raw.get(), MAX_STORED_SIZE) {
        return Ok(None);
    }
    oversize_of_any(raw)
}

/// Looks at JSON that anybody has written, as [`oversize`] does.
///
/// # Errors
///
/// Postgres could not store it.
pub(crate) fn oversize_of_any(raw: &RawValue) -> Result<Option<usize>, EncodeError> {
    let size = scan::scan(raw.get())?;
    Ok((size > MAX_STORED_SIZE).then_some(size))
}

/// Returns how many bytes Postgres needs about to store JSON.
pub(crate) fn stored_size(raw: &RawValue) -> usize {
    scan::scan(raw.get()).unwrap_or(raw.get().len())
}

/// Reads a value, naming the path of what does not fit.
///
/// A struct is read from an object, and not from an array of its fields in order.
///
/// # Errors
///
/// The JSON does not fit the type.
pub fn decode<T: DeserializeOwned>(raw: &RawValue) -> Result<T, DecodeError> {
    T::deserialize(Fields(raw.get()))
}
