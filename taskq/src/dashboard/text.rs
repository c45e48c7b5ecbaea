//! Texts and numbers, as people read them.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use askama::filters::HtmlSafe;
use chrono::{DateTime, SecondsFormat, Utc};

pub(super) use crate::operate::number::number;

/// A time, as it is seen from now: `3 min ago`, with the whole of it in its title. It is written as HTML.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    at: DateTime<Utc>,
    now: DateTime<Utc>,
}

/// Returns a time as it is seen from now. Both are by the clock of Postgres.
pub(super) fn when(at: DateTime<Utc>, now: DateTime<Utc>) -> When {
    When { at, now }
}

impl HtmlSafe for When {}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, now } = self;
        let iso = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let title = at.format("%Y-%m-%d %H:%M:%S UTC");
        write!(f, r#"<time datetime="{iso}" title="{title}">"#)?;
        let seconds = now.signed_duration_since(*at).num_seconds();
        match seconds {
            0 => f.write_str("now")?,
            1.. => write!(f, "{} ago", rough(seconds.unsigned_abs()))?,
            // A moment after somebody has said 8 hours, it is in 8 hours.
            -119..0 => write!(f, "in {}", rough(seconds.unsigned_abs()))?,
            _ => write!(f, "in {}", rough(seconds.unsigned_abs() + 59))?,
        }
        f.write_str("</time>")
    }
}

/// A span of time in its largest unit.
fn rough(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns how long something took, or has waited.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        ..0.001 => "< 1 ms".to_owned(),
        ..1.0 => format!("{:.0} ms", seconds * 1_000.0),
        ..10.0 => format!("{seconds:.1} s"),
        _ => rough(span.as_secs()),
    }
}

/// Returns how long ago something was, without a sign.
pub(super) fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    rough(
        now.signed_duration_since(at)
            .num_seconds()
            .max(0)
            .unsigned_abs(),
    )
}

/// Returns a number that was counted up to a limit only.
pub(super) fn counted(count: i64, counted_to: i64) -> String {
    match count >= counted_to {
        true => format!("{}+", number(counted_to)),
        false => number(count),
    }
}

/// Returns the beginning of a text, of so many bytes at the most, and whether that is not all.
pub(super) fn cut(text: &str, most: usize) -> (&str, bool) {
    let end = text.floor_char_boundary(most);
    (&text[..end], end < text.len())
}

/// Returns the first line of a text, of so many characters at the most.
pub(super) fn line(text: &str, most: usize) -> String {
    let first = text.trim_start().lines().next().unwrap_or_default();
    match first.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &first[..end]),
        None if first.len() < text.trim().len() => format!("{first} …"),
        None => first.to_owned(),
    }
}

/// Returns a text with a capital letter at its beginning.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// Returns JSON in lines, each value as it stands: no number is read.
pub(super) fn pretty(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let mut signs = json.chars().peekable();
    let end_line = |text: &mut String, depth: usize| {
        text.push('\n');
        // However deep somebody nests, a line has room for its value, and the text does not become many times as long.
        text.extend(std::iter::repeat_n("  ", depth.min(8)));
    };
    while let Some(sign) = signs.next() {
        if in_string {
            text.push(sign);
            (in_string, is_escaped) = match (sign, is_escaped) {
                ('"', false) => (false, false),
                ('\\', false) => (true, true),
                _ => (true, false),
            };
            continue;
        }
        match sign {
            '"' => {
                in_string = true;
                text.push(sign);
            }
            '{' | '[' => {
                while signs.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                text.push(sign);
                match signs.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        end_line(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                end_line(&mut text, depth);
                text.push(sign);
            }
            ',' => {
                text.push(sign);
                end_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ if sign.is_ascii_whitespace() => {}
            _ => text.push(sign),
        }
    }
    text
}

/// Returns a link to a page, with its parameters. Those that are empty are left out.
pub(super) fn link(page: &str, parameters: &[(&str, &str)]) -> String {
    let mut link = page.to_owned();
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    for (index, (name, value)) in given.enumerate() {
        link.push(if index == 0 { '?' } else { '&' });
        let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let _ = write!(link, "{name}={value}");
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_set_in_lines_and_no_value_changes() {
        let json = r#"{"id": 9007199254740993, "to": ["a:b,{}", "\"\\"], "none": {}, "few": [ ]}"#;
        let lines = "{\n  \"id\": 9007199254740993,\n  \"to\": [\n    \"a:b,{}\",\n    \"\\\"\\\\\"\n  ],\n  \"none\": {},\n  \"few\": []\n}";
        assert_eq!(pretty(json), lines);
    }

    #[test]
    fn a_link_carries_any_name() {
        let link = link(
            "type",
            &[("name", "a/b?c#d %<script>"), ("q", ""), ("x", "ü")],
        );
        assert_eq!(link, "type?name=a%2Fb%3Fc%23d+%25%3Cscript%3E&x=%C3%BC");
    }

    #[test]
    fn numbers_and_spans_are_short() {
        assert_eq!(counted(10_000, 10_000), "10,000+");
        assert_eq!(span(Duration::from_millis(340)), "340 ms");
        assert_eq!(span(Duration::from_secs(7_300)), "2 h");
        assert_eq!(line("one\ntwo", 80), "one …");
        assert_eq!(line("abcdef", 3), "abc…");
        assert_eq!(cut("üü", 3), ("ü", true));
    }
}
