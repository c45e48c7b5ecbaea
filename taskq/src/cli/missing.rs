//! Names that are of nothing: a mistake, or said in advance.

use crate::operate::schedule_status::ScheduleStatus;
use crate::task::registry::most_similar;

/// Says of a pause that there is no schedule of its name, where that is so.
pub(super) fn schedule(name: &str, all: &[ScheduleStatus]) -> Option<String> {
    let names = || all.iter().map(|schedule| schedule.name.as_str());
    if names().any(|known| known == name) {
        return None;
    }
    let similar = most_similar(name, names()).map_or_else(String::new, |similar| {
        format!("; did you mean `{similar}`? Then say `schedules resume {name}` too")
    });
    Some(format!(
        "there is no schedule {name}: if one of that name comes, it is paused from its beginning{similar}"
    ))
}
