//! One term of a filter, and how it is written.

use std::fmt;

use super::age::Age;
use super::pattern::Pattern;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    State(Vec<String>),
    Type(Vec<Pattern>),
    Queue(Vec<Pattern>),
    Payload {
        path: Vec<String>,
        values: Vec<String>,
    },
    Error(Vec<String>),
    Older(Age),
    Newer(Age),
    Cause(Vec<String>),
    Id(Vec<i64>),
    Group(Vec<i64>),
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(values) => write_values(f, "state", values),
            Self::Type(names) => write_values(f, "type", names),
            Self::Queue(names) => write_values(f, "queue", names),
            Self::Payload { path, values } => {
                f.write_str("payload")?;
                for name in path {
                    f.write_str(".")?;
                    write_word(f, name, &['.', ':'])?;
                }
                write_values(f, "", values)
            }
            Self::Error(values) => write_values(f, "error", values),
            Self::Older(age) => write!(f, "older:{age}"),
            Self::Newer(age) => write!(f, "newer:{age}"),
            Self::Cause(values) => write_values(f, "cause", values),
            Self::Id(values) => write_values(f, "id", values),
            Self::Group(values) => write_values(f, "group", values),
        }
    }
}

fn write_values(f: &mut fmt::Formatter<'_>, key: &str, values: &[impl ToString]) -> fmt::Result {
    f.write_str(key)?;
    for (index, value) in values.iter().enumerate() {
        f.write_str(if index == 0 { ":" } else { "," })?;
        write_word(f, &value.to_string(), &[])?;
    }
    Ok(())
}

/// Writes a word, in quotes where it would be read as something else.
fn write_word(f: &mut fmt::Formatter<'_>, word: &str, signs: &[char]) -> fmt::Result {
    if !word.is_empty() && !word.contains(|c| is_sign(c) || signs.contains(&c)) {
        return f.write_str(word);
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
    write!(f, "\"{escaped}\"")
}

/// Tells whether a character ends a word, or stands around one.
pub(super) fn is_sign(c: char) -> bool {
    c.is_whitespace() || c == ',' || c == '"'
}
