//! Until when a task is worth starting.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::start::Start;

/// The metadata in which a task has what its enqueue said: the seconds after its creation, or a time.
pub(crate) const EXPIRES: &str = "task.expires";

/// Returns what an enqueue writes down, if it must: a worker knows what the type declares.
pub(super) fn written(
    said: Option<Duration>,
    declared: Option<Duration>,
    start: Start,
) -> Option<Value> {
    let expires = said.or(declared)?;
    match start {
        Start::Now => said.map(|expires| expires.as_secs_f64().into()),
        Start::After(delay) => Some((delay + expires).as_secs_f64().into()),
        Start::At(run_at) => {
            let at = TimeDelta::from_std(expires)
                .ok()
                .and_then(|expires| run_at.checked_add_signed(expires));
            at.map(|at| at.to_rfc3339().into())
        }
    }
}

/// Returns when a task expires: as its enqueue has written down, or so long after `due` as its type declares.
pub(crate) fn expires_at(
    written: Option<&Value>,
    created_at: DateTime<Utc>,
    declared: Option<Duration>,
    due: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let after = |from: DateTime<Utc>, expires: Duration| {
        from.checked_add_signed(TimeDelta::from_std(expires).ok()?)
    };
    let seconds = |value: &Value| Duration::try_from_secs_f64(value.as_f64()?).ok();
    match written {
        Some(Value::String(at)) => DateTime::parse_from_rfc3339(at).ok().map(|at| at.to_utc()),
        Some(value) => after(created_at, seconds(value)?),
        None => after(due, declared?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    #[test]
    fn what_an_enqueue_says_is_counted_from_when_the_task_is_due() {
        let expiry = |start| {
            let written = written(Some(HOUR), None, start);
            expires_at(written.as_ref(), at(0), None, at(0))
        };
        assert_eq!(expiry(Start::Now), Some(at(1)));
        assert_eq!(expiry(Start::After(2 * HOUR)), Some(at(3)));
        assert_eq!(expiry(Start::At(at(5))), Some(at(6)));
    }

    #[test]
    fn what_a_type_declares_is_written_only_where_the_worker_would_count_otherwise() {
        let declared = Some(HOUR);
        assert_eq!(written(None, declared, Start::Now), None);
        let later = written(None, declared, Start::After(HOUR));
        assert_eq!(later, Some(7200.0.into()));
        assert_eq!(
            expires_at(later.as_ref(), at(0), declared, at(0)),
            Some(at(2))
        );
        assert_eq!(expires_at(None, at(0), declared, at(3)), Some(at(4)));
    }

    #[test]
    fn a_task_of_which_nothing_is_said_never_expires() {
        assert_eq!(written(None, None, Start::At(at(1))), None);
        assert_eq!(expires_at(None, at(0), None, at(0)), None);
    }

    #[test]
    fn a_time_that_cannot_be_is_none() {
        let value = Value::from("tomorrow");
        assert_eq!(expires_at(Some(&value), at(0), None, at(0)), None);
        let value = Value::from(f64::MAX);
        assert_eq!(expires_at(Some(&value), at(0), None, at(0)), None);
        let value = Value::from(-1);
        assert_eq!(expires_at(Some(&value), at(0), None, at(0)), None);
    }
}
