//! The text that is written, piece by piece, and the doubts about it.

use std::fmt::{self, Write as _};

use serde::ser::Serializer;

use crate::error::EncodeError;
use crate::json::scan::{MAX_DEPTH, TOO_DEEP};

/// Room for the payloads that most tasks have.
const USUAL_LENGTH: usize = 128;

/// Writes one value.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) text: Vec<u8>,
    pub(crate) doubts: Vec<Doubt>,
    /// How many arrays and objects are open.
    pub(super) depth: usize,
    /// Whether the next string is JSON already.
    pub(super) is_verbatim: bool,
}

/// Something that may not come back as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Doubt {
    /// Where in the text.
    pub(crate) at: usize,
    pub(crate) what: Doubtful,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubtful {
    NotANumber,
    Infinite,
    NegativeInfinite,
    /// `Some` of what is written as `null`, as `None` is.
    SomeNull,
    /// An integer of 128 bits. serde cannot read it where it buffers.
    Wide,
    /// A key that is no text. serde cannot read it where it buffers.
    Key,
    /// JSON that somebody else wrote. serde_json cannot read it where serde buffers.
    Verbatim,
}

pub(super) type Written = Result<(), EncodeError>;

pub(super) type Number<'a> = serde_json::Serializer<&'a mut Vec<u8>>;

impl Writer {
    pub(crate) fn new() -> Self {
        Self {
            text: Vec::with_capacity(USUAL_LENGTH),
            doubts: Vec::new(),
            depth: 0,
            is_verbatim: false,
        }
    }

    pub(super) fn doubt(&mut self, what: Doubtful) {
        let at = self.text.len();
        self.doubts.push(Doubt { at, what });
    }

    pub(super) fn push(&mut self, byte: u8) -> Written {
        self.text.push(byte);
        Ok(())
    }

    pub(super) fn push_all(&mut self, text: &[u8]) -> Written {
        self.text.extend_from_slice(text);
        Ok(())
    }

    pub(super) fn name(&mut self, name: &str) -> Written {
        self.string(name)?;
        self.push(b':')
    }

    pub(super) fn string(&mut self, text: &str) -> Written {
        simply(Number::new(&mut self.text).serialize_str(text))
    }

    /// Writes what has no JSON. Whoever reads `null` as such a number gets it all the same.
    #[cold]
    pub(super) fn not_finite(&mut self, float: f64) -> Written {
        self.doubt(match (float.is_nan(), float.is_sign_negative()) {
            (true, _) => Doubtful::NotANumber,
            (false, false) => Doubtful::Infinite,
            (false, true) => Doubtful::NegativeInfinite,
        });
        self.push_all(b"null")
    }

    /// Writes a large float without an exponent.
    #[cold]
    pub(super) fn large(&mut self, float: &dyn fmt::Display) -> Written {
        let _ = write!(Text(&mut self.text), "{float}.0");
        Ok(())
    }

    pub(super) fn note_null(&mut self, at: usize) {
        if self.text.ends_with(b"null") && self.text.len() == at + 4 {
            let what = Doubtful::SomeNull;
            self.doubts.push(Doubt { at, what });
        }
    }

    /// Makes a name of what was written as a value.
    pub(super) fn end_name(&mut self, at: usize) -> Written {
        match self.text[at] {
            b'"' => {}
            b'-' | b'0'..=b'9' | b't' | b'f' => {
                let what = Doubtful::Key;
                self.doubts.push(Doubt { at, what });
                self.text.insert(at, b'"');
                self.text.push(b'"');
            }
            _ => {
                self.text.truncate(at);
                let problem = match self.doubts.last() {
                    Some(doubt) if doubt.at == at => "a float that is a key must be finite",
                    _ => "a key must be a string",
                };
                return Err(EncodeError::new(".", problem));
            }
        }
        self.push(b':')
    }

    /// Begins an array or object, unless it would be too deep: before the stack is.
    pub(super) fn open(&mut self, open: u8) -> Written {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(EncodeError::new(".", TOO_DEEP));
        }
        self.push(open)
    }
}

/// Integers, numbers and text written into memory cannot fail.
pub(super) fn simply(written: Result<(), serde_json::Error>) -> Written {
    written.map_err(EncodeError::from)
}

/// Text at the end of what was written.
pub(super) struct Text<'a>(pub(super) &'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    // Times are written character by character.
    fn write_char(&mut self, char: char) -> fmt::Result {
        match char.is_ascii() {
            true => self.0.push(char as u8),
            false => self
                .0
                .extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        Ok(())
    }
}
