//! What is wrong with a filter.

use std::error::Error;
use std::fmt;

/// A filter makes no sense. It says which word is wrong, where it stands, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    pub(super) word: String,
    pub(super) position: usize,
    pub(super) problem: String,
}

impl FilterError {
    /// Returns the word at fault; the whole filter, if it is too long.
    pub fn word(&self) -> &str {
        &self.word
    }

    /// Returns at which character of the filter the word begins, from 1.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            word,
            position,
            problem,
        } = self;
        write!(
            f,
            "`{word}` (character {position} of the filter): {problem}"
        )
    }
}

impl Error for FilterError {}
