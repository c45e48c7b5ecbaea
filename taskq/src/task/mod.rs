//! What a task type declares: its handler, its payload, its options, and the payloads it once had.

pub(crate) mod batch;
#[cfg(any(feature = "cli", feature = "cron", feature = "dashboard"))]
pub(crate) mod by_name;
pub(crate) mod declaration;
pub(crate) mod expiry;
pub(crate) mod group_status;
pub(crate) mod keep;
pub(crate) mod limit;
mod many;
pub(crate) mod options;
pub(crate) mod payload;
mod range;
pub(crate) mod registration;
pub(crate) mod registry;
#[cfg(feature = "cron")]
pub(crate) mod schedule;
pub(crate) mod secret;
pub(crate) mod sequence;
pub(crate) mod start;
pub(crate) mod unique;
pub(crate) mod upgrade;
