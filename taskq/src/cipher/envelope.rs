//! What stands in the place of an encrypted value: `{"$key": "2026-11", "$encrypted": "…"}`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::keys::{Damaged, Keys};
use crate::error::DecodeError;

/// What every envelope has in its JSON.
const MARK: &str = "\"$encrypted\"";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(rename = "$key")]
    key: String,
    #[serde(rename = "$encrypted")]
    encrypted: String,
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Returns a payload with these fields encrypted. All else stays as it is written: no number is read.
pub(super) fn seal(keys: &Keys, task_type: &str, fields: &[&str], raw: &RawValue) -> Box<RawValue> {
    let Ok(payload) = serde_json::from_str::<Fields<'_>>(raw.get()) else {
        // No object, so it has no fields.
        return raw.to_owned();
    };
    let sealed = payload.into_iter().map(|(name, value)| {
        let value = match fields.contains(&&*name) {
            true => sealed_value(keys, task_type, &name, value),
            false => value.to_owned(),
        };
        (name, value)
    });
    written(sealed.collect())
}

fn sealed_value(keys: &Keys, task_type: &str, field: &str, value: &RawValue) -> Box<RawValue> {
    let key = keys.newest_id();
    let envelope = Envelope {
        key: key.to_owned(),
        encrypted: keys.encrypt(value.get().as_bytes(), &context(task_type, field, key)),
    };
    to_raw_value(&envelope).expect("two texts are JSON")
}

/// Returns a payload with its envelopes opened; `None` if it has none.
pub(super) fn open(
    keys: Option<&Keys>,
    task_type: &str,
    raw: &RawValue,
) -> Result<Option<Box<RawValue>>, OpenError> {
    if !raw.get().contains(MARK) {
        return Ok(None);
    }
    let Ok(payload) = serde_json::from_str::<Fields<'_>>(raw.get()) else {
        return Ok(None);
    };
    let mut opened = BTreeMap::new();
    for (name, value) in payload {
        let value = match serde_json::from_str(value.get()) {
            Ok(envelope) => opened_value(keys, task_type, &name, &envelope)?,
            Err(_) => value.to_owned(),
        };
        opened.insert(name, value);
    }
    Ok(Some(written(opened)))
}

/// Returns a payload with the envelopes of older keys made anew with the newest; `None` if it has none.
pub(super) fn reseal(
    keys: &Keys,
    task_type: &str,
    raw: &RawValue,
) -> Result<Option<Box<RawValue>>, OpenError> {
    let Ok(payload) = serde_json::from_str::<Fields<'_>>(raw.get()) else {
        return Ok(None);
    };
    let mut resealed = BTreeMap::new();
    let mut is_changed = false;
    for (name, value) in payload {
        let value = match serde_json::from_str::<Envelope>(value.get()) {
            Ok(envelope) if envelope.key != keys.newest_id() => {
                let opened = opened_value(Some(keys), task_type, &name, &envelope)?;
                is_changed = true;
                sealed_value(keys, task_type, &name, &opened)
            }
            _ => value.to_owned(),
        };
        resealed.insert(name, value);
    }
    Ok(is_changed.then(|| written(resealed)))
}

fn opened_value(
    keys: Option<&Keys>,
    task_type: &str,
    field: &str,
    envelope: &Envelope,
) -> Result<Box<RawValue>, OpenError> {
    let Envelope { key, encrypted } = envelope;
    let context = context(task_type, field, key);
    let decrypted = keys.and_then(|keys| keys.decrypt(key, encrypted, &context));
    let decrypted = decrypted.ok_or_else(|| OpenError::NoKey { key: key.clone() })?;
    let damaged = || OpenError::Damaged {
        field: field.to_owned(),
        key: key.clone(),
    };
    let bytes = decrypted.map_err(|Damaged| damaged())?;
    let json = String::from_utf8(bytes).map_err(|_| damaged())?;
    RawValue::from_string(json).map_err(|_| damaged())
}

/// Returns what an envelope was made for: nowhere else does it open.
fn context(task_type: &str, field: &str, key: &str) -> Vec<u8> {
    serde_json::to_vec(&["taskq", task_type, field, key]).expect("texts are JSON")
}

fn written(payload: BTreeMap<String, Box<RawValue>>) -> Box<RawValue> {
    to_raw_value(&payload).expect("values by name are JSON")
}

/// Why a payload cannot be decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// This process does not have the key of this id.
    NoKey { key: String },
    /// The field is not what was encrypted for it.
    Damaged { field: String, key: String },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey { key } => write!(
                f,
                "it is encrypted with the key `{key}`, which this process does not have: add it to its keys"
            ),
            Self::Damaged { key, .. } => write!(
                f,
                "it does not decrypt: it is not what was encrypted for this field of this task type, or the key `{key}` is not the same everywhere"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<OpenError> for DecodeError {
    fn from(error: OpenError) -> Self {
        let path = match &error {
            OpenError::NoKey { .. } => ".".to_owned(),
            OpenError::Damaged { field, .. } => field.clone(),
        };
        Self::new(path, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, byte: u8) -> Keys {
        Keys::new(id, [byte; 32]).expect("keys")
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn fields_are_encrypted_and_all_else_stays_as_it_is_written() {
        let clear = raw(r#"{"a":12345678901234567890123.10,"b":{"c":1.0},"d":null}"#);
        let sealed = seal(&keys("k", 1), "send", &["b", "d", "missing"], &clear);
        let text = sealed.get();
        assert!(text.contains("12345678901234567890123.10"), "{text}");
        assert!(!text.contains("1.0}") && !text.contains("null"), "{text}");
        let opened = open(Some(&keys("k", 1)), "send", &sealed).expect("opened");
        assert_eq!(opened.expect("envelopes").get(), clear.get());
    }

    #[test]
    fn what_has_no_envelope_is_read_as_it_is() {
        for json in [r#"{"b":1}"#, "[1]", r#""$encrypted""#, "null"] {
            assert_eq!(
                open(None, "send", &raw(json)).map(|it| it.is_none()),
                Ok(true)
            );
            let sealed = seal(&keys("k", 1), "send", &["a"], &raw(json));
            assert_eq!(sealed.get(), json);
        }
    }

    #[test]
    fn a_key_that_is_not_here_is_named_and_damage_is_told_by_its_field() {
        let sealed = seal(&keys("new", 1), "send", &["b"], &raw(r#"{"b":1}"#));
        let missing = OpenError::NoKey { key: "new".into() };
        for (keys, error) in [
            (None, &missing),
            (Some(keys("old", 2)), &missing),
            (
                Some(keys("new", 2)),
                &OpenError::Damaged {
                    field: "b".into(),
                    key: "new".into(),
                },
            ),
        ] {
            assert_eq!(
                open(keys.as_ref(), "send", &sealed).err().as_ref(),
                Some(error)
            );
        }
        let moved = raw(&sealed.get().replacen("\"b\"", "\"c\"", 1));
        let damaged = OpenError::Damaged {
            field: "c".into(),
            key: "new".into(),
        };
        assert_eq!(
            open(Some(&keys("new", 1)), "send", &moved).err(),
            Some(damaged)
        );
        let other = open(Some(&keys("new", 1)), "other", &sealed);
        assert!(matches!(other, Err(OpenError::Damaged { .. })));
    }
}
