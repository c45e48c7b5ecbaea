//! The payload of a handler without arguments is `{}`, which is also the column's default.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

#[taskq::task]
async fn purge() {}

fn main() {
    assert_eq!(serde_json::to_string(&Purge {}).unwrap(), "{}");
    let Purge {} = serde_json::from_str("{}").unwrap();
}
