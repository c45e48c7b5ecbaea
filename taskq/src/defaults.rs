//! What holds where nothing is said.

use std::time::Duration;

/// The queue of a task type that names none.
pub const QUEUE: &str = "default";

/// The priority of a task type that names none. Smaller runs earlier.
pub const PRIORITY: i16 = 0;

/// How often a task is attempted before it is discarded, unless its type says otherwise.
///
/// Failed attempts are repeated after 5 s, 10 s, 20 s and so on up to 6 h, so the last one begins
/// about three days after the first: a failure on a Friday evening is still being retried on Monday morning.
pub const MAX_ATTEMPTS: u16 = 25;

/// How long one attempt may take, unless its type says otherwise.
///
/// An hour is long enough for a nightly export, and short enough that a hung socket gives its
/// place back the same night.
pub const TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// How many tasks each queue runs at once in a worker that is given no queue.
pub const CONCURRENCY: usize = 10;

/// How long a worker may be silent before others take its tasks. Three missed heartbeats.
pub const LEASE: Duration = Duration::from_secs(30);

/// How often an idle worker scans for tasks by itself, though nobody woke it.
pub const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// How long handlers may go on when the worker is asked to stop. What supervisors usually wait
/// before they kill is thirty seconds; five of them are for handing tasks back, which takes
/// milliseconds unless the database is slow or a handler blocks its thread.
pub const GRACE_PERIOD: Duration = Duration::from_secs(25);

/// How often a worker counts the waiting tasks that nobody serves.
pub const CENSUS_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How long completed tasks stay in the history, where they are kept.
pub const HISTORY_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
