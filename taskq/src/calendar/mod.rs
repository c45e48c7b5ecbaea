//! When schedules tick, on the clocks of time zones, and what they owe.

mod clocks;
mod expression;
#[cfg(test)]
#[path = "expression/tests.rs"]
mod expression_tests;

#[cfg(feature = "testing")]
pub(crate) use self::clocks::Calendar;
