//! Texts of other people's, for a terminal.

/// How wide a terminal is.
pub(super) const WIDTH: usize = 80;

/// Returns a text in one line of so many characters at the most, without what would move the cursor.
pub(super) fn cut(text: &str, most: usize) -> String {
    let mut shown = printable(text);
    if let Some((end, _)) = shown.char_indices().nth(most) {
        let last = shown[..end].char_indices().next_back();
        shown.truncate(last.map_or(0, |(last, _)| last));
        shown.push('…');
    }
    shown
}

/// Returns a text in one line, without what would move the cursor.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() || is_direction(c) {
            ' '
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// Returns a text in lines of so many characters at the most, unless a word is longer; all but the first are moved in.
pub(super) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let (mut lines, mut length) = (String::new(), 0);
    for word in text.split_whitespace() {
        let long = word.chars().count();
        if length > 0 && length + 1 + long > width {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            length = indent;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += long;
    }
    lines.push('\n');
    lines
}

/// Returns what is so, below it what to do about that, and last what does it: in one line, so that it can be copied.
pub(super) fn advised(
    said: &str,
    advice: Option<&str>,
    does: Option<&str>,
    width: usize,
) -> String {
    let mut text = wrapped(&printable(said), width, 0);
    if let Some(advice) = advice {
        text.push_str(&wrapped(&format!("-> {}", printable(advice)), width, 3));
    }
    if let Some(does) = does {
        text.push_str(&format!("   {}\n", printable(does)));
    }
    text
}

/// Returns a time in its largest unit, as short as a column needs it.
pub(super) fn in_words(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns a number that was counted so far only.
pub(super) fn up_to(number: i64, counted_to: i64) -> String {
    let more = if number >= counted_to { "+" } else { "" };
    format!("{number}{more}")
}

/// Tells whether a character changes the direction of those around it.
pub(super) fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns a word as a shell reads it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_as_a_shell_reads_it() {
        assert_eq!(quoted("--all"), "--all");
        assert_eq!(quoted("state:dead type:*"), "'state:dead type:*'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        let words = [-1, 119, 120, 7_200, 172_800].map(in_words);
        assert_eq!(words, ["0 s", "119 s", "2 min", "2 h", "2 d"]);
        assert_eq!((up_to(9, 10), up_to(10, 10)), ("9".into(), "10+".into()));
    }

    #[test]
    fn a_text_is_cut_to_its_width_and_moves_no_cursor() {
        assert_eq!(cut("timed out", 9), "timed out");
        assert_eq!(cut("timed out!", 9), "timed ou…");
        assert_eq!(cut("üüü", 2), "ü…");
        assert_eq!(cut("a\x1b[2J\nb\u{202e}", 80), "a [2J b ");
    }
}
