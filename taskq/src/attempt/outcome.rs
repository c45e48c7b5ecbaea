//! What a handler's return value means.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::attempt::panics;
use crate::error::{BoxError, Count, EncodeError, Panicked};
use crate::json::{self, MAX_STORED_SIZE};

/// How one attempt ended, as its handler tells it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler did what it was for.
    Completed,
    /// The handler did what it was for, and its task keeps what it returned.
    Kept(Kept),
    /// The handler failed. The worker retries, unless the error carries another wish:
    /// [`retry_in`](crate::outcome::retry_in), [`snooze`](crate::outcome::snooze), [`discard`](crate::outcome::discard) or
    /// [`cancel`](crate::outcome::cancel).
    Failed(BoxError),
}

/// A type that a handler may return: `()`, or `Result<T, E>` for any error that can be boxed.
#[diagnostic::on_unimplemented(
    message = "a task returns `()` or `Result<T, E>` with `E: Into<Box<dyn Error + Send + Sync>>`, not `{Self}`",
    label = "not an outcome of a task",
    note = "errors of std, anyhow, eyre and thiserror fit, and so do `String` and `&str`"
)]
pub trait IntoOutcome {
    /// Tells how the attempt ended.
    fn into_outcome(self) -> Outcome;
}

#[diagnostic::do_not_recommend]
impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Completed
    }
}

#[diagnostic::do_not_recommend]
impl<T, E: Into<BoxError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(_) => Outcome::Completed,
            Err(error) => Outcome::Failed(error.into()),
        }
    }
}

/// A type that a handler with `result = "keep"` may return: `Result<T, E>`, where `T` can be written and
/// read as JSON, and `E` boxed.
// Not a mode of `IntoOutcome`: its message would speak of `()`, which cannot be kept.
#[diagnostic::on_unimplemented(
    message = "`result = \"keep\"` needs `Result<T, E>` with `T: Serialize + DeserializeOwned` and `E: Into<Box<dyn Error + Send + Sync>>`, not `{Self}`",
    label = "this result cannot be kept",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to the type of the result: it is stored as JSON, and `taskq::result` reads it back"
)]
pub trait IntoKept {
    /// Tells how the attempt ended, and what is to be kept of it.
    fn into_kept(self) -> Outcome;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned, E: Into<BoxError>> IntoKept for Result<T, E> {
    fn into_kept(self) -> Outcome {
        match self {
            Ok(result) => Outcome::Kept(Kept::of(json::encode(&result))),
            Err(error) => Outcome::Failed(error.into()),
        }
    }
}

/// What a handler returned, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    json: Result<String, String>,
}

impl Kept {
    // What cannot be kept does not undo the work that it tells of, and would not be kept the next time
    // either. So the task completes, and says what is missing.
    fn of(encoded: Result<Box<json::RawValue>, EncodeError>) -> Self {
        let json = match encoded.and_then(|raw| Ok((json::oversize(&raw)?, raw))) {
            Ok((None, raw)) => Ok(raw.get().to_owned()),
            Ok((Some(size), _)) => Err(format!(
                "the result is about {} bytes long as Postgres stores it, and may have {}",
                Count(size),
                Count(MAX_STORED_SIZE)
            )),
            Err(error) => Err(format!(
                "the result would not come back from Postgres as it is: {error}"
            )),
        };
        Self { json }
    }

    /// Gives up a result that Postgres does not take.
    pub(crate) fn refused(error: &str) -> Self {
        Self::nothing(format!("Postgres refused the result: {error}"))
    }

    /// Keeps the reason why there is no result.
    pub(crate) fn nothing(reason: String) -> Self {
        Self { json: Err(reason) }
    }

    pub(crate) fn json(&self) -> Option<&str> {
        self.json.as_deref().ok()
    }

    /// Says why it cannot be kept, if it cannot.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.json.as_ref().err().map(String::as_str)
    }
}

/// Returns what a panic said, and where.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panics::message(panic)
}

impl Outcome {
    /// An attempt that ended in a panic.
    pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let (text, place) = panics::caught(panic);
        Self::Failed(Panicked::at(text, place).into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn kept<T: Serialize + DeserializeOwned>(result: T) -> Kept {
        match Ok::<T, String>(result).into_kept() {
            Outcome::Kept(kept) => kept,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_result_is_kept_as_its_json() {
        assert_eq!(kept(vec![1, 2]).json(), Some("[1,2]"));
        assert_eq!(kept(()).json(), Some("null"));
    }

    #[test]
    fn a_result_that_cannot_be_kept_says_why() {
        let no_strings = BTreeMap::from([(vec![1], 1)]);
        let long = "x".repeat(MAX_STORED_SIZE);
        for (kept, expected) in [
            (
                kept(no_strings),
                "the result would not come back from Postgres as it is: `.`: a key must be a string",
            ),
            (
                kept(long),
                "the result is about 1,048,588 bytes long as Postgres stores it, and may have 1,048,576",
            ),
            (
                kept("a\0b".to_owned()),
                "the result would not come back from Postgres as it is: `.`: Postgres cannot store a text with a zero character",
            ),
            (
                kept(vec![Some(1.5), Some(f64::NAN)]),
                "the result would not come back from Postgres as it is: `[1]`: NaN has no JSON",
            ),
        ] {
            assert_eq!((kept.json(), kept.problem()), (None, Some(expected)));
        }
    }

    #[test]
    fn a_backslash_before_digits_is_no_zero_character() {
        assert!(kept("\\u0000".to_owned()).json().is_some());
        assert!(kept("\\\0".to_owned()).json().is_none());
    }
}
