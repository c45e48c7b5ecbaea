//! `tracing::instrument` goes above or below.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

#[tracing::instrument(skip(_state))]
#[taskq::task]
async fn above(_state: &u8, #[serde(default)] _id: i64) -> Result<(), String> {
    Ok(())
}

#[taskq::task]
#[tracing::instrument(skip(_tx), err)]
async fn below(_tx: &mut taskq::Tx, id: i64) -> Result<(), String> {
    assert!(id > 0);
    Ok(())
}

fn main() {
    let _ = (Above { id: 1 }, Below { id: 1 });
}
