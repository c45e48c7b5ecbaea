//! Nothing is in scope but what the user named.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]
#![no_implicit_prelude]

use ::std::string::String;

#[::taskq::task(queue = "mail", alias = ["a", "b"], timeout = "1h30m", derive(::std::clone::Clone))]
async fn bare(
    _tx: &mut ::taskq::Tx,
    _state: &u8,
    #[inject] _shared: ::std::sync::Arc<u16>,
    #[serde(default)] _to: String,
) {
}

fn main() {
    let payload = Bare { to: String::new() };
    let _ = ::std::clone::Clone::clone(&payload);
}
