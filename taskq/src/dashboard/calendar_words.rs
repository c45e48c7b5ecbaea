//! A cron expression in plain words, where it is one of the usual ones.

const DAYS: [&str; 8] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Returns when an expression ticks, in words; `None` where words would be longer than the expression.
pub(super) fn words(expression: &str) -> Option<String> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = match fields[..] {
        ["*", "*", "*", "*", "*", "*"] => return Some("every second".to_owned()),
        ["0", ref rest @ ..] if rest.len() == 5 => rest.try_into().ok()?,
        ref five if five.len() == 5 => five.try_into().ok()?,
        _ => return None,
    };
    if month != "*" {
        return None;
    }
    let time = match (number(minute, 59), number(hour, 23)) {
        (Some(minute), Some(hour)) => format!("at {hour:02}:{minute:02}"),
        (Some(minute), None) if hour == "*" => format!("at minute {minute} of each hour"),
        (None, None) if hour == "*" && minute == "*" => "every minute".to_owned(),
        (None, None) if hour == "*" => {
            let step = number(minute.strip_prefix("*/")?, 59)?;
            format!("every {step} minutes")
        }
        _ => return None,
    };
    let has_hour = number(hour, 23).is_some();
    let days = match (day, weekday) {
        ("*", "*") if has_hour => " each day".to_owned(),
        ("*", "*") => String::new(),
        ("*", weekday) => format!(" on {}", weekdays(weekday)?),
        (day, "*") => format!(" on day {} of each month", number(day, 31)?),
        _ => return None,
    };
    Some(format!("{time}{days}"))
}

fn number(text: &str, most: u8) -> Option<u8> {
    text.parse().ok().filter(|number| *number <= most)
}

fn weekdays(text: &str) -> Option<String> {
    if let Some((first, last)) = text.split_once('-') {
        return Some(format!("{} to {}", weekday(first)?, weekday(last)?));
    }
    let days: Option<Vec<&str>> = text.split(',').map(weekday).collect();
    Some(days?.join(", "))
}

fn weekday(text: &str) -> Option<&'static str> {
    if let Some(number) = number(text, 7) {
        return Some(DAYS[usize::from(number)]);
    }
    let mut days = DAYS.iter();
    let is_meant = |day: &&&str| text.len() == 3 && day[..3].eq_ignore_ascii_case(text);
    days.find(is_meant).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_expressions_have_words_and_others_have_none() {
        for (expression, said) in [
            ("* * * * *", "every minute"),
            ("* * * * * *", "every second"),
            ("*/15 * * * *", "every 15 minutes"),
            ("5 * * * *", "at minute 5 of each hour"),
            ("0 2 * * *", "at 02:00 each day"),
            ("0 30 6 * * *", "at 06:30 each day"),
            ("0 6 * * MON", "at 06:00 on Monday"),
            ("30 7 * * 1-5", "at 07:30 on Monday to Friday"),
            ("0 9 * * sat,0", "at 09:00 on Saturday, Sunday"),
            ("0 0 1 * *", "at 00:00 on day 1 of each month"),
        ] {
            assert_eq!(words(expression).as_deref(), Some(said), "{expression}");
        }
        for expression in [
            "",
            "0 2 * 6 *",
            "0 2 L * *",
            "0 2 * * MON#1",
            "0 2 1 * MON",
            "1-5 * * * *",
            "0 */2 * * *",
            "<b>",
        ] {
            assert_eq!(words(expression), None, "{expression}");
        }
    }
}
