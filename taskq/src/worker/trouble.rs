//! Saying once what goes wrong again and again.
//!
//! The loops of a worker try again, in an outage many times a minute. The first failure of a kind is logged at
//! once. The same one again is counted, and the count is logged after ever longer pauses.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::error_text;

/// How long after its first line the same trouble has another; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The troubles of a worker.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    known: Mutex<HashMap<(&'static str, String), Known>>,
}

/// Trouble that was logged before.
#[derive(Debug)]
struct Known {
    said: Instant,
    pause: Duration,
    /// How often it came since.
    unsaid: u32,
}

/// What to log of a trouble.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) error: String,
    /// Says how often it came since it was logged last; nothing where it is new. For the end of a message.
    pub(crate) again: String,
}

impl Troubles {
    /// Notes that `what` failed, and returns what to log of it, if it is time to.
    pub(crate) fn record(
        &self,
        what: &'static str,
        error: &(dyn Error + 'static),
        now: Instant,
    ) -> Option<Said> {
        let error = error_text(error);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // What has not come for so long is new when it comes again.
        known.retain(|_, it| now.duration_since(it.said) < it.pause * 2);
        let again = match known.get_mut(&(what, error.clone())) {
            Some(it) => {
                it.unsaid += 1;
                let since = now.duration_since(it.said);
                if since < it.pause {
                    return None;
                }
                let again = format!("; again, {} times in {} s", it.unsaid, since.as_secs());
                let pause = (it.pause * 2).min(LONGEST_PAUSE);
                (it.said, it.pause, it.unsaid) = (now, pause, 0);
                again
            }
            None => {
                let first = Known {
                    said: now,
                    pause: FIRST_PAUSE,
                    unsaid: 0,
                };
                known.insert((what, error.clone()), first);
                String::new()
            }
        };
        Some(Said { error, again })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_said_after_ever_longer_pauses_with_its_count() {
        let (troubles, began) = (Troubles::default(), Instant::now());
        let at = |seconds: u64, error: &str| {
            let error: crate::error::BoxError = error.into();
            let now = began + Duration::from_secs(seconds);
            let said = troubles.record("claim", &*error, now);
            said.map(|said| said.again)
        };
        assert_eq!(at(0, "gone"), Some(String::new()));
        assert_eq!(at(1, "refused"), Some(String::new()), "another error");
        let lines: Vec<String> = (1..=75).filter_map(|second| at(second, "gone")).collect();
        assert_eq!(
            lines,
            [
                "; again, 10 times in 10 s",
                "; again, 20 times in 20 s",
                "; again, 40 times in 40 s"
            ]
        );
        assert_eq!(at(1_000, "gone"), Some(String::new()), "new after a while");
    }
}
