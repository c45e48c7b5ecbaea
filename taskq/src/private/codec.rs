//! Writing, reading and validating payloads.

use std::marker::PhantomData;

use serde_json::value::RawValue;

use super::assert::OlderPayload;
use super::stub::stub;
#[cfg(feature = "garde")]
use crate::error::InvalidPayload;
use crate::error::{DecodeError, EncodeError};
use crate::json;
#[cfg(feature = "schemars")]
use crate::json::schema::Probe;
use crate::task::payload::Payload;
use crate::task::upgrade::{self, ReadOlder};

/// Writes and reads the payload `P` by serde. Where serde cannot, what is called are the functions of
/// [`NoCodec`], so that what the assertions below report is not reported again by each use.
#[derive(Debug)]
pub struct Codec<P>(PhantomData<P>);

impl<P: Payload + serde::Serialize + serde::de::DeserializeOwned> Codec<P> {
    /// Writes a payload as JSON.
    pub fn encode(payload: &P) -> Result<Box<RawValue>, EncodeError> {
        json::encode(payload)
    }

    /// Reads a payload of the one version that there is.
    pub fn decode(raw: &RawValue, version: Option<u16>) -> Result<P, DecodeError> {
        match upgrade::require_newest(version, P::OPTIONS.version) {
            Ok(()) => json::decode(raw),
            Err(error) => Err(error),
        }
    }

    /// Reads a payload of the newest version, or of any that `upgrades` lead from, the newest first.
    pub fn decode_any(
        raw: &RawValue,
        version: Option<u16>,
        upgrades: &[ReadOlder<P>],
    ) -> Result<P, DecodeError> {
        upgrade::decode(raw, version, upgrades)
    }
}

/// What [`Codec`] has of a payload that serde cannot write and read, in a program that does not compile.
pub trait NoCodec<P> {
    /// Stands in.
    fn encode(_payload: &P) -> Result<Box<RawValue>, EncodeError> {
        stub()
    }

    /// Stands in.
    fn decode(_raw: &RawValue, _version: Option<u16>) -> Result<P, DecodeError> {
        stub()
    }

    /// Stands in.
    fn decode_any(
        _raw: &RawValue,
        _version: Option<u16>,
        _upgrades: &[ReadOlder<P>],
    ) -> Result<P, DecodeError> {
        stub()
    }
}

impl<P> NoCodec<P> for Codec<P> {}

/// The first step that a payload of an older version takes.
#[derive(Debug)]
pub struct FirstStep<'a, Old, New> {
    step: fn(Old) -> New,
    raw: &'a RawValue,
}

/// Takes what the user names as a step.
// All that is asked of it is asked here, wherever it is used: errors that are alike in every word are
// printed once. `step` comes first, so that a mistake in its type is reported there.
pub fn first_step<Old: OlderPayload, New>(
    step: fn(Old) -> New,
    raw: &RawValue,
) -> FirstStep<'_, Old, New> {
    FirstStep { step, raw }
}

/// Reads an older payload and takes the first step from it.
pub fn read_older<Old: OlderPayload, New>(
    first: FirstStep<'_, Old, New>,
) -> Result<New, DecodeError> {
    Old::read(first.raw).map(first.step)
}

/// Asks for the schema of what the first step takes.
#[cfg(feature = "schemars")]
pub fn probe_older<Old, New>(_first: FirstStep<'_, Old, New>) -> Probe<Old> {
    Probe::new()
}

/// Takes a further step.
pub fn further_step<Old, New>(
    step: fn(Old) -> New,
    old: Result<Old, DecodeError>,
) -> Result<New, DecodeError> {
    old.map(step)
}

/// Validates a payload by its `#[garde(…)]` attributes.
#[cfg(feature = "garde")]
pub fn garde<P: garde::Validate<Context: Default>>(payload: &P) -> Result<(), InvalidPayload> {
    payload.validate().map_err(InvalidPayload::from)
}
