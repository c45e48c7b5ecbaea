//! What is configured away leaves nothing behind, above and below `#[task]`.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

#[cfg(any())]
#[taskq::task]
async fn above(_id: Unknown) {}

#[taskq::task]
#[cfg(any())]
async fn below(_id: Unknown, _state: &Unknown) {}

#[taskq::task]
#[cfg_attr(all(), cfg(any()), allow(dead_code))]
async fn in_cfg_attr(_id: Unknown) {}

#[cfg(not(any()))]
#[taskq::task]
async fn purge(_id: i64) {}

#[cfg(any())]
#[taskq::task]
async fn purge(_id: Unknown) {}

#[taskq::task]
#[cfg_attr(all(), doc = "Documented.", must_use)]
async fn attributes_stay(_id: i64) -> Result<(), String> {
    Ok(())
}

struct Above;
struct Below;
struct InCfgAttr;

fn main() {
    let _ = (Above, Below, InCfgAttr, Purge { id: 1 });
}
