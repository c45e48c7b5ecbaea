//! Texts of other people's, for a terminal.

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

/// Tells whether a character changes the direction of those around it.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_its_width_and_moves_no_cursor() {
        assert_eq!(cut("timed out", 9), "timed out");
        assert_eq!(cut("timed out!", 9), "timed ou…");
        assert_eq!(cut("üüü", 2), "ü…");
        assert_eq!(cut("a\x1b[2J\nb\u{202e}", 80), "a [2J b ");
    }
}
