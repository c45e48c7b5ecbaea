//! Moments as people write them: from now on, or of the calendar.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::filter::Age;

/// How a moment is written.
pub(crate) const MOMENTS: &str = "write 30m, 2h or 1d, or a time such as 2026-03-01T07:30Z";

/// A moment as somebody has written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long after now, by the clock of Postgres.
    In(TimeDelta),
    At(DateTime<Utc>),
}

impl Moment {
    /// Reads `30m`, or `2026-03-01T07:30Z`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if let Some(age) = Age::read(text) {
            let seconds = i64::try_from(age.seconds()).ok()?;
            return TimeDelta::try_seconds(seconds).map(Self::In);
        }
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Some(Self::At(at.to_utc()));
        }
        let text = text.trim_end_matches(['Z', 'z']).trim_end();
        let formats = [
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d %H:%M",
            "%Y-%m-%d %H:%M:%S",
            "%Y-%m-%dT%H:%M:%S",
        ];
        let mut read = formats
            .iter()
            .filter_map(|it| NaiveDateTime::parse_from_str(text, it).ok());
        read.next().map(|at| Self::At(at.and_utc()))
    }

    /// Returns when that is; `None` where no calendar has it.
    pub(crate) fn seen_from(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::In(time) => now.checked_add_signed(time),
            Self::At(at) => Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_from_now_or_of_the_calendar() {
        let now = DateTime::from_timestamp(1_000_000, 0).expect("a time");
        let seconds = |text| {
            let at = Moment::read(text)?.seen_from(now)?;
            Some(at.timestamp())
        };
        assert_eq!(seconds("30m"), Some(1_001_800));
        assert_eq!(seconds("1970-01-01T00:01:30Z"), Some(90));
        assert_eq!(seconds("1970-01-01 00:01"), Some(60));
        assert_eq!(seconds("1970-01-01T00:01Z"), Some(60));
        assert_eq!(seconds("1970-01-01T01:01:00+01:00"), Some(60));
        for text in ["soon", "1", "-1h", "99999999w", "2026-13-01 00:00"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
