//! For how long finished tasks are kept, in each way to say it.

#![forbid(unsafe_code)]
#![deny(warnings)]

use taskq::handler::{Declaration, Keep, KeepFor};

/// One time, for completed ones.
#[taskq::task(keep = "7d")]
pub async fn a_week() {}

/// None.
#[taskq::task(keep = "none")]
pub async fn not_at_all() {}

/// By outcome.
#[taskq::task(keep(
    completed = "1h30m",
    discarded = "30d",
    cancelled = "none",
    expired = "1d",
    invalid = "forever",
    quarantined = "500ms",
))]
pub async fn by_outcome(to: String) -> Result<(), String> {
    Err(to)
}

/// A result, for as long as its task.
#[taskq::task(result = "keep", keep = "1d")]
pub async fn with_result() -> Result<u8, String> {
    Ok(7)
}

/// By hand.
pub const DECLARATION: Declaration = Declaration::new()
    .keep(Keep::new().completed(KeepFor::Forever).invalid(KeepFor::NotAtAll))
    .keeps_result();

fn main() {}
