//! What becomes of a task after an attempt: decided here, written by `store::settle`.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::attempt::backoff::MAX_DELAY;
use crate::attempt::ended::{AttemptOutcome, EndedAttempt};
use crate::attempt::outcome::Kept;
use crate::attempt::verbs::{Wish, wish_of};
use crate::error::BoxError;
use crate::error::{AttemptReport, error_text};

/// The longest error text that is kept, in bytes. An attempt's history is read by people.
const MAX_ERROR_LENGTH: usize = 4_000;

/// Where a claimed task goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done.
    Complete,
    /// It is done, and kept with its result.
    Keep { result: Kept },
    /// It failed and waits for its next attempt.
    Retry { delay: Duration, error: String },
    /// It runs later, as if this attempt had not been.
    Snooze {
        delay: Duration,
        /// Whether its handler asked for it.
        is_wished: bool,
    },
    /// It was not run, or not to its end, and waits again in its old place.
    HandBack,
    /// It is given up.
    Discard { error: String, why: GivenUp },
    /// It is given up later: what is to be done when it is has failed, for this reason.
    DiscardLater {
        delay: Duration,
        error: Option<String>,
    },
    /// Its handler found that it is no longer wanted.
    Cancel { error: String },
    /// Its payload does not decode.
    Invalid { error: String },
    /// It was to start by a time, and did not.
    Expire,
}

/// Why a task is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// No attempt is left.
    LastAttempt,
    /// Its handler said so.
    Wished,
    /// It would wait for longer, or once more, than its type allows.
    Bound,
    /// An earlier attempt was the last, for one of these reasons.
    Earlier,
}

/// A verdict about one task, and the lease that gives the right to it.
#[derive(Debug, Clone)]
pub(crate) struct Settlement {
    pub(crate) lease_id: Uuid,
    pub(crate) task_id: i64,
    pub(crate) verdict: Verdict,
    /// Whether the task is kept when it has completed.
    pub(crate) keep: bool,
    /// Whether the task is a member of a group, which is told of its end.
    pub(crate) is_member: bool,
    /// What its row has to tell the next attempt, as a JSON object for its metadata.
    pub(crate) mark: Option<String>,
    /// What to tell once it is written, where somebody wants to know.
    pub(crate) ended: Option<Arc<EndedAttempt>>,
    /// What is known of an attempt that failed.
    pub(crate) report: Option<Box<AttemptReport>>,
}

impl Verdict {
    /// Decides about an attempt that failed. `wait` is asked for how long the task waits, where nothing else says that.
    pub(crate) fn of_failure(
        error: &BoxError,
        wish: Option<Wish>,
        number: u16,
        max_attempts: u16,
        wait: impl FnOnce() -> Duration,
    ) -> Self {
        let text = shorten(error_text(&**error));
        let is_last = number >= max_attempts;
        match wish.or_else(|| wish_of(&**error)) {
            Some(Wish::Snooze(delay)) => Self::Snooze {
                delay: delay.min(MAX_DELAY),
                is_wished: true,
            },
            Some(Wish::Discard(why)) => Self::Discard {
                error: mention(text, why),
                why: GivenUp::Wished,
            },
            Some(Wish::Cancel(why)) => Self::Cancel {
                error: mention(text, why),
            },
            _ if is_last => Self::Discard {
                error: text,
                why: GivenUp::LastAttempt,
            },
            Some(Wish::RetryIn(delay)) => Self::Retry {
                delay: delay.min(MAX_DELAY),
                error: text,
            },
            None => Self::Retry {
                delay: wait().min(MAX_DELAY),
                error: text,
            },
        }
    }

    /// Decides about an attempt that succeeded, though its handler may have wished otherwise.
    pub(crate) fn of_success(wish: Option<Wish>, number: u16, max_attempts: u16) -> Self {
        match wish {
            None => Self::Complete,
            Some(wish) => {
                let error: BoxError = match &wish {
                    Wish::RetryIn(_) => "its handler asked for a retry".into(),
                    Wish::Snooze(_) => "its handler asked for a snooze".into(),
                    Wish::Discard(why) | Wish::Cancel(why) => why.clone().into(),
                };
                Self::of_failure(&error, Some(wish), number, max_attempts, || Duration::ZERO)
            }
        }
    }

    /// Tells whether the task is done.
    pub(crate) fn is_completion(&self) -> bool {
        matches!(self, Self::Complete | Self::Keep { .. })
    }

    /// Tells whether the attempt failed.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Retry { .. } | Self::Discard { .. } | Self::Invalid { .. }
        )
    }

    /// Sets a task aside whose payload does not decode.
    pub(crate) fn invalid(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Invalid {
            error: shorten(error_text(error)),
        }
    }

    /// The words for what becomes of a task.
    pub(crate) const NAMES: [&'static str; 8] = [
        "completed",
        "retry",
        "snooze",
        "hand_back",
        "discarded",
        "cancelled",
        "invalid",
        "expired",
    ];

    pub(crate) fn name(&self) -> &'static str {
        Self::NAMES[self.place()]
    }

    /// Returns the place of its word among [`Self::NAMES`].
    pub(crate) fn place(&self) -> usize {
        match self {
            Self::Complete | Self::Keep { .. } => 0,
            Self::Retry { .. } => 1,
            Self::Snooze { .. } | Self::DiscardLater { .. } => 2,
            Self::HandBack => 3,
            Self::Discard { .. } => 4,
            Self::Cancel { .. } => 5,
            Self::Invalid { .. } => 6,
            Self::Expire => 7,
        }
    }

    /// Tells whether an attempt is over that counts: it succeeded, or it failed.
    pub(crate) fn counts(&self) -> bool {
        self.is_completion() || self.is_failure()
    }

    pub(crate) fn delay(&self) -> Duration {
        match self {
            Self::Retry { delay, .. }
            | Self::Snooze { delay, .. }
            | Self::DiscardLater { delay, .. } => *delay,
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Retry { error, .. }
            | Self::Discard { error, .. }
            | Self::Cancel { error }
            | Self::Invalid { error } => Some(error),
            Self::DiscardLater { error, .. } => error.as_deref(),
            Self::Keep { result } => result.problem(),
            Self::Complete | Self::Snooze { .. } | Self::HandBack | Self::Expire => None,
        }
    }

    /// Returns it with an error text that every database can store, if that is another one.
    pub(crate) fn in_ascii(&self) -> Option<Self> {
        let text = self.error().filter(|error| !error.is_ascii())?;
        let error = in_ascii(text);
        Some(match self {
            Self::Retry { delay, .. } => Self::Retry {
                delay: *delay,
                error,
            },
            Self::Discard { why, .. } => Self::Discard { error, why: *why },
            Self::DiscardLater { delay, .. } => Self::DiscardLater {
                delay: *delay,
                error: Some(error),
            },
            Self::Cancel { .. } => Self::Cancel { error },
            Self::Invalid { .. } => Self::Invalid { error },
            Self::Keep { .. } => Self::Keep {
                result: Kept::nothing(error),
            },
            Self::Complete | Self::Snooze { .. } | Self::HandBack | Self::Expire => return None,
        })
    }

    /// Returns what became of the task, in the words of those who are told.
    pub(crate) fn outcome(&self) -> AttemptOutcome {
        let error = || self.error().unwrap_or_default().to_owned();
        match self {
            Self::Complete | Self::Keep { .. } => AttemptOutcome::Completed,
            Self::Retry { delay, .. } => AttemptOutcome::Retried {
                delay: *delay,
                error: error(),
            },
            Self::Snooze { delay, .. } | Self::DiscardLater { delay, .. } => {
                AttemptOutcome::Snoozed { delay: *delay }
            }
            Self::HandBack => AttemptOutcome::HandedBack,
            Self::Discard { .. } => AttemptOutcome::Discarded { error: error() },
            Self::Cancel { .. } => AttemptOutcome::Cancelled { error: error() },
            Self::Invalid { .. } => AttemptOutcome::Invalid { error: error() },
            Self::Expire => AttemptOutcome::Expired,
        }
    }

    /// Returns the result that is kept, as JSON.
    pub(crate) fn result(&self) -> Option<&str> {
        match self {
            Self::Keep { result } => result.json(),
            _ => None,
        }
    }
}

// An error that carries its reason says it in its own text; the verbs of `Attempt` do not.
fn mention(text: String, why: String) -> String {
    if text.contains(&why) {
        text
    } else {
        shorten(format!("{why}: {text}"))
    }
}

/// Replaces what a database of another encoding may not be able to store.
pub(crate) fn in_ascii(text: &str) -> String {
    let is_storable = |c: &char| c.is_ascii() && *c != '\0';
    text.chars()
        .map(|c| Some(c).filter(is_storable).unwrap_or('?'))
        .collect()
}

pub(crate) fn shorten(mut text: String) -> String {
    if text.len() > MAX_ERROR_LENGTH {
        text.truncate(text.floor_char_boundary(MAX_ERROR_LENGTH));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::verbs;

    fn of(error: impl Into<BoxError>, number: u16) -> Verdict {
        Verdict::of_failure(&error.into(), None, number, 3, || Duration::from_secs(5))
    }

    #[test]
    fn a_failure_is_retried_until_its_attempts_are_used_up() {
        assert!(matches!(of("no", 1), Verdict::Retry { .. }));
        assert!(matches!(of("no", 2), Verdict::Retry { .. }));
        assert_eq!(
            of("no", 3),
            Verdict::Discard {
                error: "no".into(),
                why: GivenUp::LastAttempt,
            }
        );
    }

    #[test]
    fn asking_for_a_retry_does_not_make_more_attempts() {
        let minute = Duration::from_secs(60);
        assert!(
            matches!(of(verbs::retry_in(minute), 2), Verdict::Retry { delay, .. } if delay == minute)
        );
        assert!(matches!(
            of(verbs::retry_in(minute), 3),
            Verdict::Discard { .. }
        ));
    }

    #[test]
    fn a_snooze_is_no_failure_on_the_last_attempt_either() {
        let minute = Duration::from_secs(60);
        assert_eq!(
            of(verbs::snooze(minute), 3),
            Verdict::Snooze {
                delay: minute,
                is_wished: true,
            }
        );
    }

    #[test]
    fn a_wish_of_the_attempt_wins_over_what_the_handler_returned() {
        let wish = Some(Wish::Cancel("sold out".into()));
        let verdict = Verdict::of_failure(&"failed".into(), wish.clone(), 1, 3, || Duration::MAX);
        assert_eq!(
            verdict,
            Verdict::Cancel {
                error: "sold out: failed".into()
            }
        );
        assert!(matches!(
            Verdict::of_success(wish, 1, 3),
            Verdict::Cancel { .. }
        ));
    }

    #[test]
    fn a_delay_without_end_is_cut_to_what_a_timestamp_holds() {
        assert_eq!(of(verbs::snooze(Duration::MAX), 1).delay(), MAX_DELAY);
    }

    #[test]
    fn an_outcome_has_the_name_that_counters_and_metrics_give_its_verdict() {
        let (delay, error) = (Duration::ZERO, || "no".to_owned());
        let result = Kept::nothing(error());
        let (is_wished, why) = (true, GivenUp::Wished);
        for verdict in [
            Verdict::Complete,
            Verdict::Keep { result },
            of("no", 1),
            Verdict::Snooze { delay, is_wished },
            Verdict::DiscardLater { delay, error: None },
            Verdict::HandBack,
            Verdict::Discard {
                error: error(),
                why,
            },
            Verdict::Cancel { error: error() },
            Verdict::Invalid { error: error() },
            Verdict::Expire,
        ] {
            let outcome = verdict.outcome();
            assert_eq!(outcome.name(), verdict.name());
            assert_eq!(outcome.is_failure(), verdict.is_failure());
            let says_why = verdict.error().is_some() && !verdict.is_completion();
            assert_eq!(outcome.error().is_some(), says_why, "{verdict:?}");
        }
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let Verdict::Retry { error, .. } = of("ü".repeat(5_000), 1) else {
            panic!("a first failure is retried")
        };
        assert!(error.len() <= MAX_ERROR_LENGTH + '…'.len_utf8());
    }
}
