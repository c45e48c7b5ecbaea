//! What people and programs ask of the tables, beside enqueueing and working: to make them, to check
//! what waits before a deploy, to compare payloads with a lock, to read a result, to pause, to limit, to weigh keys, to
//! find, cancel, retry and edit tasks, one or all that match, to watch what goes on, to say what is wrong and why a task
//! does not run, and to tell who did what.

pub(crate) mod act;
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod by_hand;
pub(crate) mod cause;
pub(crate) mod check;
#[cfg(any(feature = "dashboard", feature = "top"))]
pub(crate) mod clock;
pub(crate) mod doctor;
#[cfg(feature = "encryption")]
mod encrypt;
pub(crate) mod filter;
pub(crate) mod foreign_keys;
#[cfg(any(feature = "cli", feature = "dashboard"))]
pub(crate) mod gone;
pub(crate) mod group;
pub(crate) mod ids;
pub(crate) mod keep;
pub(crate) mod limit;
pub(crate) mod list;
#[cfg(all(feature = "cli", feature = "schemars"))]
pub(crate) mod lock;
pub(crate) mod logs;
pub(crate) mod migrate;
pub(crate) mod migration_status;
pub(crate) mod minutes;
#[cfg(any(feature = "dashboard", feature = "top"))]
pub(crate) mod moment;
pub(crate) mod number;
#[cfg(any(feature = "cli", feature = "dashboard"))]
mod one_first;
pub(crate) mod pause;
pub(crate) mod prune;
pub(crate) mod refused;
#[cfg(feature = "encryption")]
pub(crate) mod rekey;
#[cfg(any(feature = "dashboard", feature = "top"))]
pub(crate) mod remedy;
pub(crate) mod result;
pub(crate) mod resume;
#[cfg(all(feature = "cron", any(feature = "dashboard", feature = "top")))]
mod schedule_acts;
#[cfg(feature = "cron")]
pub(crate) mod schedule_status;
#[cfg(feature = "cron")]
pub(crate) mod schedules;
pub(crate) mod sequence;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod task;
#[cfg(feature = "cron")]
pub(crate) mod upsert;
pub(crate) mod verbs;
pub(crate) mod weight;
pub(crate) mod workers;

pub use self::act::Act;
pub use self::audit::{AuditPage, Audited, ReadAudit};
pub use self::bulk::{Bulk, BulkFailure, BulkVerb, Freezing, Retried};
pub use self::by_hand::{ByHand, Editing};
pub use self::cause::{Cause, Causes, FindCauses};
pub use self::check::{CheckReport, Finding, Stranded, StrandedSchedule};
pub use self::doctor::{Acknowledged, Acknowledging, Ailment, Severity};
pub use self::filter::{Filter, FilterError};
pub use self::group::GroupStatus;
pub use self::keep::KeepRule;
pub use self::limit::{Bound, EachKey, Limit, LimitScope, Limiting, Overridden};
pub use self::list::{Cursor, FoundTask, Listing, Page};
pub use self::logs::{AttemptLog, LogLine};
pub use self::migrate::{Migration, migrations};
pub use self::migration_status::MigrationStatus;
pub use self::minutes::{Minute, Spread};
pub use self::pause::{Operator, Pause, Pausing, Queue, Schedule, Scope, TaskType};
pub use self::prune::Prunable;
pub use self::refused::TakenBack;
#[cfg(feature = "cron")]
pub use self::schedule_status::ScheduleStatus;
#[cfg(feature = "cron")]
pub use self::schedules::{Removed, Schedules, Upsert, Upserted};
pub use self::sequence::{Blocked, SkipDead};
pub use self::show::{
    AuditEntry, HeldKey, Progress, Reason, RunsAt, TaskDetails, TaskError, TaskEvent,
};
pub use self::stats::{KindStats, Stats};
pub use self::task::TaskState;
pub use self::verbs::{VERBS, Verb};
pub use self::weight::{KeyWeight, Weighing};
pub use self::workers::{Stuck, WorkerStatus};
