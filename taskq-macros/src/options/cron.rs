//! Checks cron expressions: minute, hour, day of the month, month and day of the week.
//!
//! It takes what every cron takes: `*`, numbers, names of months and days, ranges, steps and lists.

use std::ops::RangeInclusive;

/// The fields, in order.
const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        range: 0..=59,
        words: &[],
    },
    Field {
        name: "hour",
        range: 0..=23,
        words: &[],
    },
    Field {
        name: "day of the month",
        range: 1..=31,
        words: &[],
    },
    Field {
        name: "month",
        range: 1..=12,
        words: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of the week",
        // Sunday is both 0 and 7.
        range: 0..=7,
        words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

struct Field {
    name: &'static str,
    range: RangeInclusive<u32>,
    /// Words for the numbers from the first on.
    words: &'static [&'static str],
}

/// Says what is wrong with an expression, and what is allowed.
pub(crate) fn check(expression: &str) -> Result<(), String> {
    let parts: Vec<&str> = expression.split_ascii_whitespace().collect();
    if parts.len() != FIELDS.len() {
        let found = match parts.len() {
            1 => "1 field".to_owned(),
            many => format!("{many} fields"),
        };
        return Err(format!(
            "`{expression}` has {found}; write five: minute, hour, day of the month, month and day \
             of the week, such as `0 3 * * *` for three o'clock each night"
        ));
    }
    for (field, part) in FIELDS.iter().zip(parts) {
        for item in part.split(',') {
            field.check(item)?;
        }
    }
    Ok(())
}

impl Field {
    /// Checks what stands between commas: `*`, a number or a range, and a step behind `*` or a range.
    fn check(&self, item: &str) -> Result<(), String> {
        let (of, step) = match item.split_once('/') {
            Some((of, step)) => (of, Some(step)),
            None => (item, None),
        };
        let is_one = match of.split_once('-') {
            _ if of == "*" => false,
            Some((first, last)) => {
                if self.number(first)? > self.number(last)? {
                    return Err(format!(
                        "the {} `{of}` ends before it begins: write two ranges, such as `{first}-{},{}-{last}`",
                        self.name,
                        self.range.end(),
                        self.range.start()
                    ));
                }
                false
            }
            None => {
                self.number(of)?;
                true
            }
        };
        match step {
            Some(step) if is_one => Err(format!(
                "the {} `{item}` has a step and no range: write `{of}-{}/{step}`",
                self.name,
                self.range.end()
            )),
            Some(step) => self.check_step(step),
            None => Ok(()),
        }
    }

    fn check_step(&self, step: &str) -> Result<(), String> {
        let most = self.range.end() - self.range.start();
        match digits(step) {
            Some(step) if (1..=most).contains(&step) => Ok(()),
            _ => Err(format!(
                "the step `{step}` of the {} is not allowed: write a number from 1 to {most}",
                self.name
            )),
        }
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let mut words = self.words.iter();
        let word = words.position(|word| word.eq_ignore_ascii_case(text));
        let number = match word.and_then(|at| u32::try_from(at).ok()) {
            Some(at) => Some(self.range.start() + at),
            None => digits(text),
        };
        number
            .filter(|number| self.range.contains(number))
            .ok_or_else(|| {
                let (first, last) = (self.range.start(), self.range.end());
                let words = match (self.words.first(), self.words.last()) {
                    (Some(first), Some(last)) => format!(", or `{first}` to `{last}`"),
                    _ => String::new(),
                };
                format!(
                    "the {} `{text}` is not allowed: write {first} to {last}{words}, or `*` for each",
                    self.name
                )
            })
    }
}

/// Reads a number without sign.
fn digits(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_cron_takes_is_taken() {
        for expression in [
            "* * * * *",
            "0 3 * * *",
            "*/5 * * * *",
            "0,15,30-45/5 0-23 1,31 1-12 0-7",
            "0 9 * JAN-Mar mon-FRI,sat",
            " 59  23\t31 12 7 ",
        ] {
            assert_eq!(check(expression), Ok(()), "{expression}");
        }
    }

    #[test]
    fn an_error_names_the_field_and_what_is_allowed() {
        for (expression, message) in [
            (
                "60 * * * *",
                "the minute `60` is not allowed: write 0 to 59, or `*` for each",
            ),
            (
                "0 24 * * *",
                "the hour `24` is not allowed: write 0 to 23, or `*` for each",
            ),
            (
                "0 0 0 * *",
                "the day of the month `0` is not allowed: write 1 to 31, or `*` for each",
            ),
            (
                "0 0 * janu *",
                "the month `janu` is not allowed: write 1 to 12, or `jan` to `dec`, or `*` for each",
            ),
            (
                "0 0 * * 1-8",
                "the day of the week `8` is not allowed: write 0 to 7, or `sun` to `sat`, or `*` for each",
            ),
            (
                "0 22-6 * * *",
                "the hour `22-6` ends before it begins: write two ranges, such as `22-23,0-6`",
            ),
            (
                "5/15 * * * *",
                "the minute `5/15` has a step and no range: write `5-59/15`",
            ),
            (
                "*/0 * * * *",
                "the step `0` of the minute is not allowed: write a number from 1 to 59",
            ),
        ] {
            assert_eq!(check(expression), Err(message.to_owned()));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for expression in [
            "",
            "@daily",
            "0 0 * *",
            "0 0 0 * * *",
            "-1 * * * *",
            "+1 * * * *",
            "1, * * * *",
            "1- * * * *",
            "*/ * * * *",
            "*/5/5 * * * *",
            "1-2-3 * * * *",
            "*-5 * * * *",
            "? * * * *",
            "0 0 L * *",
            "0 0 * * mon#1",
            "0 0 * mon *",
            "99999999999 * * * *",
            "٣ * * * *",
        ] {
            assert!(check(expression).is_err(), "{expression}");
        }
    }
}
