//! Makes sure of a value that its JSON brings it back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::path::path_at;
use super::scan::scan;
use super::tree::Tree;
use super::write::{Doubt, Doubtful, Writer};
use crate::error::{DecodeError, EncodeError};

/// A value of any type, for code that the compiler makes once.
pub(super) trait Value {
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError>;

    /// Reads what was written, and writes that.
    fn rewrite(&self, raw: &RawValue, writer: &mut Writer) -> Result<(), Misread>;
}

pub(super) enum Misread {
    Decode(DecodeError),
    Encode(EncodeError),
}

impl<T: Serialize + DeserializeOwned> Value for &T {
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        (**self).serialize(writer)
    }

    fn rewrite(&self, raw: &RawValue, writer: &mut Writer) -> Result<(), Misread> {
        let read: T = match T::deserialize(Fields(raw)) {
            Ok(read) => read,
            Err(error) => return Err(Misread::Decode(error)),
        };
        read.serialize(writer).map_err(Misread::Encode)
    }
}

/// Writes a value as JSON from which the same value is read.
pub(super) fn encode(value: &dyn Value) -> Result<Box<RawValue>, EncodeError> {
    let Written { raw, doubts } = written(value)?;
    scan(raw.get())?;
    let mut writer = Writer::new();
    // What serde buffers is read by other code, and the order of names decides what it buffers.
    let is_ordered = doubts.iter().all(|doubt| !doubt.what.minds_order());
    let read = match is_ordered {
        true => value.rewrite(&raw, &mut writer),
        false => value.rewrite(&stored(&raw)?, &mut writer),
    };
    match read {
        Ok(()) if writer.text == raw.get().as_bytes() && writer.doubts == doubts => Ok(raw),
        Ok(()) => match difference(&raw, &doubts, &writer) {
            None => Ok(raw),
            // What is written anew each time, such as what is encrypted, cannot be compared.
            Some(_) if written(value)?.raw.get() != raw.get() => Ok(raw),
            Some(error) => Err(error),
        },
        Err(Misread::Decode(error)) => Err(unreadable(&raw, &doubts, error)),
        Err(Misread::Encode(error)) => Err(error.at(&path_at(&writer.text, writer.text.len()))),
    }
}

struct Written {
    raw: Box<RawValue>,
    doubts: Vec<Doubt>,
}

// Not `to_raw_value`: the compiler makes a copy of it, and of all that it calls, for each type of value.
// Reading the text once more costs as much as a few allocations.
fn written(value: &dyn Value) -> Result<Written, EncodeError> {
    let mut writer = Writer::new();
    if let Err(error) = value.write(&mut writer) {
        return Err(error.at(&path_at(&writer.text, writer.text.len())));
    }
    let text = String::from_utf8(writer.text).map_err(|error| EncodeError::new(".", error))?;
    let raw = RawValue::from_string(text)?;
    let doubts = writer.doubts;
    Ok(Written { raw, doubts })
}

/// Writes a text as Postgres gives it back.
fn stored(raw: &RawValue) -> Result<Box<RawValue>, EncodeError> {
    let mut text = String::new();
    Tree::of(raw.get())?.write(&mut text);
    Ok(RawValue::from_string(text)?)
}

/// Says what has changed in what was read and written again, if anything has.
fn difference(raw: &RawValue, doubts: &[Doubt], again: &Writer) -> Option<EncodeError> {
    let before = named(raw.get().as_bytes(), doubts);
    let after = named(&again.text, &again.doubts);
    if let Some((path, what)) = before.iter().find(|doubt| !after.contains(doubt)) {
        return Some(EncodeError::new(path.clone(), what.problem()));
    }
    if let Some((path, _)) = after.iter().find(|doubt| !before.contains(doubt)) {
        return Some(EncodeError::new(path.clone(), CHANGED));
    }
    let again = String::from_utf8_lossy(&again.text);
    let (Ok(before), Ok(after)) = (Tree::of(raw.get()), Tree::of(&again)) else {
        return None;
    };
    let path = before.difference(&after)?;
    let path = if path.is_empty() { ".".into() } else { path };
    Some(EncodeError::new(path, CHANGED))
}

const CHANGED: &str = "its type reads something else than it writes";

fn named(text: &[u8], doubts: &[Doubt]) -> Vec<(String, Doubtful)> {
    let doubts = doubts.iter();
    doubts
        .map(|doubt| (path_at(text, doubt.at), doubt.what))
        .collect()
}

/// Says of what cannot be read why it cannot.
fn unreadable(raw: &RawValue, doubts: &[Doubt], error: DecodeError) -> EncodeError {
    let doubts = named(raw.get().as_bytes(), doubts);
    // serde loses the path in what it buffers.
    let mut near = doubts
        .iter()
        .filter(|(path, _)| error.path() == "." || path.starts_with(error.path()));
    match near.next() {
        Some((path, what)) => EncodeError::new(path.clone(), what.problem()),
        None => EncodeError::unreadable(error),
    }
}

impl Doubtful {
    /// Tells whether it matters in which order the names of an object come.
    fn minds_order(self) -> bool {
        matches!(self, Self::Wide | Self::Key | Self::Verbatim)
    }

    fn problem(self) -> &'static str {
        match self {
            Self::NotANumber => "NaN has no JSON",
            Self::Infinite => "infinity has no JSON",
            Self::NegativeInfinite => "negative infinity has no JSON",
            Self::SomeNull => "`Some` of what is `null` in JSON would come back as `None`",
            Self::Wide => {
                "serde reads no integer of 128 bits behind `flatten` or in an enum that is untagged or tagged inside: write it as a string"
            }
            Self::Key => {
                "serde reads no keys but strings behind `flatten` or in an enum that is untagged or tagged inside"
            }
            Self::Verbatim => {
                "serde reads no raw JSON behind `flatten` or in an enum that is untagged or tagged inside"
            }
        }
    }
}
