//! Secret fields of payloads: which they are, and how their values are kept out of what is shown.
//!
//! The table of tasks has the values in clear. What taskq shows of a task has not: the functions of the database leave
//! them out, by the names that workers declare at their start and enqueues write into the metadata of each task.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::Value;
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

/// Returns a payload without the values of secret fields.
pub(crate) fn masked(fields: &[&str], raw: &RawValue) -> Option<Box<RawValue>> {
    if fields.is_empty() {
        return None;
    }
    let payload = match serde_json::from_str(raw.get()).ok()? {
        Value::Object(mut payload) => {
            for field in fields {
                if let Some(value) = payload.get_mut(*field) {
                    *value = MASK.into();
                }
            }
            Value::Object(payload)
        }
        _ => MASK.into(),
    };
    to_raw_value(&payload).ok()
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
        assert_eq!(masked_text("{}").as_deref(), Some("{}"));
        assert_eq!(masked_text(r#"["a"]"#).as_deref(), Some(r#""***""#));
    }
}
