//! What stands in for code that could not be made, in a program that does not compile.

use serde_json::value::RawValue;

use crate::error::{DecodeError, EncodeError};
use crate::task::payload::Payload;

/// The payload of a task whose handler has mistakes.
#[derive(Debug)]
pub struct NoPayload;

impl Payload for NoPayload {
    const TASK_TYPE: &'static str = "";

    fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
        stub()
    }

    fn decode(_raw: &RawValue, _version: Option<u16>) -> Result<Self, DecodeError> {
        stub()
    }
}

/// Stands in for code that could not be made, in a program that does not compile.
pub const fn stub() -> ! {
    panic!("the handler has mistakes")
}
