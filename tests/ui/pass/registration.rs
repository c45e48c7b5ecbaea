//! Every handler registers itself once, wherever it stands.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use taskq::__private::{Registration, inventory};

#[taskq::task]
async fn at_the_root() {}

mod private {
    #[taskq::task(alias = "older")]
    async fn in_a_module(_tx: &mut taskq::Tx, _state: &u8) {}
}

#[allow(dead_code)]
fn never_called() {
    #[taskq::task(name = "inside")]
    async fn in_a_body() {}
}

fn main() {
    let mut registered: Vec<String> = inventory::iter::<Registration>()
        .map(|registration| format!("{registration:?}"))
        .collect();
    registered.sort();
    for (registration, parts) in registered.iter().zip([
        ["\"at_the_root\"", "states: []", "AtLeastOnce", "line: 9,"],
        ["\"in_a_module\"", "u8", "Transactional", "line: 13,"],
        ["\"inside\"", "states: []", "AtLeastOnce", "line: 19,"],
    ]) {
        for part in parts {
            assert!(registration.contains(part), "{part} in {registration}");
        }
    }
    assert_eq!(registered.len(), 3);
}
