//! Makes sure of a value that its JSON brings it back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::path::path_at;
use super::scan::scan;
use super::tree::Tree;
use super::verbatim::verbatim;
use super::write::{Doubt, Doubtful, Writer};
use crate::error::{DecodeError, EncodeError};

/// A value of any type, for code that the compiler makes once.
pub(super) trait Value {
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError>;

    /// Reads what was written, and writes that.
    fn rewrite(&self, json: &str, writer: &mut Writer) -> Result<(), Misread>;
}

pub(super) enum Misread {
    Decode(DecodeError),
    Encode(EncodeError),
}

impl<T: Serialize + DeserializeOwned> Value for &T {
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        (**self).serialize(writer)
    }

    fn rewrite(&self, json: &str, writer: &mut Writer) -> Result<(), Misread> {
        let read: T = match T::deserialize(Fields(json)) {
            Ok(read) => read,
            Err(error) => return Err(Misread::Decode(error)),
        };
        read.serialize(writer).map_err(Misread::Encode)
    }
}

/// Writes a value as JSON from which the same value is read.
pub(super) fn encode(value: &dyn Value) -> Result<Box<RawValue>, EncodeError> {
    let Written { json, doubts } = written(value)?;
    scan(&json)?;
    let mut writer = Writer::new();
    // What serde buffers is read by other code, and the order of names decides what it buffers.
    let is_ordered = doubts.iter().all(|doubt| !doubt.what.minds_order());
    let read = match is_ordered {
        true => value.rewrite(&json, &mut writer),
        false => value.rewrite(&stored(&json)?, &mut writer),
    };
    match read {
        Ok(()) if writer.text == json.as_bytes() && writer.doubts == doubts => {}
        Ok(()) => match difference(&json, &doubts, &writer) {
            None => {}
            // What is written anew each time, such as what is encrypted, cannot be compared.
            Some(_) if written(value)?.json != json => {}
            Some(error) => return Err(error),
        },
        Err(Misread::Decode(error)) => return Err(unreadable(&json, &doubts, error)),
        Err(Misread::Encode(error)) => {
            return Err(error.at(&path_at(&writer.text, writer.text.len())));
        }
    }
    Ok(verbatim(&json)?)
}

struct Written {
    json: String,
    doubts: Vec<Doubt>,
}

fn written(value: &dyn Value) -> Result<Written, EncodeError> {
    let mut writer = Writer::new();
    if let Err(error) = value.write(&mut writer) {
        return Err(error.at(&path_at(&writer.text, writer.text.len())));
    }
    let json = String::from_utf8(writer.text).map_err(|error| EncodeError::new(".", error))?;
    let doubts = writer.doubts;
    // Whoever says that a text is JSON already may be wrong.
    if doubts.iter().any(|doubt| doubt.what == Doubtful::Verbatim) {
        serde_json::from_str::<&RawValue>(&json)?;
    }
    Ok(Written { json, doubts })
}

/// Writes a text as Postgres gives it back.
fn stored(json: &str) -> Result<String, EncodeError> {
    let mut text = String::new();
    Tree::of(json)?.write(&mut text);
    Ok(text)
}

/// Says what has changed in what was read and written again, if anything has.
fn difference(json: &str, doubts: &[Doubt], again: &Writer) -> Option<EncodeError> {
    let before = named(json.as_bytes(), doubts);
    let after = named(&again.text, &again.doubts);
    if let Some((path, what)) = before.iter().find(|doubt| !after.contains(doubt)) {
        return Some(EncodeError::new(path.clone(), what.problem()));
    }
    if let Some((path, _)) = after.iter().find(|doubt| !before.contains(doubt)) {
        return Some(EncodeError::new(path.clone(), CHANGED));
    }
    let again = String::from_utf8_lossy(&again.text);
    let (Ok(before), Ok(after)) = (Tree::of(json), Tree::of(&again)) else {
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
fn unreadable(json: &str, doubts: &[Doubt], error: DecodeError) -> EncodeError {
    let doubts = named(json.as_bytes(), doubts);
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
