//! Numbers as Postgres holds them: decimal, in groups of four digits.

/// The most digits before the point.
const MAX_DIGITS: i64 = 131_072;
/// The most digits behind the point.
const MAX_SCALE: i64 = 16_383;

/// A number by its parts.
struct Number<'a> {
    is_negative: bool,
    /// The digits before the point.
    whole: &'a [u8],
    /// The digits behind the point.
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Number<'a> {
    fn of(text: &'a [u8]) -> Self {
        let (is_negative, text) = match text {
            [b'-', text @ ..] => (true, text),
            text => (false, text),
        };
        let at = |byte: fn(&u8) -> bool| text.iter().position(byte);
        let end = at(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
        let point = at(|byte| *byte == b'.').unwrap_or(end);
        let exponent = text.get(end + 1..).unwrap_or_default();
        let exponent = std::str::from_utf8(exponent).unwrap_or_default();
        Self {
            is_negative,
            whole: &text[..point],
            fraction: text.get(point + 1..end).unwrap_or_default(),
            exponent: match (exponent, exponent.parse()) {
                ("", _) => 0,
                (_, Ok(exponent)) => exponent,
                // Too long for any number, and so for Postgres.
                (text, Err(_)) if text.starts_with('-') => i64::MIN / 4,
                (_, Err(_)) => i64::MAX / 4,
            },
        }
    }

    fn digits(&self) -> impl DoubleEndedIterator<Item = u8> + Clone {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// How many digits Postgres writes behind the point.
    fn scale(&self) -> i64 {
        (length(self.fraction) - self.exponent).max(0)
    }

    /// The powers of ten of the first and the last digit that is not zero.
    fn span(&self) -> Option<(i64, i64)> {
        let first = self.digits().position(|digit| digit != b'0')?;
        let last = self.digits().rev().position(|digit| digit != b'0')?;
        let highest = length(self.whole) - 1 + self.exponent;
        let lowest = self.exponent - length(self.fraction);
        Some((
            highest - i64::try_from(first).unwrap_or(i64::MAX),
            lowest + i64::try_from(last).unwrap_or(i64::MAX),
        ))
    }
}

fn length(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

/// Returns how many bytes Postgres needs for a number; `None` if it cannot hold it.
pub(super) fn stored_size(text: &[u8]) -> Option<usize> {
    // Most numbers.
    if text.len() <= 4 && text.iter().all(u8::is_ascii_digit) {
        return Some(8);
    }
    let number = Number::of(text);
    let scale = number.scale();
    let Some((first, last)) = number.span() else {
        return (scale <= MAX_SCALE).then_some(8);
    };
    if first >= MAX_DIGITS || scale > MAX_SCALE {
        return None;
    }
    let (weight, lowest) = (first.div_euclid(4), last.div_euclid(4));
    let groups = usize::try_from(weight - lowest + 1).ok()?;
    let is_short = (-64..64).contains(&weight) && scale <= 63;
    let header = if is_short { 6 } else { 8 };
    Some(header + 2 * groups)
}

/// Returns a number as Postgres writes it.
pub(super) fn normal(text: &str) -> String {
    let number = Number::of(text.as_bytes());
    // Such a number is refused before anybody asks.
    if stored_size(text.as_bytes()).is_none() {
        return text.to_owned();
    }
    let scale = usize::try_from(number.scale()).unwrap_or_default();
    let mut digits: String = number.digits().map(char::from).collect();
    let trailing = number.exponent - length(number.fraction);
    digits.extend((0..trailing).map(|_| '0'));
    let missing = (scale + 1).saturating_sub(digits.len());
    let mut digits = "0".repeat(missing) + &digits;
    let zeros = digits.len() - digits.trim_start_matches('0').len();
    drop(digits.drain(..zeros.min(digits.len() - scale - 1)));
    let is_zero = digits.bytes().all(|digit| digit == b'0');
    if scale > 0 {
        digits.insert(digits.len() - scale, '.');
    }
    match number.is_negative && !is_zero {
        true => format!("-{digits}"),
        false => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_postgres_writes_it() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("7", "7"),
            ("-1.50", "-1.50"),
            ("1e3", "1000"),
            ("1.25e1", "12.5"),
            ("1.25e2", "125"),
            ("1.25e4", "12500"),
            ("1E-3", "0.001"),
            ("-12e-1", "-1.2"),
            ("0e5", "0"),
            ("0.5e+1", "5"),
            ("0e-3", "0.000"),
        ] {
            assert_eq!(normal(text), expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_as_long_as_its_groups_of_four_digits() {
        for (text, expected) in [
            ("0", Some(8)),
            ("7", Some(8)),
            ("9999", Some(8)),
            ("10000", Some(8)),
            ("10001", Some(10)),
            ("1.5", Some(10)),
            ("0.0001", Some(8)),
            ("1e300", Some(10)),
            ("1e131071", Some(10)),
            ("1e131072", None),
            ("1e-16383", Some(10)),
            ("1e-16384", None),
            ("1e99999999999999999999", None),
        ] {
            assert_eq!(stored_size(text.as_bytes()), expected, "{text}");
        }
    }
}
