//! The pages, and the deeds that their forms ask for.

pub(super) mod act;
pub(super) mod audit;
pub(super) mod bulk;
pub(super) mod causes;
mod draft;
pub(super) mod enqueue;
pub(super) mod events;
pub(super) mod limits;
pub(super) mod overview;
pub(super) mod queues;
#[cfg(feature = "cron")]
pub(super) mod schedule;
#[cfg(feature = "cron")]
pub(super) mod schedules;
pub(super) mod task;
mod task_log;
pub(super) mod tasks;
pub(super) mod theme;
pub(super) mod workers;
