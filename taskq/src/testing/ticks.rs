//! The ticks of a schedule, for tests of its expression.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::calendar::Calendar;
use crate::error::ScheduleError;

/// Returns the ticks of an expression in a time zone, in a span of time whose end is excluded.
///
/// ```
/// use taskq::chrono::DateTime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let utc = |text| DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
/// let week = utc("2026-03-27T00:00:00Z")?..utc("2026-04-01T00:00:00Z")?;
/// let ticks = taskq::testing::ticks("30 9 * * MON-FRI", "Europe/Zurich", week)?;
/// // Clocks were put forward on Sunday.
/// let expected = ["2026-03-27T08:30:00Z", "2026-03-30T07:30:00Z", "2026-03-31T07:30:00Z"];
/// assert_eq!(ticks, expected.map(|text| utc(text).unwrap()));
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// When the expression or the zone cannot be read.
pub fn ticks(
    expression: &str,
    timezone: &str,
    span: Range<DateTime<Utc>>,
) -> Result<Vec<DateTime<Utc>>, ScheduleError> {
    Ok(Calendar::parse(expression, timezone)?.ticks(span).collect())
}
