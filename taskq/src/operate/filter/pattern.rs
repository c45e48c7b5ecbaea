//! A name, or a pattern of names: `send_*`.

use std::fmt;

/// Its text as it was said: `*` is any text, `\*` the character `*`, and `\\` a backslash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(pub(super) String);

enum Part {
    Character(char),
    Anything,
}

impl Pattern {
    /// Returns what means this name and no other.
    #[cfg(feature = "dashboard")]
    pub(super) fn of_name(name: &str) -> Self {
        Self(name.replace('\\', "\\\\").replace('*', "\\*"))
    }

    /// Returns the one name that it means, if it means one.
    pub(super) fn exact(&self) -> Option<String> {
        let character = |part| match part {
            Part::Character(c) => Some(c),
            Part::Anything => None,
        };
        self.parts().into_iter().map(character).collect()
    }

    /// Returns it as a pattern of `like`.
    pub(super) fn like(&self) -> String {
        let mut like = String::new();
        for part in self.parts() {
            match part {
                Part::Anything => like.push('%'),
                Part::Character(c) => {
                    if matches!(c, '%' | '_' | '\\') {
                        like.push('\\');
                    }
                    like.push(c);
                }
            }
        }
        like
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut characters = self.0.chars().peekable();
        while let Some(c) = characters.next() {
            let escaped = characters.next_if(|next| c == '\\' && matches!(next, '*' | '\\'));
            parts.push(match escaped {
                Some(escaped) => Part::Character(escaped),
                None if c == '*' => Part::Anything,
                None => Part::Character(c),
            });
        }
        parts
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
