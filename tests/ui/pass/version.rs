#![forbid(unsafe_code)]
#![deny(warnings)]

use serde::{Deserialize, Serialize};
use taskq::json::RawValue;
use taskq::Payload;

#[taskq::task(version = 3, upgrade = [SendMailV1::into_v2, from_v2], derive(Debug, PartialEq))]
async fn send_mail(usr_id: i64, locale: String) {
    let _ = (usr_id, locale);
}

#[derive(Deserialize)]
struct SendMailV1 {
    usr: i64,
}

impl SendMailV1 {
    fn into_v2(self) -> SendMailV2 {
        SendMailV2 { usr_id: self.usr }
    }
}

#[derive(Deserialize)]
struct SendMailV2 {
    usr_id: i64,
}

fn from_v2(old: SendMailV2) -> SendMail {
    SendMail { usr_id: old.usr_id, locale: "en".into() }
}

// Rows of version 1 are gone, so only the last step is left.
#[derive(Debug, PartialEq, Serialize, Deserialize, taskq::Payload)]
#[taskq(version = 3, upgrade = last::step)]
struct Purge {
    days: u16,
}

mod last {
    pub(super) fn step(old: u16) -> super::Purge {
        super::Purge { days: old }
    }
}

fn main() {
    let decode = |json: &str, version| {
        let raw = RawValue::from_string(json.into()).unwrap();
        SendMail::decode(&raw, version).map_err(|error| error.to_string())
    };
    let mail = |locale: &str| Ok(SendMail { usr_id: 7, locale: locale.into() });
    assert_eq!((SendMail::OPTIONS.version, SendMail::OPTIONS.oldest_version()), (3, 1));
    assert_eq!(decode(r#"{"usr_id": 7, "locale": "de"}"#, Some(3)), mail("de"));
    assert_eq!(decode(r#"{"usr_id": 7, "locale": "de"}"#, Some(2)), mail("en"));
    assert_eq!(decode(r#"{"usr": 7}"#, Some(1)), mail("en"));
    assert_eq!(decode(r#"{"usr_id": 7, "locale": "de"}"#, None), mail("de"));
    assert_eq!(decode(r#"{"usr_id": 7}"#, None), mail("en"));
    assert_eq!(decode(r#"{"usr": 7}"#, None), mail("en"));
    assert!(decode(r#"{"usr": 7}"#, Some(4)).is_err());

    assert_eq!((Purge::OPTIONS.version, Purge::OPTIONS.oldest_version()), (3, 2));
    let seven = RawValue::from_string("7".into()).unwrap();
    assert_eq!(Purge::decode(&seven, Some(2)).unwrap(), Purge { days: 7 });
    assert!(Purge::decode(&seven, Some(1)).is_err());
}
