//! Durations as the attribute's options write them: `500ms`, `30s`, `1h30m`.

use std::time::Duration;

/// The units, largest first, with their milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest duration, in days: a hundred years. More is a mistake of units, and would overflow
/// the clock that the deadline is counted on.
const MAX_DAYS: u64 = 36_600;

/// Why a text is not a duration. Completes a sentence that begins with the option's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    NotADuration,
    Zero,
    TooLong,
}

impl Problem {
    /// Says what is wrong with `text`, which is a part of an option's value.
    pub(crate) fn about(&self, text: &str) -> String {
        match self {
            Self::NotADuration => format!(
                "`{text}` is not a duration; write whole numbers with units, the largest unit first, \
                 such as `500ms`, `30s`, `5m`, `2h`, `1d` or `1h30m`"
            ),
            Self::Zero | Self::TooLong => self.message(text, text),
        }
    }

    /// Says what is wrong with `text`, given as `option`.
    pub(crate) fn message(&self, option: &str, text: &str) -> String {
        match self {
            Self::NotADuration => format!("`{option}`: {}", self.about(text)),
            Self::Zero => format!("`{option}` must be longer than zero"),
            Self::TooLong => format!("`{option}` must be at most `{MAX_DAYS}d`, a hundred years"),
        }
    }
}

/// Reads a duration: numbers with units, each unit once, the largest first.
pub(crate) fn parse(text: &str) -> Result<Duration, Problem> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() || text.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_where(after, |c| c.is_ascii_digit());
        // Goes on where the unit before was found, hence the order.
        let (_, milliseconds) = units
            .find(|(name, _)| *name == unit)
            .ok_or(Problem::NotADuration)?;
        if number.is_empty() {
            return Err(Problem::NotADuration);
        }
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*milliseconds))
            .and_then(|part| total.checked_add(part))
            .ok_or(Problem::TooLong)?;
        rest = after;
    }
    match Duration::from_millis(total) {
        Duration::ZERO => Err(Problem::Zero),
        duration if duration > Duration::from_secs(MAX_DAYS * 24 * 60 * 60) => {
            Err(Problem::TooLong)
        }
        duration => Ok(duration),
    }
}

fn split_where(text: &str, at: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0h1s", 1000),
            ("090s", 90_000),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", " ", "30", "s", "30x", "30 s", "-1s", "1.5h", "30m1h", "1h1h", "1hm", "5sms", "٣s",
            "30S", "ms500",
        ] {
            assert_eq!(parse(text), Err(Problem::NotADuration), "{text}");
        }
    }

    #[test]
    fn zero_and_more_than_a_hundred_years_are_refused() {
        assert_eq!(parse("0s"), Err(Problem::Zero));
        assert_eq!(parse("0d0ms"), Err(Problem::Zero));
        assert!(parse("36600d").is_ok());
        assert_eq!(parse("36600d1ms"), Err(Problem::TooLong));
        assert_eq!(
            parse("18446744073709551615ms1ms"),
            Err(Problem::NotADuration)
        );
        assert_eq!(parse("18446744073709551615s"), Err(Problem::TooLong));
        assert_eq!(parse("99999999999999999999ms"), Err(Problem::TooLong));
    }
}
