//! How long ago something was: `90s`, `30m`, `1h`, `2d`, `1w`.

use std::fmt;

const UNITS: [(char, u64); 5] = [
    ('w', 7 * 24 * 60 * 60),
    ('d', 24 * 60 * 60),
    ('h', 60 * 60),
    ('m', 60),
    ('s', 1),
];

/// A hundred years, which a timestamp can always be put back.
const MOST: u64 = 100 * 366 * 24 * 60 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    seconds: u64,
}

impl Age {
    /// Reads a number with its unit; `None` if it is none, or more than a hundred years.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let unit = text.chars().next_back()?;
        let (_, of_unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let number = &text[..text.len() - unit.len_utf8()];
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = number.parse::<u64>().ok()?.checked_mul(*of_unit)?;
        (is_number && seconds <= MOST).then_some(Self { seconds })
    }

    pub(crate) fn seconds(self) -> u64 {
        self.seconds
    }
}

/// In the largest unit of which it is a whole number.
impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, of_unit): &&(char, u64)| {
            self.seconds >= *of_unit && self.seconds.is_multiple_of(*of_unit)
        };
        match UNITS.iter().find(whole) {
            Some((unit, of_unit)) => write!(f, "{}{unit}", self.seconds / of_unit),
            None => write!(f, "{}s", self.seconds),
        }
    }
}
