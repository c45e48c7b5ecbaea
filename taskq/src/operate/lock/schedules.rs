//! Changes of the schedules that a program declares. They strand no row, so nothing refuses them; but somebody who only
//! meant to rename a handler wants to hear that a schedule has gone with it.

use std::collections::BTreeMap;
use std::fmt;

use super::file::LockFile;

/// A schedule that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScheduleChange {
    name: String,
    from: String,
    /// Absent where the schedule is gone.
    to: Option<String>,
}

impl LockFile {
    /// Says which schedules `next` declares no more, or with other times.
    pub(crate) fn changed_schedules(&self, next: &Self) -> Vec<ScheduleChange> {
        let (before, after) = (self.schedules(), next.schedules());
        let changed = before
            .into_iter()
            .filter(|(name, from)| after.get(name) != Some(from));
        changed
            .map(|(name, from)| ScheduleChange {
                name: name.to_owned(),
                from: from.to_owned(),
                to: after.get(name).map(|to| (*to).to_owned()),
            })
            .collect()
    }

    /// Returns all schedules, whichever task type declares them.
    fn schedules(&self) -> BTreeMap<&str, &str> {
        let schedules = self.tasks.values().flat_map(|task| &task.schedules);
        schedules
            .map(|(name, times)| (name.as_str(), times.as_str()))
            .collect()
    }
}

impl fmt::Display for ScheduleChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, from, to } = self;
        match to {
            Some(to) => write!(
                f,
                "schedule `{name}` changes: it was `{from}` and is `{to}`. Ticks from before the deploy are not owed"
            ),
            None => write!(
                f,
                "schedule `{name}` is gone: it was `{from}`. It rests once no worker declares it, and ends a day later. If you have renamed it or its task type, the new one owes none of its ticks"
            ),
        }
    }
}
