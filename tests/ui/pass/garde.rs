#![forbid(unsafe_code)]
#![deny(warnings)]
//! With the feature `garde`: values are checked by their attributes.

use serde::{Deserialize, Serialize};
use taskq::Payload;

#[derive(Serialize, Deserialize, garde::Validate)]
struct Address {
    #[garde(length(min = 1))]
    street: String,
}

#[taskq::task]
async fn send_mail(
    _usr_id: i64,
    #[garde(length(min = 2, max = 5))] locale: String,
    #[garde(dive)] to: Address,
) {
    let _ = (locale, to.street);
}

#[derive(Serialize, Deserialize, garde::Validate, taskq::Payload)]
struct Purge {
    #[garde(range(min = 1))]
    days: u16,
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Unchecked {
    days: u16,
}

fn main() {
    let mail = |locale: &str, street: &str| SendMail {
        usr_id: 1,
        locale: locale.into(),
        to: Address { street: street.into() },
    };
    assert!(mail("de", "Main Street").validate().is_ok());
    let refused = mail("d", "").validate().unwrap_err();
    let paths: Vec<_> = refused.violations().map(|(path, _)| path).collect();
    assert_eq!(paths, ["locale", "to.street"]);
    assert!(Purge { days: 0 }.validate().is_err());
    assert!(Unchecked { days: 0 }.validate().is_ok());
}
