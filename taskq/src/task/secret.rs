//! Secret fields of payloads: which they are, and how their values are kept out of what is shown.
//!
//! The table of tasks has the values in clear. What taskq shows of a task has not: the functions of the database leave
//! them out, by the names that workers declare at their start and enqueues write into the metadata of each task.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::error::MASK;

/// The name in a task's metadata under which its enqueue says which fields are secret.
pub(crate) const SECRET: &str = "task.secret";

/// A value that is shown as `***`, for the fields of a payload that is a struct of yours: its `Debug` tells nothing. In JSON
/// it is the value itself, which a worker reads back.
///
/// It does not say that the field is secret: `#[taskq(secret)]` does, and `#[secret]` on an argument of a handler.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use taskq::Secret;
///
/// #[derive(Debug, Serialize, Deserialize, taskq::Payload)]
/// struct Connect {
///     usr_id: i64,
///     #[taskq(secret)]
///     token: Secret<String>,
/// }
///
/// let connect = Connect { usr_id: 42, token: "s3cr3t".to_owned().into() };
/// assert_eq!(format!("{connect:?}"), "Connect { usr_id: 42, token: *** }");
/// assert_eq!(*connect.token, "s3cr3t");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

/// What a payload made by `#[task]` shows in its `Debug`.
pub const MASKED: Secret<()> = Secret(());

impl<T> Secret<T> {
    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Secret<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(feature = "schemars")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Secret<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// Returns a payload without the values of secret fields; `None` if it shows none. All else stays as it is written: no
/// number is read.
pub(crate) fn masked(fields: &[&str], raw: &RawValue) -> Option<Box<RawValue>> {
    if fields.is_empty() {
        return None;
    }
    let mask = to_raw_value(MASK).ok()?;
    let Ok(mut payload) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(raw.get()) else {
        return Some(mask);
    };
    let mut shows_some = false;
    for field in fields {
        if let Some(value) = payload.get_mut(*field)
            && value.get() != mask.get()
        {
            *value = mask.clone();
            shows_some = true;
        }
    }
    shows_some.then(|| to_raw_value(&payload).ok()).flatten()
}

/// Returns a secret field of which a payload has the mask and not a value.
pub(crate) fn still_masked<'a>(fields: &[&'a str], raw: &RawValue) -> Option<&'a str> {
    let mask = to_raw_value(MASK).ok()?;
    let payload: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw.get()).ok()?;
    let is_masked = |field: &&&str| {
        payload
            .get(**field)
            .is_some_and(|it| it.get() == mask.get())
    };
    fields.iter().find(is_masked).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked_text(json: &str) -> Option<String> {
        let raw = RawValue::from_string(json.to_owned()).expect("JSON");
        masked(&["token"], &raw).map(|masked| masked.get().to_owned())
    }

    #[test]
    fn a_payload_is_masked_by_its_fields_or_as_a_whole() {
        let object = r#"{"usr_id":42,"token":{"a":1}}"#;
        let hidden = r#"{"token":"***","usr_id":42}"#;
        assert_eq!(masked_text(object).as_deref(), Some(hidden));
        assert_eq!(masked_text("{}"), None);
        assert_eq!(masked_text(hidden), None, "the database has done it");
        let exact = r#"{"number":123456789012345678901234567890.10,"token":1}"#;
        let hidden = r#"{"number":123456789012345678901234567890.10,"token":"***"}"#;
        assert_eq!(masked_text(exact).as_deref(), Some(hidden));
        assert_eq!(masked_text(r#"["a"]"#).as_deref(), Some(r#""***""#));
    }
}
