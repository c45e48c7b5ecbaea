//! serde's attributes, and documentation, go from an argument to its field.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

/// Knows nothing of serde.
pub struct Opaque(u8);

mod opaque {
    use super::Opaque;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Opaque, to: S) -> Result<S::Ok, S::Error> {
        value.0.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Opaque, D::Error> {
        u8::deserialize(from).map(Opaque)
    }
}

/// Sends.
#[taskq::task]
pub async fn send(
    /// Whom to.
    #[serde(rename = "usrId")]
    usr_id: i64,
    #[serde(default)] locale: Option<String>,
    #[serde(with = "opaque")] hidden: Opaque,
    /// What with.
    _state: &u8,
    #[allow(unused_variables)] unused: i64,
) {
    let _ = (usr_id, locale, hidden.0);
}

fn main() {
    let payload: Send = serde_json::from_str(r#"{"usrId":1,"hidden":2,"unused":3}"#).unwrap();
    assert_eq!((payload.usr_id, payload.hidden.0, payload.unused), (1, 2, 3));
    assert_eq!(payload.locale, None);
}
