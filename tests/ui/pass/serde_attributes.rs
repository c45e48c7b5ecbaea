//! serde's attributes, and documentation, go from an argument to its field.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

/// Knows nothing of serde.
pub struct Opaque(u8);

/// Where to.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Address {
    /// The street.
    pub street: String,
}

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
    #[serde(default, skip_serializing_if = "Option::is_none")] locale: Option<String>,
    #[serde(flatten)] address: Address,
    #[serde(with = "opaque")] hidden: Opaque,
    /// What with.
    _state: &u8,
    #[allow(unused_variables)] unused: i64,
) {
    let _ = (usr_id, locale, address, hidden.0);
}

const JSON: &str = r#"{"usrId":1,"street":"Main","hidden":2,"unused":3}"#;

fn main() {
    let payload: Send = serde_json::from_str(JSON).unwrap();
    assert_eq!((payload.usr_id, payload.hidden.0, payload.unused), (1, 2, 3));
    assert_eq!(payload.locale, None);
    assert_eq!(payload.address.street, "Main");
    assert_eq!(serde_json::to_string(&payload).unwrap(), JSON);
}
