//! Typed background tasks in your Postgres, driven by a macro.
//!
//! ```no_run
//! # // taskq itself does not ask for tokio's threads.
//! # macro_rules! on_one_thread { (#[tokio::main] $($main:tt)*) => { #[tokio::main(flavor = "current_thread")] $($main)* } }
//! use sqlx::PgConnection;
//! use sqlx::postgres::PgPoolOptions;
//! use taskq::Worker;
//!
//! /// Marks a user as welcomed. `usr_id` is the payload, `tx` the transaction of this task.
//! #[taskq::task]
//! async fn welcome_user(tx: &mut PgConnection, usr_id: i64) -> Result<(), sqlx::Error> {
//!     let welcome = "update usr set welcomed_at = now() where usr_id = $1";
//!     sqlx::query(welcome).bind(usr_id).execute(tx).await?;
//!     Ok(())
//! }
//!
//! # on_one_thread! {
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Here `tracing_subscriber::fmt::init();` shows what the worker tells.
//!     let url = std::env::var("DATABASE_URL")?;
//!     let pool = PgPoolOptions::new().max_connections(20).connect(&url).await?;
//!     taskq::migrate(&pool).await?;
//!
//!     // A table `usr (usr_id, email, welcomed_at)` is yours, and there already.
//!     let signup = "insert into usr (email) values ('ada@example.com') returning usr_id";
//!     let mut tx = pool.begin().await?;
//!     let usr_id = sqlx::query_scalar(signup).fetch_one(&mut *tx).await?;
//!     WelcomeUser::enqueue(&mut tx, usr_id).await?;
//!     tx.commit().await?; // Both the user and the task, or neither.
//!
//!     let worker = Worker::builder(pool).build().await?;
//!     worker.run_until(taskq::shutdown_signal()).await?; // Ctrl-C stops it gracefully.
//!     Ok(())
//! }
//! # }
//! ```
//!
//! # The words
//!
//! - A **task** is a request to run a handler once: a row, which waits, then runs, and then is finished.
//! - A **task type** is what [`#[task]`](macro@task) declares. Its name is in the column `task_type`.
//! - The **handler** is the annotated `async fn`. It stays a function that you can call.
//! - The **payload** is the data of one task: the handler's owned arguments, a serde struct in Rust
//!   ([`Payload`]), JSON in the row.
//! - To **enqueue** is to insert a task, in your transaction: [`enqueue`], [`enqueue_many`], the
//!   `enqueue` of each payload struct, or a bare `insert` from SQL. It commits or rolls back with the
//!   rest of your transaction.
//! - A **queue** is a named lane with its own concurrency in each worker. Within a queue, smaller
//!   *priorities* run earlier.
//! - A **worker** is a running [`Worker`]: it claims tasks and runs their handlers. Any number of
//!   them, in any number of processes, share the work.
//! - A **claim** takes due tasks for one worker and gives it a **lease** on them: the right to run
//!   them, for a limited time. *Heartbeats* keep it while handlers run. If the worker dies the lease
//!   runs out, and another one *rescues* its tasks.
//! - An **attempt** is one execution of a task; a handler can ask for its [`Attempt`]. It completes the
//!   task, or fails and is *retried* later, until its attempts are used up and the task is
//!   *discarded*: kept as dead, with its errors. With [`outcome::retry_in`],
//!   [`outcome::snooze`], [`outcome::discard`] and [`outcome::cancel`] a handler decides by itself.
//!
//! # What holds
//!
//! The handler's signature chooses the [`Delivery`](handler::Delivery).
//!
//! | signature | what holds |
//! | --- | --- |
//! | has `&mut tx` | What the handler writes through `tx` and the completion of its task commit in one transaction: its effects in this database happen exactly once, or not at all. A failed handler is rolled back, and its failure is recorded. |
//! | has no `&mut` | The handler runs at least once: if its worker dies, or loses its lease, it runs again. |
//! | has `&mut` [`LazyTx`] | The handler runs at least once, and holds no connection until it begins its transaction. From then on what holds for `&mut tx` holds for what it writes there. |
//!
//! Exactly once covers the database, not the mail: what cannot be rolled back comes last in a handler,
//! under a key that is the same in every attempt, [`Attempt::key`].
//!
//! # Where to go on
//!
//! - [`#[task]`](macro@task): arguments and options of a handler.
//! - [`Worker`] and [`WorkerBuilder`]: running handlers, and every setting with its default.
//! - [`Health`]: whether a worker is alive, and whether it is ready.
//! - [`WorkerBuilder::check`]: whether a program would run what waits, before it is deployed.
//! - [`migrate`]: making the tables, and what happens when versions differ.
//! - The [`guide`]: a chapter for each verb, from declaring a task to changing it while rows wait.
//! - ARCHITECTURE.md and DESIGN.md in the repository: how it works, and why it is so.
//!
//! # Features
//!
//! - `garde` checks payloads by `#[garde(…)]` on a handler's arguments: when they are enqueued, and again
//!   before they are run.
//! - `cli` gives a worker's binary its command line, `taskq::cli::main`: among others `check`, which says
//!   before a deploy which waiting tasks would not run, and `doctor`, which says what is wrong.
//! - `dashboard` has pages that show what the tables hold, and on which operators act: `taskq::dashboard`, an axum router.
//! - `top` adds a live view of it in a terminal, `top`.
//! - `cron` has schedules enqueue tasks by the calendar.
//! - `encryption` has fields of payloads stored encrypted, with the keys of [`encryption`].
//! - `log` keeps the lines that handlers log with their attempts: [`LogLayer`], a layer of `tracing_subscriber`.
//! - `metrics` exposes metrics of workers and tables, for Prometheus or a recorder of the crate `metrics`.
//! - `otel` has the trace of an enqueue go on in the handler.
//! - `schemars` knows the JSON Schema of each payload. With `cli`, `tasks --lock` writes them to a file, and
//!   `tasks --check` refuses a change that would strand rows.
//! - `testing` finds or starts a Postgres server, for tests and examples.
//! - `tls-none`, `tls-native-tls`, `tls-rustls-aws-lc-rs`, `tls-rustls-ring-webpki` and
//!   `tls-rustls-ring-native-roots` are handed on to sqlx, which uses no TLS unless asked.

pub mod defaults;
pub mod error;
pub mod json;

#[cfg(feature = "encryption")]
mod cipher;

mod task;

mod attempt;

mod lane;

#[cfg(feature = "cron")]
mod calendar;

mod store;

pub mod hooks;

mod begin;
mod enqueue;

pub mod operate;

mod wait;

mod worker;

#[cfg(feature = "log")]
mod log;

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "dashboard")]
pub mod dashboard;
#[cfg(not(feature = "faults"))]
mod faults;
#[cfg(feature = "faults")]
#[doc(hidden)]
pub mod faults;
// Documents only. The tests compile their programs, with the dependencies that a user's program has.
#[cfg(all(doc, not(doctest)))]
pub mod guide;
#[cfg(feature = "testing")]
pub mod testing;

/// The crate whose times are in the interface: `run_at` takes a `chrono::DateTime`.
pub use chrono;
pub use taskq_macros::{Payload, task};

pub use crate::attempt::Attempt;
pub use crate::attempt::batch::Batch;
pub use crate::attempt::discarded::Discarded;
pub use crate::attempt::ended::AttemptOutcome;
pub use crate::attempt::group::{Group, GroupEnded};
pub use crate::attempt::lazy::LazyTx;
pub use crate::attempt::tick::Tick;
#[cfg(feature = "otel")]
pub use crate::attempt::trace::Trace;
pub use crate::attempt::tx::Tx;
pub use crate::begin::begin;
pub use crate::enqueue::{
    Enqueue, Enqueued, EnqueuedMany, Many, NewTask, Place, enqueue, enqueue_copy, enqueue_many,
};
pub use crate::error::{
    EnqueueError, MigrateError, OperateError, ResultError, WaitError, WorkerError,
};
pub use crate::hooks::Hook;
#[cfg(feature = "log")]
pub use crate::log::LogLayer;
pub use crate::operate::migrate::migrate;
pub use crate::operate::pause::operate;
pub use crate::operate::result::{TaskResult, result};
#[cfg(feature = "cron")]
pub use crate::operate::schedules::schedules;
pub use crate::store::Schema;
pub use crate::task::payload::Payload;
pub use crate::task::secret::Secret;
pub use crate::task::unique::EnqueueOutcome;
pub use crate::wait::Handle;
#[cfg(feature = "metrics")]
pub use crate::worker::metrics;
pub use crate::worker::{Health, Worker, WorkerBuilder, shutdown_signal};

/// What a worker does, as a stream: see [`Worker::events`].
pub mod events {
    pub use crate::attempt::ended::EndedAttempt;
    pub use crate::worker::events::{Event, Events, Lagged, Subscription};
}

/// What a handler decides about its task, beside success and failure: errors that say so.
pub mod outcome {
    pub use crate::attempt::verbs::{Decision, cancel, discard, retry_in, snooze};
}

/// Of which tasks one at a time may be there: [`Unique`](unique::Unique).
pub mod unique {
    pub use crate::task::unique::{OnConflict, Unique, Until};
}

/// Fields of payloads that are stored encrypted: the [`Keys`](encryption::Keys) for it, and how to change them.
#[cfg(feature = "encryption")]
pub mod encryption {
    pub use crate::cipher::{Keys, KeysError, install};
    pub use crate::operate::rekey::{Owner, Rekeyed, rekey};
}

/// What enqueues tasks by the calendar: [`Schedule`](schedule::Schedule).
#[cfg(feature = "cron")]
pub mod schedule {
    pub use crate::calendar::{CatchUp, Overlap, Skip, SkipReason};
    pub use crate::task::schedule::Schedule;
}

/// How many tasks run at once, how fast they start, and which run one after the other: [`Concurrency`](limit::Concurrency),
/// [`Rate`](limit::Rate), [`Sequence`](limit::Sequence).
pub mod limit {
    pub use crate::task::limit::{Concurrency, Rate};
    pub use crate::task::sequence::{OnDead, Sequence};
}

/// What a handler is made of, for those that no `async fn` expresses: [`Task`](handler::Task) by hand.
pub mod handler {
    pub use futures_util::future::BoxFuture;

    pub use crate::attempt::backoff::{Retry, RetryFn};
    pub use crate::attempt::batch::{IntoKeptEach, IntoOutcomes, Outcomes};
    pub use crate::attempt::delivery::Delivery;
    pub use crate::attempt::discarded::DiscardFn;
    pub use crate::attempt::outcome::{IntoKept, IntoOutcome, Kept, Outcome};
    pub use crate::attempt::state::{Parts, StateRequirement};
    pub use crate::attempt::tx_handle::TxHandle;
    pub use crate::operate::result::KeepsResult;
    pub use crate::task::batch::BatchFn;
    pub use crate::task::declaration::{Declaration, Order, Task, TimeoutFn};
    pub use crate::task::keep::{Keep, KeepFor};
    pub use crate::task::options::TaskOptions;
    pub use crate::task::registration::TaskSet;
    pub use crate::worker::{NextSignal, StopNow};
}
