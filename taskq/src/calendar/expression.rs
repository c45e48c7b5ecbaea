//! Cron expressions: what each field may say, and what is said of one that says something else.
//!
//! The macro has this file too, through a link, so what compiles is what runs. It knows no calendar.

mod field;

use self::field::{Field, Item};

const SECOND: Field = Field::new("second", 0, 59, &[]);
const MINUTE: Field = Field::new("minute", 0, 59, &[]);
const HOUR: Field = Field::new("hour", 0, 23, &[]);
const DAY: Field = Field::new("day of the month", 1, 31, &[]);
const MONTH: Field = Field::new(
    "month",
    1,
    12,
    &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
);
/// Sunday is both 0 and 7.
const WEEKDAY: Field = Field::new(
    "day of the week",
    0,
    7,
    &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
);

/// Words for whole expressions.
const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The longest expression that is read, in bytes.
const MAX_LENGTH: usize = 1000;

/// How many days a month has at most, from January on.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Which seconds of local clocks an expression means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) seconds: Set,
    pub(crate) minutes: Set,
    pub(crate) hours: Set,
    pub(crate) months: Set,
    days: Days,
    weekdays: Weekdays,
    /// Whether it names times of the day: its hours, minutes and seconds have neither `*` nor a step.
    pub(crate) is_fixed: bool,
}

/// Some of the numbers from 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Set(u64);

/// Days of a month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Days {
    set: Set,
    /// `15W`: Monday to Friday, and of the month.
    nearest_weekday: Set,
    /// `L`
    has_last: bool,
    /// `LW`
    has_last_weekday: bool,
    is_restricted: bool,
}

/// Days of a week, from Sunday on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Weekdays {
    set: Set,
    /// `friL`: the last of the month.
    last: Set,
    /// `mon#1`: the first to the fifth of the month.
    nth: [Set; 5],
    is_restricted: bool,
}

/// A day, as far as an expression asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day {
    pub(crate) month: u32,
    pub(crate) day: u32,
    /// From Sunday, 0, on.
    pub(crate) weekday: u32,
    pub(crate) days_in_month: u32,
}

impl Expression {
    /// Reads an expression, or says what is wrong with it, and what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!(
                "it has {} bytes: write at most {MAX_LENGTH}",
                text.len()
            ));
        }
        let parts: Vec<&str> = expand(text.trim())?.split_ascii_whitespace().collect();
        let (second, fields) = match parts.len() {
            5 => ("0", &parts[..]),
            6 => (parts[0], &parts[1..]),
            found => return Err(wrong_number(text, found)),
        };
        let [minute, hour, day, month, weekday] = *fields else {
            unreachable!("five are left");
        };
        let is_fixed = ![second, minute, hour]
            .iter()
            .any(|part| part.contains(['*', '/']));
        let expression = Self {
            seconds: set(&SECOND, second)?,
            minutes: set(&MINUTE, minute)?,
            hours: set(&HOUR, hour)?,
            months: set(&MONTH, month)?,
            days: days(day)?,
            weekdays: weekdays(weekday)?,
            is_fixed,
        };
        expression.require_one_meaning(day, weekday)?;
        if !expression.happens() {
            return Err(format!(
                "`{text}` never comes: none of its months has such a day of the month"
            ));
        }
        Ok(expression)
    }

    /// Tells whether it means a day. Where both the day of the month and that of the week are restricted, one of them
    /// is enough.
    pub(crate) fn includes(&self, day: Day) -> bool {
        self.months.has(day.month)
            && match (self.days.is_restricted, self.weekdays.is_restricted) {
                (false, false) => true,
                (true, false) => self.days.include(day),
                (false, true) => self.weekdays.include(day),
                (true, true) => self.days.include(day) || self.weekdays.include(day),
            }
    }

    /// Crons differ in whether a step of all days restricts them.
    fn require_one_meaning(&self, day: &str, weekday: &str) -> Result<(), String> {
        let is_step = |part: &str| part.split(',').any(|item| item.starts_with("*/"));
        let both = self.days.is_restricted && self.weekdays.is_restricted;
        for (field, part, first) in [(&DAY, day, 1), (&WEEKDAY, weekday, 0)] {
            if both && is_step(part) {
                let (name, last) = (field.name, field.last.min(31));
                let last = if first == 0 { 6 } else { last };
                let step = part.split("*/").nth(1).unwrap_or_default();
                let step = step.split(',').next().unwrap_or_default();
                return Err(format!(
                    "the {name} `{part}` beside another restricted day means two things, \"and\" to some crons and \
                     \"or\" to others: write `{first}-{last}/{step}` for \"or\", as here"
                ));
            }
        }
        Ok(())
    }

    fn happens(&self) -> bool {
        if self.weekdays.is_restricted || !self.days.is_restricted {
            return true;
        }
        let Days {
            set,
            nearest_weekday,
            has_last,
            has_last_weekday,
            ..
        } = self.days;
        has_last
            || has_last_weekday
            || (1..=12).zip(LONGEST).any(|(month, longest)| {
                let some = |set: Set| set.next(1).is_some_and(|first| first <= longest);
                self.months.has(month) && (some(set) || some(nearest_weekday))
            })
    }
}

impl Set {
    pub(crate) fn has(self, number: u32) -> bool {
        number < 64 && self.0 & (1 << number) != 0
    }

    /// Returns the first that is not less.
    pub(crate) fn next(self, from: u32) -> Option<u32> {
        let left = self.0.checked_shr(from)?;
        (left != 0).then(|| from + left.trailing_zeros())
    }

    fn add(&mut self, number: u32) {
        self.0 |= 1 << number;
    }
}

impl Days {
    fn include(&self, day: Day) -> bool {
        let Day {
            day,
            weekday,
            days_in_month,
            ..
        } = day;
        let weekday_of = |other: u32| (weekday + 35 + other - day) % 7;
        let nearest = |to: u32| match weekday_of(to) {
            6 if to == 1 => 3,
            6 => to - 1,
            0 if to == days_in_month => to - 2,
            0 => to + 1,
            _ => to,
        };
        let last_weekday = match weekday_of(days_in_month) {
            6 => days_in_month - 1,
            0 => days_in_month - 2,
            _ => days_in_month,
        };
        self.set.has(day)
            || self.has_last && day == days_in_month
            || self.has_last_weekday && day == last_weekday
            || (day.saturating_sub(2)..=day + 2).any(|to| {
                self.nearest_weekday.has(to)
                    && (1..=days_in_month).contains(&to)
                    && nearest(to) == day
            })
    }
}

impl Weekdays {
    fn include(&self, day: Day) -> bool {
        let nth = usize::try_from((day.day - 1) / 7).unwrap_or_default();
        self.set.has(day.weekday)
            || self.last.has(day.weekday) && day.day + 7 > day.days_in_month
            || self.nth[nth].has(day.weekday)
    }
}

/// Writes a word for a whole expression out.
fn expand(text: &str) -> Result<&str, String> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let mut words = WORDS.iter();
    match words.find(|(word, _)| word.eq_ignore_ascii_case(text)) {
        Some((_, expression)) => Ok(expression),
        None if text.eq_ignore_ascii_case("@reboot") => {
            Err("`@reboot` is no time: enqueue the task where your program starts".to_owned())
        }
        None if text.to_ascii_lowercase().starts_with("@every") => Err(format!(
            "`{text}` is no time of a calendar: write a step, such as `*/5 * * * *` for every five minutes"
        )),
        None => {
            let words: Vec<_> = WORDS.iter().map(|(word, _)| format!("`{word}`")).collect();
            Err(format!(
                "there is no `{text}`: write {}, or five fields",
                words.join(", ")
            ))
        }
    }
}

fn wrong_number(text: &str, found: usize) -> String {
    let found = match found {
        1 => "1 field".to_owned(),
        7 => "7 fields, and there is none for the year".to_owned(),
        many => format!("{many} fields"),
    };
    format!(
        "`{text}` has {found}; write five: minute, hour, day of the month, month and day of the week, such as \
         `0 3 * * *` for three o'clock each night; or six, with the second before them"
    )
}

/// Reads a field that has numbers alone.
fn set(field: &Field, part: &str) -> Result<Set, String> {
    let mut set = Set::default();
    for item in part.split(',') {
        field.read(item)?.add_to(&mut set);
    }
    Ok(set)
}

fn days(part: &str) -> Result<Days, String> {
    let mut days = Days {
        is_restricted: true,
        ..Days::default()
    };
    for item in part.split(',') {
        let upper = item.to_ascii_uppercase();
        match &*upper {
            "L" => days.has_last = true,
            "LW" | "WL" => days.has_last_weekday = true,
            _ => match upper.strip_suffix('W') {
                Some(day) => {
                    let day = DAY.number(day).map_err(|_| {
                        format!(
                            "the day of the month `{item}` is not allowed: write `1W` to `31W` for the day from \
                             Monday to Friday that is nearest, or `LW` for the last one of the month"
                        )
                    })?;
                    days.nearest_weekday.add(day);
                }
                None => {
                    let item = DAY.read(item)?;
                    days.is_restricted &= !item.is_all();
                    item.add_to(&mut days.set);
                }
            },
        }
    }
    Ok(days)
}

fn weekdays(part: &str) -> Result<Weekdays, String> {
    let mut weekdays = Weekdays {
        is_restricted: true,
        ..Weekdays::default()
    };
    for item in part.split(',') {
        if let Some((day, nth)) = item.split_once('#') {
            let nth = match nth.as_bytes() {
                [digit @ b'1'..=b'5'] => usize::from(digit - b'1'),
                _ => {
                    return Err(format!(
                        "the day of the week `{item}` is not allowed: write `{day}#1` for the first of the month, to \
                         `{day}#5`"
                    ));
                }
            };
            weekdays.nth[nth].add(WEEKDAY.number(day)? % 7);
        } else if let Some(day) = item.strip_suffix(['L', 'l']) {
            if day.is_empty() {
                return Err(
                    "the day of the week `L` is Saturday to some crons: write `6`, or `friL` for the last Friday of \
                     the month"
                        .to_owned(),
                );
            }
            weekdays.last.add(WEEKDAY.number(day)? % 7);
        } else {
            let item = WEEKDAY.read_from_sunday(item)?;
            weekdays.is_restricted &= !item.is_all();
            let mut set = Set::default();
            item.add_to(&mut set);
            (0..=7)
                .filter(|day| set.has(*day))
                .for_each(|day| weekdays.set.add(day % 7));
        }
    }
    Ok(weekdays)
}

impl Item {
    fn add_to(self, set: &mut Set) {
        let step = usize::try_from(self.step).unwrap_or(1);
        (self.first..=self.last)
            .step_by(step)
            .for_each(|number| set.add(number));
    }
}
