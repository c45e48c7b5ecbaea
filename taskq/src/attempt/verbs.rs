//! Errors that say what is to become of the task, and how a worker finds them.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::error::chain;

/// What a handler wants done with its task instead of an ordinary retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    RetryIn(Duration),
    Snooze(Duration),
    Discard(String),
    Cancel(String),
}

/// An error by which a handler decides about its task: made by [`retry_in`], [`snooze`],
/// [`discard`] and [`cancel`].
///
/// It survives `?` into anyhow, eyre, `Box<dyn Error>` and thiserror, `.context(…)` too: the
/// worker looks for it along the chain of [`Error::source`].
///
/// ```
/// # struct Reply { status: u16 }
/// # fn ask() -> Reply { Reply { status: 503 } }
/// # use std::time::Duration;
/// fn charge() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     match ask().status {
///         200 => Ok(()),
///         404 => Err(taskq::outcome::discard("no such customer"))?,
///         _ => Err(taskq::outcome::retry_in(Duration::from_secs(60)))?,
///     }
/// }
/// # assert!(charge().is_err());
/// ```
// The wish is the *source* of this error, not the error itself, so that a transparent wrapper,
// which forwards `source()` and hides the value, cannot lose it.
#[derive(Debug)]
pub struct Decision {
    marker: Marker,
}

/// Makes an error that retries the task after `delay`, in place of the exponential backoff.
///
/// It is a failure: it uses an attempt, and the last one discards the task.
pub fn retry_in(delay: Duration) -> Decision {
    Decision::new(Wish::RetryIn(delay))
}

/// Makes an error that runs the task again after `delay`, as if this attempt had not been.
///
/// It is not a failure: it uses no attempt and leaves no error behind.
pub fn snooze(delay: Duration) -> Decision {
    Decision::new(Wish::Snooze(delay))
}

/// Makes an error that gives the task up: no further attempt, whatever is left of them. The row
/// is kept as *dead*, with its errors.
pub fn discard(why: impl Into<String>) -> Decision {
    Decision::new(Wish::Discard(why.into()))
}

/// Makes an error that cancels the task: it is no longer wanted. The row is kept.
pub fn cancel(why: impl Into<String>) -> Decision {
    Decision::new(Wish::Cancel(why.into()))
}

impl Decision {
    fn new(wish: Wish) -> Self {
        Self {
            marker: Marker { wish, why: None },
        }
    }

    /// Gives the reason, which is kept with the error: `retry_in(minute).because("rate limited")`.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.marker.why = Some(why.into());
        self
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.marker.wish {
            Wish::RetryIn(_) => "retry requested",
            Wish::Snooze(_) => "snoozed",
            Wish::Discard(_) => "discarded",
            Wish::Cancel(_) => "cancelled",
        })
    }
}

impl Error for Decision {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.marker)
    }
}

#[derive(Debug)]
struct Marker {
    wish: Wish,
    /// The reason that was given beside it.
    why: Option<String>,
}

// `Decision` says what, this says the rest: a report of the chain reads "discarded: no such user".
impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wish {
            Wish::RetryIn(delay) | Wish::Snooze(delay) => write!(f, "for {delay:?}"),
            Wish::Discard(why) | Wish::Cancel(why) => f.write_str(why),
        }?;
        match &self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

impl Error for Marker {}

/// Finds the wish in an error's chain of sources.
pub(crate) fn wish_of(error: &(dyn Error + 'static)) -> Option<Wish> {
    chain(error)
        .find_map(|error| error.downcast_ref::<Marker>())
        .map(|marker| marker.wish.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::error_text;

    #[derive(Debug)]
    struct Wrapper(Box<dyn Error + Send + Sync>);

    impl fmt::Display for Wrapper {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("while charging")
        }
    }

    impl Error for Wrapper {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn a_wish_is_found_behind_other_errors() {
        let error = Wrapper(Box::new(Wrapper(discard("no such user").into())));
        assert_eq!(wish_of(&error), Some(Wish::Discard("no such user".into())));
        assert_eq!(wish_of(&fmt::Error), None);
    }

    #[test]
    fn the_text_of_an_error_names_each_level_once() {
        let error = Wrapper(Box::new(Wrapper(cancel("sold out").into())));
        assert_eq!(error_text(&error), "while charging: cancelled: sold out");
        let error = retry_in(Duration::from_secs(60)).because("rate limited");
        assert_eq!(error_text(&error), "retry requested: for 60s: rate limited");
    }
}
