//! What histories are made of that have one thing wrong.

use std::time::Duration;

use crate::history::{Entry, Event, How};

pub(super) const MARGIN: Duration = Duration::from_millis(100);

pub(super) fn at(ms: u64, event: Event) -> Entry {
    Entry {
        at: Duration::from_millis(ms + 10_000),
        event,
    }
}

/// The first attempt of a task whose id is its number.
pub(super) fn started_of(run: u64, n: i64) -> Event {
    Event::Started {
        run,
        n,
        task_id: n,
        attempt: 1,
        task_type: "once".to_owned(),
        queue: "default".to_owned(),
    }
}

pub(super) fn ended(run: u64, how: How) -> Event {
    Event::Ended { run, how }
}
