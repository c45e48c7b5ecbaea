//! What a worker knows of schedules: when the next one ticks, and which it leaves to others.
//!
//! All of it is a hint. What a schedule is and how far it has come stands in the tables.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;

#[derive(Debug, Default)]
pub(crate) struct Schedules {
    /// Somebody has changed one.
    have_changed: Notify,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// When to look again, before the period is over.
    next: Option<Instant>,
    /// When this worker said last what it declares.
    said_at: Option<Instant>,
    /// Since when it has looked without a failure.
    looked_since: Option<Instant>,
    left_out: HashMap<String, LeftOut>,
}

/// A schedule that this worker cannot follow, in this revision.
#[derive(Debug)]
struct LeftOut {
    revision: i64,
    /// When to try again; `None` where that is of no use.
    until: Option<Instant>,
}

impl Schedules {
    pub(crate) fn record_changed(&self) {
        self.have_changed.notify_one();
    }

    /// Waits until a schedule has changed, or the next one ticks.
    pub(crate) async fn wait(&self) {
        let next = self.lock().next;
        let ticks = async {
            match next {
                Some(next) => sleep_until(next.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.have_changed.notified() => {}
            () = ticks => {}
        }
    }

    /// Records when to look again; `None` for when the period is over.
    pub(crate) fn record_next(&self, next: Option<Instant>) {
        self.lock().next = next;
    }

    /// Tells whether it is time to say what this worker declares.
    pub(crate) fn must_say(&self, period: Duration, now: Instant) -> bool {
        let said_at = self.lock().said_at;
        said_at.is_none_or(|at| now.saturating_duration_since(at) >= period)
    }

    pub(crate) fn record_said(&self, now: Instant) {
        let mut known = self.lock();
        known.said_at = Some(now);
        known.looked_since.get_or_insert(now);
    }

    /// Has it say what it declares as soon as it can.
    pub(crate) fn record_failure(&self) {
        let mut known = self.lock();
        (known.said_at, known.looked_since) = (None, None);
    }

    /// Tells whether this worker has looked without a failure for so long.
    pub(crate) fn has_looked_for(&self, time: Duration, now: Instant) -> bool {
        let since = self.lock().looked_since;
        since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }

    pub(crate) fn leave_out(&self, name: &str, revision: i64, until: Option<Instant>) {
        let left_out = LeftOut { revision, until };
        self.lock().left_out.insert(name.to_owned(), left_out);
    }

    /// Returns what is left out now, and in which revision.
    pub(crate) fn left_out(&self, now: Instant) -> Vec<(String, i64)> {
        let mut known = self.lock();
        let left_out = &mut known.left_out;
        left_out.retain(|_, it| it.until.is_none_or(|until| now < until));
        let left_out = left_out.iter();
        left_out
            .map(|(name, it)| (name.clone(), it.revision))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_tried_again_and_what_is_unknown_is_not() {
        let (schedules, now) = (Schedules::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        schedules.leave_out("rubbish", 3, None);
        schedules.leave_out("refused", 5, Some(after(60)));
        assert_eq!(schedules.left_out(after(59)).len(), 2);
        assert_eq!(schedules.left_out(after(60)), [("rubbish".to_owned(), 3)]);
        schedules.leave_out("rubbish", 4, None);
        assert_eq!(schedules.left_out(after(61)), [("rubbish".to_owned(), 4)]);
    }

    #[test]
    fn a_failure_begins_the_time_of_looking_anew() {
        let (schedules, now) = (Schedules::default(), Instant::now());
        let (minute, after) = (Duration::from_secs(60), |seconds| {
            now + Duration::from_secs(seconds)
        });
        assert!(schedules.must_say(minute, now));
        schedules.record_said(now);
        assert!(!schedules.must_say(minute, after(59)));
        assert!(!schedules.has_looked_for(minute, after(59)));
        assert!(schedules.has_looked_for(minute, after(60)));
        schedules.record_failure();
        assert!(schedules.must_say(minute, after(61)));
        schedules.record_said(after(61));
        assert!(!schedules.has_looked_for(minute, after(119)));
    }
}
