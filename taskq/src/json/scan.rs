//! Looks through a JSON text for what Postgres refuses or changes, and for how long it is as `jsonb`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::number;
use super::path::{name, path_at, string_end};
use crate::error::EncodeError;

/// How deep arrays and objects may stand in each other: as deep as serde_json reads them.
pub(super) const MAX_DEPTH: usize = 127;

pub(super) const TOO_DEEP: &str =
    "nothing is read that stands more than 127 arrays and objects deep";

/// Up to this many names of an object are compared with each other.
const FEW_NAMES: usize = 16;

/// How long a `jsonb` is at most, for each byte of its text: a digit and a comma become twelve bytes. So many bytes
/// a text may have for each byte of its `jsonb`, too: an escape has six.
const MOST_FOR_A_BYTE: usize = 6;

/// Looks through a text, and returns how many bytes Postgres needs at most to store it, uncompressed. That is exact,
/// but for numbers and containers in objects, before which there may be up to three bytes less.
///
/// # Errors
///
/// Names what `jsonb` cannot hold: a zero character, half of a surrogate pair, a number that is too long, two
/// values of one name, and what stands deeper than it can be read again.
pub(crate) fn scan(text: &str) -> Result<usize, EncodeError> {
    let mut scan = Scan {
        text: text.as_bytes(),
        at: 0,
        size: ROOT,
        is_loose: false,
        aligned: 0,
        names: Vec::with_capacity(FEW_NAMES),
    };
    // A lone value stands in an array.
    if !matches!(scan.peek(), b'{' | b'[') {
        scan.size += 2 * ENTRY;
    }
    match scan.value(0) {
        // Some texts are far longer than what is stored: spaces, escapes, zeros behind the point.
        Ok(()) => Ok(scan.size.max(text.len() / MOST_FOR_A_BYTE)),
        Err(Found { at, problem }) => Err(EncodeError::new(path_at(scan.text, at), problem)),
    }
}

/// Tells whether a text is so short that Postgres surely stores it in so many bytes.
pub(crate) fn is_surely_within(text: &str, limit: usize) -> bool {
    // A lone digit needs more.
    32 + MOST_FOR_A_BYTE * text.len() <= limit
}

/// The length of the whole.
const ROOT: usize = 4;

/// What an array or object needs for itself, for each value, and for each name.
const ENTRY: usize = 4;

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    size: usize,
    /// Numbers and containers begin at a multiple of four: counted from here.
    aligned: usize,
    /// Whether that cannot be told, because an object's values are stored in the order of their names.
    is_loose: bool,
    /// The names of all objects that are open.
    names: Vec<(usize, usize)>,
}

struct Found {
    at: usize,
    problem: &'static str,
}

fn found(at: usize, problem: &'static str) -> Found {
    Found { at, problem }
}

impl Scan<'_> {
    fn peek(&mut self) -> u8 {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return *byte,
            }
        }
        b' '
    }

    fn align(&mut self) {
        match self.is_loose {
            true => self.size += 3,
            false => self.size = self.aligned + (self.size - self.aligned).next_multiple_of(4),
        }
        self.aligned = self.size;
        self.is_loose = false;
    }

    fn value(&mut self, depth: usize) -> Result<(), Found> {
        match self.peek() {
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => {
                self.size += self.string()?;
                Ok(())
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'f' => {
                self.at += 5;
                Ok(())
            }
            _ => {
                self.at += 4;
                Ok(())
            }
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), Found> {
        if depth > MAX_DEPTH {
            return Err(found(self.at, TOO_DEEP));
        }
        self.align();
        self.size += ENTRY;
        self.at += 1;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Found> {
        self.open(depth)?;
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.size += ENTRY;
            self.value(depth)?;
            let end = self.peek();
            self.at += 1;
            if end != b',' {
                return Ok(());
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Found> {
        self.open(depth)?;
        let outer = self.names.len();
        let mut is_escaped = false;
        while self.peek() == b'"' {
            let from = self.at;
            let length = self.string()?;
            let to = self.at;
            is_escaped |= length != to - from - 2;
            self.size += length + 2 * ENTRY;
            if self.names.len() - outer < FEW_NAMES {
                let before = &self.names[outer..];
                let name = &self.text[from..to];
                if before
                    .iter()
                    .any(|&(from, to)| &self.text[from..to] == name)
                {
                    return Err(found(to, TWICE));
                }
            }
            self.names.push((from, to));
            self.peek();
            self.at += 1; // the colon
            self.is_loose = true;
            self.value(depth)?;
            if self.peek() == b',' {
                self.at += 1;
                self.peek();
            }
        }
        self.at += 1;
        if is_escaped || self.names.len() - outer > FEW_NAMES {
            self.compare_names(outer)?;
        }
        self.names.truncate(outer);
        self.is_loose = true;
        Ok(())
    }

    fn compare_names(&self, outer: usize) -> Result<(), Found> {
        let mut names = HashSet::new();
        for &(from, to) in &self.names[outer..] {
            let quoted = &self.text[from..to];
            let name: Cow<'_, [u8]> = match quoted.contains(&b'\\') {
                true => name(quoted).into_bytes().into(),
                false => quoted[1..quoted.len() - 1].into(),
            };
            if !names.insert(name) {
                return Err(found(to, TWICE));
            }
        }
        Ok(())
    }

    /// Passes over a string, and returns how long it is without quotes and escapes.
    fn string(&mut self) -> Result<usize, Found> {
        let from = self.at;
        let rest = &self.text[from + 1..];
        let special = |byte: &u8| matches!(byte, b'"' | b'\\');
        let plain = rest.iter().position(special).unwrap_or(rest.len());
        if rest.get(plain) == Some(&b'"') {
            self.at = from + 1 + plain + 1;
            return Ok(plain);
        }
        self.at = string_end(self.text, from);
        self.escaped(from, &self.text[from + 1..self.at - 1])
    }

    fn escaped(&self, from: usize, inner: &[u8]) -> Result<usize, Found> {
        let mut length = 0;
        let mut at = 0;
        while at < inner.len() {
            if inner[at] != b'\\' {
                (length, at) = (length + 1, at + 1);
                continue;
            }
            let Some(unit) = unit(&inner[at..]) else {
                (length, at) = (length + 1, at + 2);
                continue;
            };
            at += 6;
            length += match unit {
                0 => return Err(found(from, ZERO)),
                0x1..0x80 => 1,
                0x80..0x800 => 2,
                0xd800..0xdc00 => match unit_at(inner, at) {
                    Some(0xdc00..0xe000) => {
                        at += 6;
                        4
                    }
                    _ => return Err(found(from, HALF)),
                },
                0xdc00..0xe000 => return Err(found(from, HALF)),
                _ => 3,
            };
        }
        Ok(length)
    }

    fn number(&mut self) -> Result<(), Found> {
        let from = self.at;
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.text[from..]
            .iter()
            .take_while(|byte| is_part(byte))
            .count();
        self.at += length;
        match number::stored_size(&self.text[from..self.at]) {
            Some(size) => {
                self.align();
                self.size += size;
                Ok(())
            }
            None => Err(found(
                from,
                "Postgres cannot store a number with so many digits",
            )),
        }
    }
}

const ZERO: &str = "Postgres cannot store a text with a zero character";
const HALF: &str = "Postgres cannot store half of a surrogate pair";
const TWICE: &str = "Postgres would keep only one of two values of this name";

/// Reads `\u0041`.
fn unit(escape: &[u8]) -> Option<u16> {
    match escape {
        [b'\\', b'u', digits @ ..] => {
            let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
            u16::from_str_radix(digits, 16).ok()
        }
        _ => None,
    }
}

fn unit_at(inner: &[u8], at: usize) -> Option<u16> {
    unit(inner.get(at..)?)
}
