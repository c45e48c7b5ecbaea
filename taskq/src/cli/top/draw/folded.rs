//! Lines that fit.

/// Returns a line in lines of so many characters at the most, broken at spaces where there are some; all but the first are
/// moved in. Spaces within it stay.
pub(super) fn folded(line: &str, width: usize) -> Vec<String> {
    let signs: Vec<char> = line.chars().collect();
    let begins = signs.iter().take_while(|sign| **sign == ' ').count();
    let indent = (begins + 2).min(width / 2);
    let (mut lines, mut rest, mut room) = (Vec::new(), &signs[..], width.max(1));
    let mut shown = |indent: usize, signs: &[char]| {
        let indent = std::iter::repeat_n(' ', indent);
        lines.push(indent.chain(signs.iter().copied()).collect());
    };
    let mut moved_in = 0;
    while rest.len() > room {
        let first = rest.iter().position(|sign| *sign != ' ');
        let space = rest[..=room].iter().rposition(|sign| *sign == ' ');
        let end = space.filter(|space| first < Some(*space)).unwrap_or(room);
        shown(moved_in, &rest[..end]);
        rest = &rest[end..];
        rest = rest.strip_prefix(&[' ']).unwrap_or(rest);
        (moved_in, room) = (indent, (width - indent).max(1));
    }
    shown(moved_in, rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_folded_at_spaces_and_moved_in() {
        assert_eq!(folded("", 10), [""]);
        assert_eq!(folded("0123456789", 10), ["0123456789"]);
        assert_eq!(folded("name   a b c", 10), ["name   a b", "  c"]);
        assert_eq!(folded("  0123456789abcd", 10), ["  01234567", "    89abcd"]);
        assert_eq!(folded("abc", 1), ["a", "b", "c"]);
        assert_eq!(folded("a   ", 2), ["a ", "  "]);
    }
}
