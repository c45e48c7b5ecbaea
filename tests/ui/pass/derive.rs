//! The payload derives what it is told to.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

#[taskq::task(derive(Clone, Debug, PartialEq, std::hash::Hash,))]
async fn send_mail(_to: String) {}

#[taskq::task(derive())]
async fn purge() {}

fn main() {
    let payload = SendMail {
        to: "a@b.c".to_owned(),
    };
    assert_eq!(payload.clone(), payload);
    let _ = Purge {};
}
