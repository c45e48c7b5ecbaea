//! Which lanes of a queue a claim takes from, in what order, and how much from each.
//!
//! A lane holds the tasks of one type, payload version, number of crashes and priority in one queue. Within a lane the
//! oldest due task comes first, unless its type has a random order, limits or fair turns. [`share`] divides a claim
//! among lanes; [`suspects`] has the rule for tasks with which a worker vanished.

mod ageing;
mod alone;
mod blocked;
mod bound;
mod cursor;
mod due;
mod expected;
mod failing;
mod fair;
mod invalid;
mod known;
mod limit;
mod mark;
mod patience;
mod pause;
mod range;
mod refused;
mod scatter;
mod share;
pub(crate) mod suspects;
mod weight;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

pub(crate) use self::ageing::Ageing;
pub use self::blocked::Blocked;
pub use self::bound::{Bound, Limit, LimitScope, Overridden};
pub(crate) use self::due::DueLanes;
pub(crate) use self::failing::{Failing, FailingTurns};
pub(crate) use self::fair::{FairEnd, RoundPlace};
pub(crate) use self::invalid::{BRAKED_AFTER, Brakes, Undecoded};
pub(crate) use self::limit::{LimitedEnd, LimitedScopes, Limits};
pub(crate) use self::mark::{MarkedLane, Reach};
pub(crate) use self::pause::{HeldPause, Pauses, pause_of};
pub use self::pause::{Pause, Scope};
pub(crate) use self::range::{LaneRange, RangeRequest};
pub(crate) use self::refused::RefusedLanes;
pub(crate) use self::scatter::{Stretch, scatter};
pub(crate) use self::share::Share;
pub use self::weight::KeyWeight;

/// What tells the lanes of a queue apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) task_type: String,
    pub(crate) payload_version: i16,
    pub(crate) crashes: i32,
    pub(crate) priority: i16,
}

/// A borrowed [`Lane`], by which the lane of a task is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey<'a> {
    pub(crate) task_type: &'a str,
    pub(crate) payload_version: i16,
    pub(crate) crashes: i32,
    pub(crate) priority: i16,
}

/// A place in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) run_at: DateTime<Utc>,
    pub(crate) task_id: i64,
}

/// The beginning of a lane, as a scan found it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LaneHead {
    pub(crate) lane: Lane,
    /// Where its first task stands; absent where a marked lane has none.
    pub(crate) first: Option<Place>,
    /// How long until that task is due; zero if it is.
    pub(crate) due_in: Duration,
    /// When the scan began, by Postgres's clock.
    pub(crate) scanned_at: DateTime<Utc>,
    /// How far the lane is reserved, if any claim ever reserved a range of it.
    pub(crate) frontier: Option<Place>,
    /// How many other workers claim from it.
    pub(crate) others: u32,
}

impl Place {
    /// Behind all tasks.
    pub(crate) const END: Self = Self {
        run_at: DateTime::<Utc>::MAX_UTC,
        task_id: i64::MAX,
    };

    /// Returns the place just before this one.
    pub(crate) fn before(self) -> Self {
        match self.task_id.checked_sub(1) {
            Some(task_id) => Self { task_id, ..self },
            None => Self {
                run_at: self.run_at - TimeDelta::microseconds(1),
                task_id: i64::MAX,
            },
        }
    }
}

impl LaneHead {
    /// Tells whether other workers claim from it too.
    pub(crate) fn is_shared(&self) -> bool {
        self.others > 0
    }

    /// Returns for how long its first task had been due when the scan began.
    fn waited(&self) -> Duration {
        self.due()
            .map(|first| self.waited_at(first))
            .unwrap_or_default()
    }

    /// Returns for how long a task at this place had been due when the scan began.
    fn waited_at(&self, place: Place) -> Duration {
        (self.scanned_at - place.run_at)
            .to_std()
            .unwrap_or_default()
    }

    /// Returns the lane's first task, if that is due.
    fn due(&self) -> Option<Place> {
        self.first.filter(|_| self.due_in.is_zero())
    }

    /// Returns the place before which nothing stands, as far as the scan could see.
    fn cleared(&self) -> Place {
        let beginning = Place {
            run_at: self.scanned_at,
            task_id: i64::MIN,
        };
        self.due().map_or(beginning, Place::before)
    }
}

impl Lane {
    pub(crate) fn key(&self) -> LaneKey<'_> {
        let Self {
            task_type,
            payload_version,
            crashes,
            priority,
        } = self;
        LaneKey {
            task_type,
            payload_version: *payload_version,
            crashes: *crashes,
            priority: *priority,
        }
    }
}

#[cfg(test)]
mod fixtures {
    use super::*;

    pub(super) fn lane(task_type: &str, crashes: i32, priority: i16) -> Lane {
        Lane {
            task_type: task_type.to_owned(),
            payload_version: 1,
            crashes,
            priority,
        }
    }

    pub(super) fn place(task_id: i64) -> Place {
        Place {
            run_at: DateTime::UNIX_EPOCH,
            task_id,
        }
    }
}
