//! What the commands print: by macros of their own, since those of the standard library panic where nobody reads.
//!
//! In `list | head` the reader goes before the list has ended, and that is no failure: the rest is printed for nobody, and
//! the command does what it was told to its end, so that its exit code does not depend on how fast a reader is.
//!
//! On a terminal nothing that others have written moves the cursor, or says more to the terminal than a colour.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use super::text::is_direction;

/// Why what was printed is lost, though somebody wanted it: the disk is full.
static LOST: OnceLock<io::Error> = OnceLock::new();

macro_rules! print {
    ($($text:tt)*) => { $crate::cli::out::out(format_args!($($text)*)) };
}

macro_rules! println {
    ($($text:tt)*) => { $crate::cli::out::out(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::cli::out::err(format_args!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::out::err(format_args!("{}\n", format_args!($($text)*))) };
}

pub(super) fn out(text: Arguments<'_>) {
    match write(io::stdout().lock(), text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => _ = LOST.set(error),
        _ => {}
    }
}

pub(super) fn err(text: Arguments<'_>) {
    // If standard error cannot be written, there is nobody to tell.
    let _ = write(io::stderr().lock(), text);
}

/// Returns why something that was printed is lost, if it is.
pub(super) fn lost() -> Option<&'static io::Error> {
    LOST.get()
}

fn write(mut out: impl Write + IsTerminal, text: Arguments<'_>) -> io::Result<()> {
    match out.is_terminal() {
        true => out.write_all(tame(&text.to_string()).as_bytes())?,
        false => out.write_fmt(text)?,
    }
    out.flush()
}

/// Returns a text without what would say more to a terminal than a colour or the end of a line.
fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = colour(rest).unwrap_or(c.len_utf8());
        let is_wild = c.is_control() && !"\n\r\t".contains(c) && colour(rest).is_none();
        match is_wild || is_direction(c) {
            true => tamed.push(' '),
            false => tamed.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    tamed
}

/// Returns how long the colour is with which a text begins, if it begins with one.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\x1b[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    numbers[end..].starts_with('m').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_colours_and_nothing_else() {
        for (text, tamed) in [
            ("\x1b[1mQUEUE\x1b[0m\n\tüü\r", "\x1b[1mQUEUE\x1b[0m\n\tüü\r"),
            ("a\x1b[2Jb\x1b]0;title\x07c", "a [2Jb ]0;title c"),
            ("\u{9b}2J\u{202e}x\x1b", " 2J x "),
            ("\x1b[12", " [12"),
        ] {
            assert_eq!(tame(text), tamed, "{text:?}");
        }
    }
}
