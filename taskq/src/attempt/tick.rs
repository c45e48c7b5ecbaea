//! The tick of a schedule that a task was enqueued for.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::metadata::{Metadata, TICK};

/// How long after its time a tick is late: a worker that was restarted, or a busy server, is no catching up.
pub(crate) const LATE_AFTER: TimeDelta = TimeDelta::seconds(60);

/// The tick of a schedule that a task was enqueued for: see [`Attempt::tick`](crate::Attempt::tick).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// The name of the schedule.
    pub schedule: String,
    /// The nominal time of the tick: what the expression says, whenever the task runs. For one that somebody had
    /// run out of turn, when he did so.
    pub at: DateTime<Utc>,
    /// Whether the task was enqueued more than a minute after that time: it is caught up, or backfilled.
    pub is_late: bool,
}

/// A tick as it stands in metadata.
#[derive(Deserialize)]
struct Stored {
    schedule: String,
    at: DateTime<Utc>,
}

impl Tick {
    pub(super) fn of(metadata: &Metadata, created_at: DateTime<Utc>) -> Option<Self> {
        let Stored { schedule, at } = Stored::deserialize(metadata.get(TICK)?).ok()?;
        Some(Self {
            schedule,
            at,
            is_late: created_at - at > LATE_AFTER,
        })
    }
}
