#![forbid(unsafe_code)]
#![deny(warnings)]
//! With the feature `schemars`: what the lock knows of each payload.

use serde::{Deserialize, Serialize};
use taskq::Payload;

#[derive(Serialize, Deserialize)]
struct WithoutSchema;

#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Address {
    #[allow(dead_code)]
    street: String,
}

#[taskq::task]
async fn send_mail(
    usr_id: i64,
    to: Address,
    unknown: Vec<WithoutSchema>,
    optional: Option<String>,
    #[serde(default)] defaulted: bool,
    #[serde(alias = "lang", alias = "language")] locale: Option<String>,
    #[serde(rename = "class", alias = "kind")] r#type: String,
    #[serde(with = "hex")] number: u64,
    #[serde(with = "hex")]
    #[schemars(with = "String")]
    described: u64,
    #[serde(skip)] skipped: u8,
) {
    let _ = (usr_id, to.street, unknown, optional, defaulted, locale, r#type, number, described, skipped);
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(it: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{it:x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

#[derive(Serialize, Deserialize, schemars::JsonSchema, taskq::Payload)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(alias = "user")]
    usr_id: i64,
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct NotDescribed {
    usr_id: i64,
}

fn main() {
    let schema = SendMail::json_schema().unwrap().to_value();
    let property = |name: &str| &schema["properties"][name];
    assert_eq!(property("usr_id")["type"], "integer");
    assert_eq!(property("to")["$ref"], "#/$defs/Address");
    assert!(property("unknown")["x-taskq-unknown"].as_str().unwrap().contains("WithoutSchema"));
    assert_eq!(property("locale")["x-taskq-alias"], serde_json::json!(["lang", "language"]));
    assert_eq!(property("class")["x-taskq-alias"], serde_json::json!(["kind"]));
    assert_eq!(property("number")["x-taskq-unknown"], "u64");
    assert_eq!(property("described")["type"], "string");
    let required = serde_json::json!(["usr_id", "to", "unknown", "class", "number", "described"]);
    assert_eq!(schema["required"], required);

    let schema = Described::json_schema().unwrap().to_value();
    assert_eq!(schema["properties"]["usrId"]["x-taskq-alias"], serde_json::json!(["user"]));
    assert!(NotDescribed::json_schema().is_none());
}
