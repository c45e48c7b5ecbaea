//! One place to run a handler.

pub(crate) mod handler;
pub(crate) mod transaction;
