//! How often a task may put itself off, and until when it may be attempted.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::attempt::metadata::Metadata;
use crate::attempt::verdict::{GivenUp, Verdict};

/// The metadata in which a task has how often it was snoozed, if its type bounds that.
pub(crate) const SNOOZES: &str = "task.snoozes";

/// The metadata in which a task has until when it is attempted, from its first failure or snooze on, if its type bounds
/// that.
pub(crate) const GIVES_UP: &str = "task.gives_up";

/// What bounds a task, and how far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) max_snoozes: Option<u16>,
    /// How often it was snoozed.
    pub(crate) snoozes: u64,
    pub(crate) gives_up_at: Option<DateTime<Utc>>,
    /// Whether the row has that time already.
    pub(crate) is_written: bool,
}

/// Returns how often a task was snoozed, as far as its type has it counted.
pub(crate) fn snoozes(metadata: &Metadata) -> u64 {
    metadata.get(SNOOZES).and_then(Value::as_u64).unwrap_or(0)
}

impl Bounds {
    /// Reads the bounds of a task that was `due` before its first attempt.
    pub(crate) fn of(
        metadata: &Metadata,
        max_snoozes: Option<u16>,
        give_up_after: Option<Duration>,
        due: DateTime<Utc>,
    ) -> Self {
        let written = metadata.get(GIVES_UP).and_then(Value::as_str);
        let written = written.and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        let gives_up_at = give_up_after.and_then(|after| match written {
            Some(at) => Some(at.to_utc()),
            None => due.checked_add_signed(TimeDelta::from_std(after).ok()?),
        });
        Self {
            max_snoozes,
            snoozes: snoozes(metadata),
            gives_up_at,
            is_written: written.is_some(),
        }
    }

    /// Gives a task up that would wait although it may not. `now` is Postgres's time, if it is known.
    pub(crate) fn apply(&self, verdict: Verdict, now: Option<DateTime<Utc>>) -> Verdict {
        let error = match (&verdict, self.max_snoozes) {
            (
                Verdict::Snooze {
                    is_wished: true, ..
                },
                Some(most),
            ) if self.snoozes >= most.into() => Some(format!(
                "given up: it was snoozed {} times, and `max_snoozes` allows {most}",
                self.snoozes
            )),
            (
                Verdict::Snooze {
                    delay,
                    is_wished: true,
                },
                _,
            ) => {
                let said = self.too_late(*delay, now);
                said.map(|said| format!("given up: its handler asked for a snooze {said}"))
            }
            (Verdict::Retry { delay, error }, _) => {
                let said = self.too_late(*delay, now);
                said.map(|said| format!("{error}; given up: the next attempt would be {said}"))
            }
            _ => None,
        };
        match error {
            Some(error) => Verdict::Discard {
                error,
                why: GivenUp::Bound,
            },
            None => verdict,
        }
    }

    /// Says how far beyond its time a task would wait, if it would.
    fn too_late(&self, delay: Duration, now: Option<DateTime<Utc>>) -> Option<String> {
        let (now, ends) = (now?, self.gives_up_at?);
        let next = TimeDelta::from_std(delay)
            .ok()
            .and_then(|delay| now.checked_add_signed(delay));
        let is_late = next.is_none_or(|next| next > ends);
        is_late.then(|| {
            format!(
                "in {delay:?}, and `give_up_after` ends at {}",
                written(ends)
            )
        })
    }

    /// Returns what the row has to tell the next attempt, as JSON to be merged into its metadata.
    pub(crate) fn mark(&self, verdict: &Verdict) -> Option<Map<String, Value>> {
        let mut mark = Map::new();
        if let Verdict::Snooze {
            is_wished: true, ..
        } = verdict
            && self.max_snoozes.is_some()
        {
            mark.insert(SNOOZES.to_owned(), self.snoozes.saturating_add(1).into());
        }
        if let (Some(at), false) = (self.gives_up_at, self.is_written) {
            mark.insert(GIVES_UP.to_owned(), written(at).into());
        }
        (!mark.is_empty()).then_some(mark)
    }
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    fn retry(delay: Duration) -> Verdict {
        Verdict::Retry {
            delay,
            error: "no".into(),
        }
    }

    fn snooze(delay: Duration) -> Verdict {
        Verdict::Snooze {
            delay,
            is_wished: true,
        }
    }

    fn given_up(verdict: &Verdict) -> Option<&str> {
        match verdict {
            Verdict::Discard {
                error,
                why: GivenUp::Bound,
            } => Some(error),
            _ => None,
        }
    }

    #[test]
    fn what_is_not_bounded_waits() {
        let bounds = Bounds::of(&Metadata::default(), None, None, at(0));
        for verdict in [retry(Duration::MAX), snooze(Duration::MAX)] {
            assert_eq!(bounds.apply(verdict.clone(), Some(at(9))), verdict);
            assert_eq!(bounds.mark(&verdict), None);
        }
    }

    #[test]
    fn a_task_is_snoozed_so_often_and_then_given_up() {
        let mut metadata = Metadata::default();
        for number in 1..=3_u64 {
            let bounds = Bounds::of(&metadata, Some(3), None, at(0));
            let verdict = bounds.apply(snooze(HOUR), Some(at(0)));
            assert_eq!(verdict, snooze(HOUR));
            let mark = bounds.mark(&verdict).expect("counted");
            assert_eq!(mark[SNOOZES], number);
            metadata.set(SNOOZES.to_owned(), number.into());
        }
        let bounds = Bounds::of(&metadata, Some(3), None, at(0));
        assert_eq!(
            given_up(&bounds.apply(snooze(HOUR), Some(at(0)))),
            Some("given up: it was snoozed 3 times, and `max_snoozes` allows 3")
        );
        assert_eq!(bounds.apply(retry(HOUR), Some(at(0))), retry(HOUR));
        assert_eq!(bounds.mark(&retry(HOUR)), None, "a retry is none");
        let put_off = Verdict::Snooze {
            delay: HOUR,
            is_wished: false,
        };
        assert_eq!(bounds.apply(put_off.clone(), None), put_off);
        assert_eq!(bounds.mark(&put_off), None, "nor what a worker puts off");
    }

    #[test]
    fn nothing_waits_beyond_the_end() {
        let bounds = Bounds::of(&Metadata::default(), None, Some(2 * HOUR), at(1));
        for wait in [retry, snooze] {
            assert_eq!(
                bounds.apply(wait(HOUR), Some(at(2))),
                wait(HOUR),
                "at its end"
            );
            for (wait, now) in [
                (wait(HOUR + Duration::from_secs(1)), at(2)),
                (wait(Duration::ZERO), at(4)),
                (wait(Duration::MAX), at(1)),
            ] {
                let verdict = bounds.apply(wait, Some(now));
                let said = given_up(&verdict).expect("given up");
                assert!(
                    said.contains("ends at 1970-01-01T03:00:00.000000Z"),
                    "{said}"
                );
            }
        }
        let verdict = bounds.apply(retry(9 * HOUR), Some(at(1)));
        let said = given_up(&verdict).expect("given up");
        assert!(
            said.starts_with("no; given up: the next attempt would be in 32400s"),
            "{said}"
        );
        assert_eq!(
            bounds.apply(retry(9 * HOUR), None),
            retry(9 * HOUR),
            "no time is known"
        );
    }

    #[test]
    fn the_end_is_written_once_and_holds_from_then_on() {
        let first = Bounds::of(&Metadata::default(), None, Some(HOUR), at(1));
        let mark = first.mark(&retry(HOUR)).expect("written");
        let mut metadata = Metadata::default();
        metadata.set(GIVES_UP.to_owned(), mark[GIVES_UP].clone());
        let second = Bounds::of(&metadata, None, Some(9 * HOUR), at(5));
        assert_eq!(second.gives_up_at, Some(at(2)));
        assert_eq!(second.mark(&retry(HOUR)), None);
        metadata.set(GIVES_UP.to_owned(), "tomorrow".into());
        let unreadable = Bounds::of(&metadata, None, Some(HOUR), at(1));
        assert_eq!(unreadable.gives_up_at, Some(at(2)));
    }
}
