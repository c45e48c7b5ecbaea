//! When schedules tick, on the clocks of time zones, and what they owe.

mod clocks;
mod expression;
#[cfg(test)]
#[path = "expression/tests.rs"]
mod expression_tests;
pub(crate) mod owed;
mod rules;
mod skip;

pub(crate) use self::clocks::Calendar;
pub(crate) use self::rules::Rules;
pub use self::rules::{CatchUp, Overlap};
pub use self::skip::{Skip, SkipReason};
